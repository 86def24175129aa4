"""Python processes of our own at the other end of a pipe, which may crash or hang without harm to their parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING

from mlmat.processes.machine import born

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Elsewhere RLIMIT_DATA is refused, or leaves out what a large allocation maps.
LIMITS_MEMORY = sys.platform == "linux"
#: Linux: the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def start(
    module: str, *arguments: str, pass_fds: Sequence[int] = (), session: bool = False, **environment: str
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Run `python -m module FD arguments`, FD being its end of a pipe; the process and our end.

    session: in a session of its own, which ctrl-C does not reach. It finds the modules that this process finds.
    """
    ours, theirs = Pipe()
    paths = os.pathsep.join(path for path in sys.path if path)
    popen = subprocess.Popen(
        # -P: a random.py in the working directory must not be imported.
        [sys.executable, "-P", "-m", module, str(theirs.fileno()), *arguments],
        pass_fds=[theirs.fileno(), *pass_fds],
        start_new_session=session,
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a runner prints must not get into the output of a command
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )
    theirs.close()
    return popen, ours


def end(popen: subprocess.Popen[bytes], pipe: Connection) -> int:
    """End a process at once; its exit code."""
    pipe.close()
    popen.kill()
    return popen.wait()


def code_of(popen: subprocess.Popen[bytes], pipe: Connection) -> int:
    """The exit code of a process that has hung up."""
    try:
        return popen.wait(5)
    except subprocess.TimeoutExpired:
        return end(popen, pipe)


def name_of(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):  # real-time signals have no names
        return signal.Signals(-code).name
    return f"signal {-code}"


def limit_memory(size: int | None) -> None:
    """Limit the memory of this process to so many bytes, unless less is allowed already; no core files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if size is not None and LIMITS_MEMORY:
        wanted = size if hard == resource.RLIM_INFINITY else min(size, hard)
        if soft == resource.RLIM_INFINITY or soft > wanted:
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent() -> None:
    """Let this process be killed when its parent ends, also while it hangs in C code (Linux; elsewhere it may not)."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _end_after(parent: int) -> None:
    """End this process once its parent is gone: within a second of Python code."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def watch(pid: int, since: str) -> None:
    """Wait until a process that began then, or the parent, is gone; end the group of processes that this one is in."""
    parent = os.getppid()
    while os.getppid() == parent and born(pid) == since:
        time.sleep(1)
    time.sleep(2)  # the shell that started the group may still note how it went
    os.killpg(0, signal.SIGKILL)
