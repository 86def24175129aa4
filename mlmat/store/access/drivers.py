"""One driver per store and method, held by an OS lock: no claims to expire, no clock that decides.

On a network disk, where another host may not see the lock, the driver's host claims the method, too (`host_leases.py`).
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from mlmat.errors import StoreLocked
from mlmat.store.access import hosts as host_leases
from mlmat.store.access.locks import try_lock
from mlmat.store.access.messages import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlmat.store.access.hosts import LeaseManager


def driver(folder: Path, method_id: str, who: str, hosts: LeaseManager | None = None) -> AbstractContextManager[None]:
    """Be the one driver of a method. Raises StoreLocked, naming who is at work."""
    return _alone(folder / f"method-{method_id}.lock", who, "this method is being computed already by", hosts)


def archive_reader(folder: Path, who: str, hosts: LeaseManager | None = None) -> AbstractContextManager[None]:
    """Be the one who reads containers into this store. Raises StoreLocked, naming who does so already.

    The ledger holds how far one reading of a container has come, not two.
    """
    return _alone(folder / "archives.lock", who, "archives are being read into this store already by", hosts)


@contextmanager
def _alone(lock: Path, who: str, what: str, hosts: LeaseManager | None) -> Iterator[None]:
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
        with nullcontext() if hosts is None else _claimed(hosts, lock, who, what):
            yield
    finally:
        os.close(fd)


@contextmanager
def _claimed(hosts: LeaseManager, lock: Path, who: str, what: str) -> Iterator[None]:
    """Have the name of a lock for this host, too. Raises StoreLocked."""

    def lost() -> None:
        warnings.warn(f"this process stood still, and another host took over what it did ({lock.stem})", stacklevel=2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # like ctrl-C

    try:
        while isinstance(claim := hosts.take(lock.stem, who, lost), host_leases.Holder):
            if claim.age <= host_leases.STALE:
                raise StoreLocked(f"{what} {claim.who or claim} {claim.seen}; let it finish or stop it")
            time.sleep(host_leases.POLL)  # it seems to be dead: see that it does not move
    except OSError as error:
        raise unwritable(lock, error) from error
    try:
        yield
    finally:
        claim.release()


def at_work(folder: Path, hosts: LeaseManager | None = None) -> list[str]:
    """One line for each living driver."""
    others = {one.who: one.seen for one in hosts.living("method-")} if hosts else {}
    found = [f"{who} {seen}" for who, seen in others.items()]
    for path in folder.glob("method-*.lock"):
        fd = os.open(path, os.O_RDONLY)
        try:
            if not try_lock(fd, fcntl.LOCK_SH) and _said(fd) not in others:
                found.append(_said(fd))
        finally:
            os.close(fd)
    return found


def is_driving(folder: Path, method_id: str, who: str) -> bool:
    """Whether the driver of a method is at work, and is this one."""
    try:
        fd = os.open(folder / f"method-{method_id}.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(fd, fcntl.LOCK_SH) and _said(fd) == who
    finally:
        os.close(fd)


def _said(fd: int) -> str:
    return os.pread(fd, 4096, 0).decode(errors="replace").strip() or "another process"


def _locked_soon(fd: int) -> bool:
    """Take a driver's lock; somebody who only asks who is at work holds it for an instant, too."""
    for _ in range(5):
        if try_lock(fd, fcntl.LOCK_EX):
            return True
        time.sleep(0.02)
    return False
