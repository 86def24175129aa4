"""parsl's programs, started by this Python with somebody beside them who ends what nobody needs any more."""

from __future__ import annotations

import os
import runpy
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

from mlmat.parsl_config._environment import PACKAGE, binaries
from mlmat.processes import machine

#: Variables by which an MPI program believes to be part of the job step that its worker runs in: it aborts or hangs.
STEP = ("SLURM_", "PMI_", "PMI2_", "PMIX_", "PALS_")


def interchange_command() -> list[str]:
    """parsl's interchange, which neither dies of a signal to the driver's group nor outlives the driver."""
    return [sys.executable, "-P", "-c", _code("interchange", os.getpid())]


def manager_command(*, same_host: bool) -> str:
    """parsl's manager; on the driver's host somebody beside it ends it, and all that it started, with the driver.

    One that starts when the interchange is dead would wait for it for ever, and one that is killed leaves processes:
    on a node of a cluster the scheduler sees to that.
    """
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    program, arguments = DEFAULT_LAUNCH_CMD.split(" ", 1)
    python = f"{shlex.quote(sys.executable)} -P -c"
    if not same_host:
        return f"{python} {shlex.quote(_code('manager'))} {arguments}"
    pid = os.getpid()
    start = f"import sys; sys.path.append({PACKAGE!r}); from mlmat.processes.child import watch"
    watch = f"{start}; watch({pid}, {machine.born(pid)!r})"
    return f"{python} {shlex.quote(watch)} & {program} {arguments}"


def _code(function: str, *arguments: int) -> str:
    called = f"{function}({', '.join(map(repr, arguments))})"
    return f"import sys; sys.path.append({PACKAGE!r}); from mlmat.parsl_config._programs import {function}; {called}"


def interchange(driver: int) -> None:
    """Run parsl's interchange until it is told to stop or its driver (a process id) is gone."""

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1)
        os._exit(1)

    # Ctrl-C reaches the whole group of processes, as does the signal of whoever cancels a job, and the driver still
    # wants what its workers have done.
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


def manager() -> None:
    """Become parsl's manager on a node, without what would tell an MPI program that it belongs to this job step."""
    for name in [name for name in os.environ if name.startswith(STEP)]:
        del os.environ[name]
    program = str(Path(binaries()) / "process_worker_pool.py")
    os.execv(program, [program, *sys.argv[1:]])
