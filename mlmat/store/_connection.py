"""Opening the store file: who may, in what order, and what is said when nobody can.

DuckDB lets one process write or many read, never both. Every connection here is short: open, one transaction, close.
A turnstile beside the store (a lock file) lets a waiting writer go before new readers; a writer that meets a reader who
stays steps back from the turnstile every half second, so that other readers are not kept waiting behind it.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import QueryError, StoreError, StoreLocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import duckdb

#: Seconds between two tries to open a store that somebody else holds.
POLL = 0.005
#: Seconds that a writer may keep new readers waiting for a reader who does not leave.
PATIENCE = 0.5
#: Seconds of waiting after which a user is told for whom.
SILENCE = 1.0
_CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
_process_locks: dict[str, threading.RLock] = {}


class Database:
    """One store file and the folder `FILE.d` beside it (locks, journals, scratch)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()
        self.folder = self.path.with_name(self.path.name + ".d")
        # DuckDB's lock is per process and a second connection of another kind is refused: threads take turns.
        self.say: Callable[[str], None] | None = None
        self._threads = _process_locks.setdefault(os.path.realpath(self.path), threading.RLock())

    @contextmanager
    def read(self, timeout: float = 30.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection for one short use.

        Raises StoreLocked when a writer stays longer than timeout seconds, StoreError when it is no store.
        """
        with self._threads:
            con = self._wait(read_only=True, until=time.monotonic() + timeout)
            if con is None:
                raise StoreLocked(self._who())
            try:
                yield con
            finally:
                con.close()

    @contextmanager
    def write(self, timeout: float = 60.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside one transaction: committed at the end, rolled back by an exception.

        Raises StoreLocked when readers or another writer stay longer than timeout seconds.
        """
        deadline = time.monotonic() + timeout
        with self._threads:
            while True:
                with self._turnstile(deadline):
                    con = self._wait(read_only=False, until=min(deadline, time.monotonic() + PATIENCE))
                    if con is not None:
                        try:
                            con.execute("BEGIN")
                            yield con
                            con.execute("COMMIT")
                        finally:
                            con.close()
                        return
                if time.monotonic() > deadline:
                    raise StoreLocked(self._who())
                time.sleep(random.uniform(0.1, 0.3))

    def _wait(self, *, read_only: bool, until: float) -> duckdb.DuckDBPyConnection | None:
        """Try to open until a moment; None when somebody else still holds the file then."""
        import duckdb

        silent_until = time.monotonic() + SILENCE
        while True:
            if read_only:
                self._pass_turnstile(until)
            try:
                con = duckdb.connect(str(self.path), read_only=read_only, config=_CONFIG)
                # DuckDB would draw it on standard output, into the user's CSV, after two seconds.
                con.execute("SET enable_progress_bar = false")
                return con
            except duckdb.IOException as error:
                if "Could not set lock" not in str(error):
                    raise self._refused(error) from error
                self._last = str(error)
            except duckdb.Error as error:
                raise self._refused(error) from error
            if time.monotonic() > until:
                return None
            if time.monotonic() > silent_until and self.say is not None:
                self.say(f"waiting: {self._who()}")
                silent_until = until
            time.sleep(POLL)

    @contextmanager
    def _turnstile(self, deadline: float) -> Iterator[None]:
        """Hold the turnstile: readers that come now wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.folder / "turnstile", os.O_RDWR | os.O_CREAT, 0o666)
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

    def _refused(self, error: Exception) -> StoreError:
        text = str(error).splitlines()[0]
        if not self.path.exists():
            return StoreError(f"{self.path}: there is no such store; `mlmat ingest PATH --db {self.path}` makes one")
        if self.path.is_dir():
            return StoreError(f"{self.path}: this is a folder; --db takes the store file")
        if self.path.stat().st_size == 0:
            return StoreError(f"{self.path}: an empty file, not a store; remove it and ingest again")
        if "not a valid DuckDB" in text:
            return StoreError(f"{self.path}: this file is not a DuckDB database; give the store with --db")
        if isinstance(error, PermissionError) or "ermission denied" in text:
            return StoreError(f"{self.path}: permission denied; check who owns the file")
        return StoreError(f"{self.path}: DuckDB cannot open it: {text}")

    def _who(self) -> str:
        """One line that names the process which holds the file, as far as DuckDB knows."""
        found = re.search(r"held in (.+?)\s*\(PID (\d+)\)", getattr(self, "_last", ""))
        holder = f"process {found[2]} ({Path(found[1]).name})" if found else "another process"
        return f"{self.path}: {holder} holds the store open; close it there (a notebook? a DuckDB shell?) and try again"


def try_lock(fd: int, kind: int) -> bool:
    """Take a file lock of a kind if it is free."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def rows(con: Any, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """All rows of a query as tuples."""
    return list(con.execute(query, parameters).fetchall())


@contextmanager
def plain_errors() -> Iterator[None]:
    """DuckDB's errors as one line for people."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        lines: Iterable[str] = (line.strip() for line in str(error).splitlines())
        text = " ".join(line for line in lines if line and not line.startswith(("LINE", "^")))
        raise QueryError(text) from error
