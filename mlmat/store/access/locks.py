"""Locks of the operating system, which end with their process: to take one, and to see who has one."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

#: C's struct flock: type, whence, start, length, process.
_FLOCK = struct.Struct("hhqqi4x")


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
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return None if kind == fcntl.F_UNLCK else int(pid)


def process(pid: int) -> str:
    """A process for people: its number and name."""
    with suppress(OSError):
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    return f"process {pid}"
