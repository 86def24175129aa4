"""Claims of hosts: on a network disk one host at a time has a store open, drives a method, owns a journal.

Between the hosts that share a disk file locks may fail; between the processes of one host they hold. So a claim is a
file `NAME.NUMBER` in `FILE.d/hosts` that names its host. The highest number counts. The next number is made with
O_EXCL, by one of those who want it, when the one before is free or its host is dead; the highest is never removed, so
that whoever comes late with a number that was there before sees a higher one, and steps back. Processes of one host
share its claim by a lock on the file; the last one marks it free. A host that lives touches its file. It is dead when
its last touch is old, by the clock of the file server, and somebody has watched for a while and saw none: no clock of a
host decides.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlmat.store.access.locks import try_lock
from mlmat.store.access.mounts import network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between two touches of a claim.
RENEW = 5.0
#: Seconds after the last touch from which on a host may be dead.
STALE = 60.0
#: Seconds that somebody must have watched such a claim, looking at it more often than that.
WATCH = 12.0
#: Seconds between two looks at what another host has.
POLL = 0.2
#: How often one tries again when another process was quicker.
TRIES = 100
_FREE = b"free"


class Holder(NamedTuple):
    """Who has a claim; age: seconds since its last touch."""

    host: str
    pid: int
    who: str
    age: float
    number: int

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host}" if self.pid else "another host"

    @property
    def seen(self) -> str:
        """When it last gave a sign of life, and what that means."""
        dead = f"; if it is dead, wait until {STALE:.0f} s are over" if self.age > 2 * RENEW else ""
        return f"(last seen {self.age:.0f} s ago{dead})"


class Lease:
    """A name that this host has, kept by a thread that touches its file."""

    def __init__(self, hosts: LeaseManager, name: str, number: int, fd: int, lost: Callable[[], None] | None) -> None:
        self._hosts, self._name, self._number, self._fd = hosts, name, number, fd
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, args=(lost,), name=f"claim {name}", daemon=True)
        os.utime(fd)
        self._thread.start()

    def _renew(self, lost: Callable[[], None] | None) -> None:
        while not self._over.wait(RENEW):
            with suppress(OSError):
                os.utime(self._fd)  # of a file that another host has removed it may be an error
            with suppress(OSError):
                if lost is not None and self.is_lost():
                    return lost()

    def is_lost(self) -> bool:
        """Another host has taken it, because this process stood still for long."""
        return self._hosts.newest(self._name) > self._number

    def release(self, *, forget: bool = False) -> None:
        """Give it up; the last process of the host marks it free, or removes it when there is nothing left to claim."""
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_UN)  # two who leave at once must not hinder each other
            if try_lock(self._fd, fcntl.LOCK_EX):
                os.pwrite(self._fd, _FREE, 0)
                if forget:
                    self._hosts.path(self._name, self._number).unlink(missing_ok=True)
        os.close(self._fd)


class LeaseManager:
    """The claims on a store and what belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Name of a claim -> its number and last touch, since when and until when it was seen so.
        self._watched: dict[str, tuple[tuple[int, int], float, float]] = {}

    def take(self, name: str, who: str = "", lost: Callable[[], None] | None = None) -> Lease | Holder:
        """Lease a name for this host, or join its claim; the holder when another host has it.

        lost is called, in a thread, when another host has taken it over. Raises OSError where nothing can be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(TRIES):
            found = self._step(name, who, lost)
            if found is not None:
                return found
            time.sleep(0.01)
        return Holder("", 0, "another process", 0.0, 0)

    def holder(self, name: str) -> Holder | None:
        """The other host that has a name and is not known to be dead; None where there is none."""
        with suppress(OSError):
            if number := self.newest(name):
                fd = os.open(self.path(name, number), os.O_RDONLY)
                try:
                    said = _read(fd)
                    if said and not _is_own(said):
                        return self._described(said, fd, number)
                finally:
                    os.close(fd)
        return None

    def living(self, prefix: str) -> list[Holder]:
        """Other hosts that have names with a prefix."""
        names = sorted({name for name, _ in self._claims() if name.startswith(prefix)})
        found = [self.holder(name) for name in names]
        return [one for one in found if one is not None and one.age <= STALE]

    def newest(self, name: str) -> int:
        """The highest number of a claim; 0 where there is none."""
        return max((number for found, number in self._claims() if found == name), default=0)

    def path(self, name: str, number: int) -> Path:
        """The file of a claim."""
        return self.folder / f"{name}.{number}"

    def _claims(self) -> Iterator[tuple[str, int]]:
        files = list(self.folder.iterdir()) if self.folder.is_dir() else []
        for name, _, number in (file.name.rpartition(".") for file in files):
            if number.isdecimal():
                yield name, int(number)

    def _step(self, name: str, who: str, lost: Callable[[], None] | None) -> Lease | Holder | None:
        """Try once; None when it is to be tried again."""
        number = self.newest(name)
        if not number:
            return self._make(name, 1, who, lost)
        try:
            fd = os.open(self.path(name, number), os.O_RDWR)
        except FileNotFoundError:
            return None
        joined = False
        try:
            said = _read(fd)
            if said is None:
                return self._make(name, number + 1, who, lost)
            if not _is_own(said):
                return self._from_other(name, self._described(said, fd, number), fd, who, lost)
            if try_lock(fd, fcntl.LOCK_EX):  # its processes are dead
                return self._make(name, number + 1, who, lost)
            joined = try_lock(fd, fcntl.LOCK_SH) and _read(fd) is not None and self.newest(name) == number
            return Lease(self, name, number, fd, lost) if joined else None
        finally:
            if not joined:
                os.close(fd)

    def _from_other(
        self, name: str, holder: Holder, fd: int, who: str, lost: Callable[[], None] | None
    ) -> Lease | Holder | None:
        still = self._unchanged(name, (holder.number, os.fstat(fd).st_mtime_ns))
        if holder.age > STALE and still > WATCH:
            return self._make(name, holder.number + 1, who, lost)
        return holder if holder.pid else None  # without a process: it is being written

    def _unchanged(self, name: str, now_is: tuple[int, int]) -> float:
        """Seconds that this object has watched a claim without seeing a touch.

        Whoever did not look for long (the file server was away, this process stood still) begins again.
        """
        now = time.monotonic()
        was, since, seen = self._watched.get(name, (now_is, now, now))
        if was != now_is or now - seen > WATCH:
            since = now
        self._watched[name] = now_is, since, now
        return now - since

    def _make(self, name: str, number: int, who: str, lost: Callable[[], None] | None) -> Lease | None:
        """Make the next claim; None when another process was quicker."""
        path = self.path(name, number)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return None
        made = False
        try:
            locked = try_lock(fd, fcntl.LOCK_SH)  # before it can be read: whose is not locked is a dead one's
            os.pwrite(fd, json.dumps({**_own(), "pid": os.getpid(), "who": who}).encode(), 0)
            os.fsync(fd)
            if locked and self.newest(name) == number:
                claim = Lease(self, name, number, fd, lost)
                made = True
                with suppress(OSError):
                    self._remove_before(name, number)
                return claim
        finally:
            if not made:
                os.close(fd)
                path.unlink(missing_ok=True)
        return None

    def _remove_before(self, name: str, number: int) -> None:
        for found, older in list(self._claims()):
            if found == name and older < number:
                self.path(name, older).unlink(missing_ok=True)

    def _described(self, said: dict[str, Any], fd: int, number: int) -> Holder:
        age = max(0.0, self._now() - os.fstat(fd).st_mtime)
        return Holder(said.get("host", "unknown"), said.get("pid", 0), said.get("who", ""), age, number)

    def _now(self) -> float:
        """The clock of the file server, by a file that is touched now; where nothing can be written, of this host."""
        path = self.folder / f"now-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
        with suppress(OSError):
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                os.utime(fd)
                return os.fstat(fd).st_mtime
            finally:
                os.close(fd)
                path.unlink(missing_ok=True)
        return time.time()


def hosts_of(path: Path) -> LeaseManager | None:
    """The claims on a store; None on a local disk, where locks hold."""
    real = Path(os.path.realpath(path))
    return LeaseManager(real.with_name(f"{real.name}.d") / "hosts") if network(real) else None


def _read(fd: int) -> dict[str, Any] | None:
    """What a claim says: nothing yet while it is being written; None when it is free."""
    text = os.pread(fd, 4096, 0)
    if text.startswith(_FREE):
        return None
    with suppress(ValueError):
        return dict(json.loads(text))
    return {}


def _is_own(said: dict[str, Any]) -> bool:
    return {name: said.get(name) for name in ("host", "boot")} == _own()


@cache
def _own() -> dict[str, str]:
    """This host: its name, and what tells it from another one of that name."""
    with suppress(OSError):
        return {"host": socket.gethostname(), "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
    return {"host": socket.gethostname(), "boot": ""}
