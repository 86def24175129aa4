"""Opening the store file: who may, in what order, and what is said when nobody can.

DuckDB lets one process write or many read, never both. Every connection here is short: open, one transaction, close.
A turnstile beside the store (a lock file) lets a waiting writer go before new readers; a writer that meets a reader who
stays steps back from the turnstile every half second, so that other readers are not kept waiting behind it.
"""

from __future__ import annotations

import copy
import fcntl
import os
import random
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import StoreError, StoreLocked
from mlmat.store.access import messages
from mlmat.store.access.entrance import StoreLease
from mlmat.store.access.locks import locked_by, process, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import duckdb

#: Seconds between two tries to open a store that somebody else holds.
POLL = 0.005
#: Seconds that a writer may keep new readers waiting for a reader who does not leave.
PATIENCE = 0.5
#: Seconds of waiting after which a user is told for whom.
SILENCE = 1.0
#: Seconds that somebody has to stay to be called the holder of a store.
GLANCE = 0.3
_CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "enable_external_access": "false",
}
#: Bytes before the first block of a DuckDB file.
_HEADERS = 3 * 4096
_process_locks: dict[str, threading.RLock] = {}


class Database:
    """One store file and the folder `FILE.d` beside it (locks, journals, scratch)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        self.folder = self.path.with_name(self.path.name + ".d")
        self.say: Callable[[str], None] | None = None
        self.settings: Mapping[str, str] = _CONFIG
        #: Seconds that a reader waits for a writer.
        self.patience = 30.0
        self._opened, self._told = False, ""
        self.entrance = StoreLease(self.path)
        # DuckDB's lock is per process and a second connection of another kind is refused: threads take turns.
        self._threads = _process_locks.setdefault(os.path.realpath(self.path), threading.RLock())

    def bounded(self, settings: Mapping[str, str]) -> Database:
        """The same file, opened with settings of DuckDB of its own."""
        other = copy.copy(self)
        other.settings = {**self.settings, **settings}
        return other

    @contextmanager
    def read(self, timeout: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection for one short use.

        Raises StoreLocked when a writer stays longer than timeout seconds (patience), StoreError when it is no store.
        """
        with self._threads:
            start = time.monotonic()
            con = self._wait(True, start + (self.patience if timeout is None else timeout), start)
            if con is None:
                raise StoreLocked(self._who())
            try:
                yield con
            finally:
                con.close()
                self.entrance.leave()

    @contextmanager
    def write(self, timeout: float = 60.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside one transaction: committed at the end, rolled back by an exception.

        Raises StoreLocked when readers or another writer stay longer than timeout seconds. The file must be there: only
        `create` makes one.
        """
        start = time.monotonic()
        deadline = start + timeout
        with self._threads:
            while True:
                with self._turnstile(deadline):
                    con = self._wait(False, min(deadline, time.monotonic() + PATIENCE), start)
                    if con is not None:
                        try:
                            with _transaction(con):
                                self._check_whole(con)
                                yield con
                                self.entrance.check()
                        finally:
                            self.entrance.leave()
                        return
                if time.monotonic() > deadline:
                    raise StoreLocked(self._who())
                time.sleep(random.uniform(0.1, 0.3))

    def create(self, fill: Callable[[duckdb.DuckDBPyConnection], None], timeout: float = 60.0) -> None:
        """Make the file where there is none, filled by one transaction, in whole or not at all."""
        new = Database(self.path.with_name(f"{self.path.name}.new"))
        until = time.monotonic() + timeout
        with self._turnstile(until), self.entrance.alone(until):
            if self.path.exists():  # by another process, just now
                return
            if self._log.exists():
                raise StoreError(f"{self._log}: changes to a store that is not there; put it back, or remove this file")
            try:
                new._remove()
                with _transaction(new._connect(read_only=False)) as con:
                    fill(con)
                if new._log.exists():  # DuckDB says nothing when the log does not fit into the file
                    raise StoreError(f"{self.path}: could not be made (no space left?); make room and run it again")
                new.path.replace(self.path)
            finally:
                new._remove()

    @property
    def _log(self) -> Path:
        """DuckDB's log of what is on its way into the file."""
        return self.path.with_name(f"{self.path.name}.wal")

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)

    def _check_whole(self, con: duckdb.DuckDBPyConnection) -> None:
        """DuckDB writes into a file that was cut short, until it reads what is gone. Raises StoreError."""
        if self._log.exists():  # what it holds counts already, and is not in the file yet
            return
        query = f"SELECT {_HEADERS} + block_size * used_blocks FROM pragma_database_size()"
        if self.path.stat().st_size < (size := int(rows(con, query)[0][0])):
            raise messages.damaged(self.path, f"it was cut short: {size:,} bytes belong to it")

    def holder(self) -> str | None:
        """The process that stays in the store and keeps writers out, as the kernel knows it; None when nobody does."""
        if (other := self.entrance.holder(GLANCE)) is not None:
            return other
        if (pid := self._locked_by()) is None:
            return None
        time.sleep(GLANCE)
        return process(pid) if pid == self._locked_by() else None

    def _locked_by(self) -> int | None:
        with self._threads:  # closing the file drops the lock of a connection of this process
            return locked_by(self.path)

    def _wait(self, read_only: bool, until: float, since: float) -> duckdb.DuckDBPyConnection | None:
        """Try to open until a moment; None when somebody else still holds the file then. since: when waiting began."""
        while True:
            if read_only:
                self._pass_turnstile(until)
            con = self._try(read_only)
            if con is not None:
                self._told = ""
                return con
            if time.monotonic() > until:
                return None
            if time.monotonic() > since + SILENCE:
                self._tell(f"waiting: {self._who()}")
            time.sleep(self.entrance.poll(POLL))

    def _tell(self, text: str) -> None:
        """Say for whom one has to wait: once, until the store was open again."""
        if self.say is not None and text != self._told:
            self._told = text
            self.say(text)

    def _try(self, read_only: bool) -> duckdb.DuckDBPyConnection | None:
        """Open the file; None when somebody else holds it."""
        if not self.path.exists():
            raise messages.missing(self.path, was_there=self._opened)
        if not self.entrance.enter(read_only):
            return None
        con = None
        try:
            con = self._open(read_only)
        finally:
            if con is None:
                self.entrance.leave()
        return con

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection | None:
        import duckdb

        try:
            con = self._connect(read_only)
        except duckdb.Error as error:
            if "Could not set lock" in str(error):
                self._last = str(error)
                return None
            if not self.path.exists():
                raise messages.missing(self.path, was_there=self._opened) from error
            raise messages.refused(self.path, error) from error
        self._opened = True
        return con

    def _connect(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        import duckdb

        con = duckdb.connect(str(self.path), read_only=read_only, config=dict(self.settings))
        # DuckDB would draw it on standard output, into the user's CSV, after two seconds.
        con.execute("SET enable_progress_bar = false")
        if self.settings["enable_external_access"] == "false":
            con.execute("SET lock_configuration = true")
        return con

    @contextmanager
    def _turnstile(self, deadline: float) -> Iterator[None]:
        """Hold the turnstile: readers that come now wait."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.folder / "turnstile", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise messages.unwritable(self.path, error) from error
        try:
            while not try_lock(fd, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise StoreLocked(f"{self.path}: other writers did not finish in time; try again")
                time.sleep(POLL / 2)
            yield
        finally:
            os.close(fd)

    def _pass_turnstile(self, until: float) -> None:
        """Let a waiting writer go first. Without the folder, or on a read-only disk, there is none to wait for."""
        try:
            fd = os.open(self.folder / "turnstile", os.O_RDONLY)
        except OSError:
            return
        try:
            while not try_lock(fd, fcntl.LOCK_SH) and time.monotonic() < until:
                time.sleep(POLL / 2)
        finally:
            os.close(fd)

    def _who(self) -> str:
        """One line that names the process which holds the file, as far as DuckDB knows."""
        if (refusal := self.entrance.refusal()) is not None:
            return refusal
        found = re.search(r"held in (.+?)\s*\(PID (\d+)\)", getattr(self, "_last", ""))
        holder = f"process {found[2]} ({Path(found[1]).name})" if found else "another process"
        return f"{self.path}: {holder} holds the store open; close it there (a notebook? a DuckDB shell?) and try again"


def rows(con: Any, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """All rows of a query as tuples."""
    return list(con.execute(query, parameters).fetchall())


@contextmanager
def plain_errors(path: Path | None = None) -> Iterator[None]:
    """DuckDB's errors as one line for people; path: the store, which they may be about."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise messages.plain(path, error) from error


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that lives for one transaction."""
    try:
        con.execute("BEGIN")
        yield con
        con.execute("COMMIT")
    finally:
        con.close()
