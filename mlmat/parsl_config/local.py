"""`local`: worker processes on this machine, one per core, or one per GPU where tasks want them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.parsl_config._environment import share, worker_init
from mlmat.parsl_config._programs import interchange_command, manager_command
from mlmat.parsl_config._quiet import QUIET
from mlmat.processes.gpus import PER_WORKER, visible
from mlmat.processes.machine import cores

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds between heartbeats of workers, and after how many silent ones a worker counts as lost.
HEARTBEAT = 2
LOST_AFTER = 15


def make(folder: Path, *, gpus: bool = False) -> Any:
    """HTEX on 127.0.0.1; gpus: one worker for each GPU. The workers share the cores for their threads."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.launchers import SimpleLauncher
    from parsl.providers import LocalProvider

    found = visible() if gpus else []
    workers = len(found) or cores()
    init = worker_init(max(1, cores() // workers)) + (f" {PER_WORKER}={','.join(found)}" if found else "")
    executor = HighThroughputExecutor(
        label="local",
        interchange_launch_cmd=interchange_command(),
        launch_cmd=manager_command(same_host=True),
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=share(cores(), workers),
        heartbeat_period=HEARTBEAT,
        heartbeat_threshold=LOST_AFTER,
        block_error_handler=False,
        encrypted=True,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, launcher=SimpleLauncher(), worker_init=init),
    )
    return Config(executors=[executor], run_dir=str(folder), strategy="simple", **QUIET)
