"""How a store is made, opened and recognised: the part of `Store` that every other part stands on."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.errors import StoreError
from mlmat.store.access.connection import Database, plain_errors
from mlmat.store.access.mounts import network_warning
from mlmat.store.schema import migrations

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import duckdb

    from mlmat.store.access.bounds import Bounds
    from mlmat.store.access.hosts import LeaseManager


class Opening:
    """A store file that is there, is a store of this version, and is the same one each time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.database = Database(path)
        self._readable = self._writable = False
        self._identity: str | None = None
        self._warned = False
        #: What each runner declared when the comments and the view of its table were complete.
        self._described: dict[str, Mapping[str, str]] = {}

    @property
    def path(self) -> Path:
        """The store file."""
        return self.database.path

    @property
    def folder(self) -> Path:
        """The folder beside it: locks, journals, scratch directories, logs."""
        return self.database.folder

    @property
    def _hosts(self) -> LeaseManager | None:
        """The claims of hosts on the store and what belongs to it; None on a local disk."""
        return self.database.entrance.hosts

    def create(self) -> None:
        """Make the file and its tables where there are none, in whole or not at all."""
        if self.path.exists():
            return
        if not self.path.parent.is_dir():
            raise StoreError(f"{self.path}: the folder {self.path.parent} does not exist; make it first")
        with plain_errors(self.path):
            self.database.create(lambda con: migrations.upgrade(con, self.path))

    def check(self) -> None:
        """See that this is a store that this mlmat can read; older tables are brought up. Raises StoreError."""
        if not self._readable and not self._is_readable_now():
            self._upgrade()

    def _upgrade(self) -> None:
        with self._transaction() as con:
            migrations.upgrade(con, self.path)
            self._recognise(con)
        self._readable = self._writable = True

    @contextmanager
    def _reading(self, bounds: Bounds | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        self.check()
        with plain_errors(self.path), self._database(bounds).read() as con:
            self._recognise(con)
            yield con

    def _is_readable_now(self) -> bool:
        with plain_errors(self.path), self.database.read() as con:
            self._readable = migrations.is_readable(con, self.path)
            self._recognise(con)
            self._sort_after(con)
        return self._readable

    def _database(self, bounds: Bounds | None) -> Database:
        return self.database if bounds is None else self.database.bounded(bounds.settings())

    @contextmanager
    def _transaction(self, timeout: float = 60.0, bounds: Bounds | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        self._warn_of_network()
        with plain_errors(self.path), self._database(bounds).write(timeout) as con:
            self._recognise(con)
            self._sort_after(con)
            yield con

    def _warn_of_network(self) -> None:
        """Say once, to those who write, that the store lies on a network file system."""
        if not self._warned and (text := network_warning(self.path)):
            (self.database.say or warnings.warn)(text)
        self._warned = True

    def _sort_after(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let new ids sort after what the store holds: the clock may have been set back."""
        if self._identity and (newest := migrations.newest_run(con)):
            provenance.sort_after(newest)

    def _recognise(self, con: duckdb.DuckDBPyConnection) -> None:
        """See that it is the store that was opened first. Raises StoreError."""
        found = migrations.identity(con, known=self._identity is not None)
        if self._identity not in (None, found):
            raise StoreError(
                f"{self.path}: another store lies now where the one was that was opened; put that one back, or open "
                f"this one anew. Results that wait are kept in {self.folder}/journal"
            )
        self._identity = found
