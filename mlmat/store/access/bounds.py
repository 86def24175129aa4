"""What a query of a user may take: no files, no network, so many seconds, so much memory."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlmat.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    import pyarrow as pa

T = TypeVar("T")
#: Seconds after which a query is stopped.
TIMEOUT = 600.0
#: Rows of a part of an answer, after each of which its size is looked at.
PART_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one query may take.

    timeout: seconds, None for no limit; memory: GB for the query and again for its answer, None for half of what this
    machine or container has; trusted: the SQL may read and write files, load extensions and change settings.
    """

    timeout: float | None = TIMEOUT
    memory: float | None = None
    trusted: bool = False

    @property
    def bytes(self) -> int:
        """The memory in bytes."""
        return int(self.memory * 1e9) if self.memory is not None else available() // 2

    def settings(self) -> dict[str, str]:
        """DuckDB's settings. Without a folder to spill to: DuckDB opens that folder to COPY and ATTACH, too."""
        limits = {"memory_limit": f"{self.bytes} bytes"}
        return limits | ({"enable_external_access": "true"} if self.trusted else {"temp_directory": ""})

    def run(self, con: duckdb.DuckDBPyConnection, ask: Callable[[], T]) -> T:
        """What ask returns, which uses the connection. Raises QueryError when it takes too long or too much."""
        import duckdb

        try:
            return interruptible(con, ask, self.timeout)
        except (MemoryError, duckdb.OutOfMemoryException) as error:
            raise self.too_large("the query needs") from error
        except duckdb.Error as error:
            if "by configuration" not in str(error) and "configuration has been locked" not in str(error):
                raise
            text = str(error).splitlines()[0]
            raise QueryError(f"{text}; SQL reaches the store alone (in Python, trusted=True lets it go on)") from error

    def too_large(self, what: str) -> QueryError:
        """The error of a query that needs more memory than it may have."""
        return QueryError(f"{what} more than {self.bytes / 1e9:.3g} GB of memory; ask for less of it (WHERE, LIMIT, "
                          "fewer columns) or allow more (--memory, memory=)")  # fmt: skip

    def table(self, relation: Any) -> pa.Table:
        """The answer of a relation as an Arrow table, as long as it fits. Raises QueryError."""
        import pyarrow as pa

        parts, size = [], 0
        # An error keeps this frame, and an open reader in it would keep the store open.
        with relation.to_arrow_reader(PART_ROWS) as reader:
            try:
                for part in reader:
                    parts.append(part)
                    size += part.nbytes
                    if size > self.bytes:
                        raise self.too_large("the answer takes")
            except (pa.ArrowException, OSError) as error:  # DuckDB's, on its way through Arrow
                raise QueryError(str(error).splitlines()[0]) from error
            return pa.Table.from_batches(parts, reader.schema)

    def frame(self, con: duckdb.DuckDBPyConnection, relation: Any) -> Any:
        """The answer of a relation, bounded as `table`, to be taken as a DataFrame."""
        return con.from_arrow(self.table(relation))


def interruptible(con: duckdb.DuckDBPyConnection, ask: Callable[[], T], timeout: float | None = None) -> T:
    """What ask returns, computed in a thread: DuckDB hears no ctrl-C. Raises QueryError after timeout seconds."""
    future: Future[T] = Future()
    threading.Thread(target=partial(_answer, future, ask), daemon=True).start()
    try:
        if not wait([future], timeout).done:
            raise QueryError(f"stopped after {timeout:g} s; ask for less of it, or allow more (--timeout, timeout=)")
        return future.result()
    finally:
        while not future.done():  # an interrupt between two statements is forgotten
            con.interrupt()
            wait([future], 0.05)


def _answer(future: Future[T], ask: Callable[[], T]) -> None:
    try:
        future.set_result(ask())
    except BaseException as error:
        future.set_exception(error)


def available() -> int:
    """Bytes of memory of this machine, or what its container may use of it."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            found.append(int(Path(file).read_text()))
    return min(found)
