"""What the system tells of itself: cores, memory, processes. Linux by /proc, others by psutil, with less certainty."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")


def has_proc() -> bool:
    """Whether the kernel shows its processes as files, as Linux does."""
    return (PROC / "self/stat").exists()


def cores() -> int:
    """Cores that this process may use; where it cannot be bound to some, all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes that the machine can still give."""
    if has_proc():
        lines = (PROC / "meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    import psutil

    return int(psutil.virtual_memory().available)


def born(pid: int) -> str | None:
    """When a process began, as the kernel counts; None when it is gone or dead. Numbers of processes come again."""
    if has_proc():
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    found = _process(pid)
    return None if found is None else repr(found.create_time())


def began(pid: int) -> float | None:
    """When a process began, in seconds since 1970, to the second; None when it is gone."""
    if has_proc():
        with suppress(OSError):
            return (PROC / str(pid)).stat().st_ctime
        return None
    found = _process(pid)
    return None if found is None else float(found.create_time())


def name_of(pid: int) -> str | None:
    """The name of a process; None when it is gone."""
    if has_proc():
        with suppress(OSError):
            return (PROC / str(pid) / "comm").read_text().strip()
        return None
    found = _process(pid)
    return None if found is None else str(found.name())


def parent_of(pid: int) -> int | None:
    """The parent of a process; None when it is gone."""
    if has_proc():
        with suppress(OSError):
            return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        return None
    found = _process(pid)
    return None if found is None else int(found.ppid())


def with_variable(name: str, value: str) -> Iterator[int]:
    """The user's processes that were started with a variable of the environment; those of others show nothing."""
    if has_proc():
        entry = f"{name}={value}".encode()
        for file in PROC.glob("[0-9]*/environ"):
            with suppress(OSError):  # gone, or somebody else's; that of a zombie is empty
                if entry in file.read_bytes().split(b"\0"):
                    yield int(file.parent.name)
        return
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                yield process.pid


def _process(pid: int) -> Any:
    """What psutil knows of a process that lives."""
    import psutil

    try:
        found = psutil.Process(pid)
        with found.oneshot():
            return None if found.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else found
    except psutil.Error:
        return None
