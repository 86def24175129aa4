"""`slurm`: workers on the nodes of a cluster, in jobs of their own, or on the nodes of the job that this runs in."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shlex
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import RunnerError, UsageError
from mlmat.parsl_config._environment import share, worker_init
from mlmat.parsl_config._programs import interchange_command, manager_command
from mlmat.parsl_config._quiet import QUIET
from mlmat.processes.gpus import PER_WORKER, visible
from mlmat.scheduler import settings as slurm_settings
from mlmat.scheduler import slurm
from mlmat.scheduler.slurm import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmat.scheduler.settings import Slurm
    from mlmat.scheduler.slurm import Partition


#: Settings that a user may have for every sbatch, as SBATCH_ACCOUNT; those of the file go first.
USUAL = ("partition", "account", "qos", "constraint")
#: Of a job that has no end.
NO_END = "365-00:00:00"


def make(folder: Path, file: Path | None = None) -> Any:
    """HTEX on the nodes of Slurm. Raises UsageError, RunnerError (no Slurm here)."""
    _, settings = chosen(str(file or "slurm"))
    folder = shared(settings, folder)
    if " " in str(folder):
        raise UsageError(f"{folder}: parsl cannot work in a folder with a space in its name; set shared_folder")
    return (_inside if "SLURM_JOB_ID" in os.environ else _outside)(settings, folder)


def chosen(config: str) -> tuple[Path | None, Slurm]:
    """The file and the settings that a `--config` stands for. Raises UsageError."""
    file = None if config == "slurm" else Path(config).expanduser()
    if file and (file.suffix != ".toml" or not file.is_file()):
        raise UsageError(f"{config}: settings are `slurm` or a file that ends in .toml; `mlmat config init` writes one")
    file = file or slurm_settings.find()
    return file, completed(slurm_settings.read(file) if file else slurm_settings.Slurm())


def completed(settings: Slurm) -> Slurm:
    """Settings with what the user's sbatch has by default, and what Slurm knows: cores of a node, or the job's all."""
    if job := os.environ.get("SLURM_JOB_ID"):
        return replace(settings, **_given(os.environ, settings, job))
    usual: dict[str, Any] = {
        name: getattr(settings, name) or os.environ.get(f"SBATCH_{name.upper()}", "") for name in USUAL
    }
    settings = replace(settings, **usual)
    if settings.cores_per_node:
        return settings
    return replace(settings, cores_per_node=min(one.cores for one in partitions_of(settings)))


def _given(environment: Mapping[str, str], settings: Slurm, job: str) -> dict[str, Any]:
    """What the job has that this process is in."""
    return {
        "nodes_per_block": int(environment.get("SLURM_JOB_NUM_NODES", "1")),
        "max_blocks": 1,
        "cores_per_node": _fewest(environment.get("SLURM_JOB_CPUS_PER_NODE", "1")),
        "gpus_per_node": len(visible()) if environment.get("SLURM_GPUS_ON_NODE") else settings.gpus_per_node,
        "walltime": _left(environment, job),
    }


def _fewest(nodes: str) -> int:
    """Cores of the node that has the fewest, of a text like `64(x2),32`."""
    return min(int(cores) for cores in re.findall(r"(\d+)(?:\(x\d+\))?", nodes))


def _left(environment: Mapping[str, str], job: str) -> str:
    """The time that a job still has, as Slurm writes it; a long one where it has no end."""
    if (end := environment.get("SLURM_JOB_END_TIME", "")).isdigit():
        return _hours(max(60, int(int(end) - time.time())))
    try:
        left = slurm.time_left(job)
    except SchedulerError as error:
        raise RunnerError(f"Slurm does not say how long job {job} may run: {error}") from error
    return left if left[:1].isdigit() else NO_END


def partitions_of(settings: Slurm) -> list[Partition]:
    """The partitions that blocks may go to, once for each kind of nodes. Raises UsageError, RunnerError (no Slurm)."""
    try:
        found = slurm.partitions()
    except SchedulerError as error:
        raise RunnerError(f"{error}; see `mlmat doctor --config slurm`") from error
    wanted = set(settings.partition.split(",")) - {""}
    fitting = [one for one in found if (one.name in wanted if wanted else one.default)]
    if not fitting or wanted - {one.name for one in fitting}:
        names = ", ".join(dict.fromkeys(one.name for one in found))
        raise UsageError(f"partition {settings.partition!r}: there are {names}; see `mlmat config init`")
    return fitting


def tried(settings: Slurm) -> str:
    """What Slurm says of a block that is only tried. Raises UsageError, RunnerError with the reason why it cannot run.

    Slurm itself takes jobs that wait for ever: for a closed partition, or for longer than one allows.
    """
    fitting = partitions_of(settings)
    if not any(one.up for one in fitting):
        raise RunnerError(f"partition {fitting[0].name} is closed: its jobs wait; choose another, or ask why")
    check_limits(settings, [one for one in fitting if one.up])
    try:
        return slurm.would_start(script(settings))
    except SchedulerError as error:
        raise RunnerError(f"Slurm would not take such a block: {error}") from error


def check_limits(settings: Slurm, fitting: list[Partition]) -> None:
    """Raises RunnerError for a block that no partition ever starts: Slurm takes the one of a list that can."""
    by_name: dict[str, list[Partition]] = {}
    for one in fitting:
        by_name.setdefault(one.name, []).append(one)
    against = [_against(settings, nodes) for nodes in by_name.values()]
    if all(against):
        raise RunnerError("; ".join(against))


def _against(settings: Slurm, fitting: list[Partition]) -> str:
    """Why a partition, given by its kinds of nodes, never starts such a block; empty where it may."""
    name, limit = fitting[0].name, fitting[0].limit
    if limit[:1].isdigit() and settings.seconds > slurm_settings.seconds_of(limit):
        return f"walltime {settings.walltime}: partition {name} allows {limit} at most"
    if settings.cores_per_node > (cores := max(one.cores for one in fitting)):
        return f"cores_per_node = {settings.cores_per_node}: nodes of partition {name} have {cores}"
    if settings.nodes_per_block > (nodes := sum(one.nodes for one in fitting if one.cores >= settings.cores_per_node)):
        return f"nodes_per_block = {settings.nodes_per_block}: partition {name} has {nodes} of such nodes"
    return ""


def shared(settings: Slurm, folder: Path) -> Path:
    """The folder for logs and scratch directories that the nodes see, too: the given one, or one that is set."""
    if not settings.shared_folder:
        return folder
    place = Path(os.path.expandvars(settings.shared_folder)).expanduser()
    # The same path on another host is another store.
    store, host = folder.parent, socket.gethostname()
    return place / f"{store.name}-{hashlib.sha256(f'{host}:{store}'.encode()).hexdigest()[:8]}" / folder.name


def _outside(settings: Slurm, folder: Path) -> Any:
    from parsl.launchers import SrunLauncher

    from mlmat.scheduler.provider import SlurmBlocks

    if not slurm.is_there():
        raise RunnerError("sbatch is not on PATH: is this a host of the cluster? see `mlmat doctor --config slurm`")
    check_limits(settings, partitions_of(settings))
    # parsl asks for whole minutes.
    settings = replace(settings, walltime=_hours(settings.seconds // 60 * 60))
    provider = SlurmBlocks(
        name=f"mlmat-{secrets.token_hex(4)}",
        poll=settings.poll_seconds,
        batch_seconds=settings.batch,
        launcher=SrunLauncher(overrides=_srun(settings)),
        init_blocks=1,
        max_blocks=settings.max_blocks,
        nodes_per_block=settings.nodes_per_block,
        walltime=_hours(settings.seconds),
        **{name: getattr(settings, name) or None for name in ("partition", "account", "qos", "constraint")},
        cores_per_node=settings.cores_per_node,
        mem_per_node=settings.memory_per_node or None,
        gpus_per_node=settings.gpus_per_node or None,
        exclusive=settings.exclusive,
        scheduler_options="\n".join(_options(settings)),
        worker_init=prologue(settings),
        cmd_timeout=int(slurm.PATIENCE),
    )
    return _config(settings, folder, provider)


def _inside(settings: Slurm, folder: Path) -> Any:
    from parsl.launchers import SrunLauncher

    from mlmat.scheduler.provider import Allocation

    provider = Allocation(
        settings.batch,
        time.monotonic() + settings.seconds - settings.drain,
        settings.drain / 2,
        # A driver that runs in a step of the job has its cores.
        launcher=SrunLauncher(overrides=f"{_srun(settings)} --overlap"),
        nodes_per_block=settings.nodes_per_block,
        # The user's name for the job may be none for a file, and parsl makes one of it.
        worker_init=f"{prologue(settings)}\nexport SLURM_JOB_NAME=mlmat",
    )
    return _config(settings, folder, provider)


def _config(settings: Slurm, folder: Path, provider: Any) -> Any:
    from parsl.config import Config

    from mlmat.scheduler.provider import Executor, watch_blocks

    executor = Executor(
        label="slurm",
        interchange_launch_cmd=interchange_command(),
        launch_cmd=manager_command(same_host=False),
        address=settings.address or None,
        **({"worker_port_range": settings.port_range} if settings.ports else {}),
        loopback_address="127.0.0.1",
        max_workers_per_node=settings.workers_per_node,
        cores_per_worker=share(settings.cores_per_node, settings.workers_per_node),
        heartbeat_period=max(1, round(settings.lost_after / 6)),
        heartbeat_threshold=max(2, round(settings.lost_after)),
        drain_period=round(settings.seconds - settings.drain),
        block_error_handler=watch_blocks,
        encrypted=True,
        provider=provider,
    )
    pace = {"strategy": "htex_auto_scale", "strategy_period": max(1.0, settings.poll_seconds / 6), "max_idletime": 60.0}
    return Config(executors=[executor], run_dir=str(folder), **pace, **QUIET)


def _srun(settings: Slurm) -> str:
    """A manager on each node, with all of its cores, that goes on when another node is lost."""
    return f"--ntasks-per-node=1 --cpus-per-task={settings.cores_per_node} --kill-on-bad-exit=0 --no-kill --export=ALL"


def _options(settings: Slurm) -> list[str]:
    """Lines for sbatch: parsl asks for a new block itself, and one lost node is not the end of the others."""
    # Limits of a login node (time, memory) are none of the nodes'.
    return [f"#SBATCH {one}" for one in ("--no-requeue", "--no-kill", "--propagate=NONE", *settings.sbatch)]


def prologue(settings: Slurm) -> str:
    """Shell lines before the workers of a block: modules, a group's own lines, this process's environment."""
    lines = [*(f"module load {shlex.quote(one)}" for one in settings.modules), *settings.setup]
    # Numbers of another environment than the one that was asked for would be wrong ones.
    prepared = [f"{line} || {{ echo {shlex.quote(f'failed: {line}')} >&2; exit 1; }}" for line in lines]
    pinned = [f"export {PER_WORKER}=given"] if settings.gpus_per_node else []
    return "\n".join([*prepared, worker_init(settings.threads_per_worker), *pinned])


def _hours(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"


def script(settings: Slurm) -> str:
    """The head of a block's job, for `sbatch --test-only` and for people."""
    asked = {
        "job-name": "mlmat", "nodes": settings.nodes_per_block, "time": _hours(settings.seconds),
        "ntasks-per-node": 1, "cpus-per-task": settings.cores_per_node, "partition": settings.partition,
        "account": settings.account, "qos": settings.qos, "constraint": settings.constraint,
        "gpus-per-node": settings.gpus_per_node, "mem": f"{settings.memory_per_node}g" * bool(settings.memory_per_node),
    }  # fmt: skip
    lines = [f"#SBATCH --{name}={value}" for name, value in asked.items() if value]
    lines += ["#SBATCH --exclusive"] * settings.exclusive + _options(settings)
    return "\n".join(["#!/bin/bash", *lines, "", prologue(settings), f"{shlex.quote(sys.executable)} --version", ""])
