"""One driver per store and method, held by an OS lock: no claims to expire, no clock that decides."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlmat.errors import StoreLocked
from mlmat.store._connection import try_lock
from mlmat.store._messages import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


def driver(folder: Path, method_id: str, who: str) -> AbstractContextManager[None]:
    """Be the one driver of a method. Raises StoreLocked, naming who is at work."""
    return _alone(folder / f"method-{method_id}.lock", who, "this method is being computed already by")


def archive_reader(folder: Path, who: str) -> AbstractContextManager[None]:
    """Be the one who reads containers into this store. Raises StoreLocked, naming who does so already.

    The ledger holds how far one reading of a container has come, not two.
    """
    return _alone(folder / "archives.lock", who, "archives are being read into this store already by")


@contextmanager
def _alone(lock: Path, who: str, what: str) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        if not _locked_soon(fd):
            raise StoreLocked(f"{what} {_said(fd)}; let it finish or stop it")
        os.ftruncate(fd, 0)
        with suppress(OSError):  # the lock counts, also where the disk has no room for a name
            os.pwrite(fd, who.encode(), 0)
        yield
    finally:
        os.close(fd)


def at_work(folder: Path) -> list[str]:
    """One line for each living driver."""
    found = []
    for path in folder.glob("method-*.lock"):
        fd = os.open(path, os.O_RDONLY)
        try:
            if not try_lock(fd, fcntl.LOCK_SH):
                found.append(_said(fd))
        finally:
            os.close(fd)
    return found


def _said(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode(errors="replace").strip() or "another process"


def _locked_soon(fd: int) -> bool:
    """Take a driver's lock; somebody who only asks who is at work holds it for an instant, too."""
    for _ in range(5):
        if try_lock(fd, fcntl.LOCK_EX):
            return True
        time.sleep(0.02)
    return False
