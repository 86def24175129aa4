"""What a host does around a connection to a store on a network disk: it claims the store. Nothing on a local disk."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from mlmat.errors import StoreLocked
from mlmat.store.access import hosts, messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = "store"


class StoreLease:
    """The claims that this process has on a store, one for each connection; threads take turns at a connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claims: list[hosts.Lease | None] = []
        self._other: hosts.Holder | None = None

    @cached_property
    def hosts(self) -> hosts.LeaseManager | None:
        """The claims of all hosts; None on a local disk."""
        return hosts.hosts_of(self._path)

    def poll(self, local: float) -> float:
        """Seconds between two tries to open the store; local: those on a local disk."""
        return hosts.POLL if self.hosts else local

    def enter(self, read_only: bool) -> bool:
        """Lease the store for this host; False when another one has it. Who can only read does so without a claim."""
        found = None
        if self.hosts is not None:
            try:
                found = self.hosts.take(_NAME)
            except OSError as error:
                if not read_only:
                    raise messages.unwritable(self._path, error) from error
        self._other = found if isinstance(found, hosts.Holder) else None
        if isinstance(found, hosts.Holder):
            return False
        self._claims.append(found)
        return True

    def leave(self) -> None:
        """Give up the claim of the connection that was closed."""
        if (claim := self._claims.pop()) is not None:
            claim.release()

    def check(self) -> None:
        """See that the claim of the open connection still counts. Raises StoreLocked."""
        if (claim := self._claims[-1]) is not None and claim.is_lost():
            raise StoreLocked(
                f"{self._path}: this process stood still, and another host opened the store meanwhile; nothing of this "
                "step was written, try again"
            )

    @contextmanager
    def alone(self, until: float) -> Iterator[None]:
        """Have the store for this host. Raises StoreLocked when another one stays until a moment."""
        while not self.enter(read_only=False):
            if time.monotonic() > until:
                raise StoreLocked(self.refusal())
            time.sleep(hosts.POLL)
        try:
            yield
        finally:
            self.leave()

    def refusal(self) -> str | None:
        """Why the last `enter` failed; None when it did not."""
        if self._other is None:
            return None
        who = f"{self._other} has it open ({self._other.age:.0f} s ago)"
        return f"{self._path}: {who}; one host at a time: work there, or wait"

    def holder(self, glance: float) -> str | None:
        """The other host that has the store open for longer than a glance of some seconds."""
        if self.hosts is None or (found := self.hosts.holder(_NAME)) is None or found.age > hosts.STALE:
            return None
        time.sleep(glance)
        return str(found) if self.hosts.newest(_NAME) == found.number else None
