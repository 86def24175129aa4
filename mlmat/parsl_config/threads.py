"""`threads`: in this process, one per core. Starts at once; a crash in C code takes the run with it; no time limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.parsl_config._quiet import QUIET
from mlmat.processes.machine import cores

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path) -> Any:
    """Threads of this process, one per core."""
    from parsl.config import Config
    from parsl.executors import ThreadPoolExecutor

    executor = ThreadPoolExecutor(label="threads", max_threads=cores())
    return Config(executors=[executor], run_dir=str(folder), **QUIET)
