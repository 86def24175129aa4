"""Locks of the operating system, which end with their process: to take one, and to see who has one."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from typing import TYPE_CHECKING

from mlmat.processes import machine

if TYPE_CHECKING:
    from pathlib import Path

#: C's struct flock, and where in it the type and the process stand. Linux: type, whence, start, length, process; macOS:
#: start, length, process, type, whence.
_FLOCK, _TYPE, _PID = (struct.Struct("qqihh"), 3, 2) if sys.platform == "darwin" else (struct.Struct("hhqqi4x"), 0, 4)


def try_lock(fd: int, kind: int) -> bool:
    """Take a file lock of a kind if it is free."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def locked_by(path: Path) -> int | None:
    """The process of this host that keeps writers out of a file, as the kernel knows it.

    Closing the file drops such locks of this process: nothing of it may have the file open.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        asked = [0] * 5  # from its start (SEEK_SET is 0) to its end
        asked[_TYPE] = fcntl.F_WRLCK
        found = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, _FLOCK.pack(*asked)))
    finally:
        os.close(fd)
    return None if found[_TYPE] == fcntl.F_UNLCK else int(found[_PID])


def process(pid: int) -> str:
    """A process for people: its number and name."""
    name = machine.name_of(pid)
    return f"process {pid} ({name})" if name else f"process {pid}"
