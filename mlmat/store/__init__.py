"""The store: one DuckDB file, opened for one short transaction at a time.

`mlmat.open("x.duckdb")` gives a `Store`. No call holds the file longer than it takes, so that a notebook, a screen and
a shell can use it side by side.
"""

from __future__ import annotations

import fcntl
import os
import time
import warnings
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import QueryError, StoreError, StoreLocked
from mlmat.store import _journal, _results, _schema, _structures
from mlmat.store._columns import runner_name
from mlmat.store._connection import Database
from mlmat.store._connection import try_lock as _locked
from mlmat.store._journal import Journal
from mlmat.store._results import Unmergeable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import duckdb
    import pandas as pd
    import pyarrow as pa
    from ase import Atoms

__all__ = ["Journal", "Store", "open_store"]

#: Structures that one read of an iteration takes.
CHUNK = 1_000


def open_store(path: str | os.PathLike[str], *, create: bool = False) -> Store:
    """The store in a file; with create, a new one where there is none.

    Raises StoreError when the file is missing, is no store or was written by a newer mlmat.
    """
    store = Store(path)
    if create:
        store.create()
    store.check()
    return store


class Store:
    """One store file. Every method opens it, does one thing and closes it again.

    Energies in eV, lengths in Å; units of every column: `mlmat sql "DESCRIBE …"` and the column comments.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.database = Database(path)

    @property
    def path(self) -> Path:
        """The store file."""
        return self.database.path

    @property
    def folder(self) -> Path:
        """The folder beside it: locks, journals, scratch directories, logs."""
        return self.database.folder

    def __repr__(self) -> str:
        return f"<mlmat store {self.path}>"

    # -- opening ---------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the file and its tables where there are none, in whole or not at all."""
        if self.path.exists():
            return
        if not self.path.parent.is_dir():
            raise StoreError(f"{self.path}: the folder {self.path.parent} does not exist; make it first")
        self._upgrade()

    def check(self) -> None:
        """Bring an older store to this version. Raises StoreError, StoreTooNew."""
        with self.database.read() as con:
            current = _schema.is_current(con, self.path)
        if not current:
            self._upgrade()

    def _upgrade(self) -> None:
        with _plain_errors(), self.database.write() as con:
            _schema.upgrade(con, self.path)

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with _plain_errors(), self.database.read() as con:
            yield con

    @contextmanager
    def _writing(self, timeout: float = 60.0) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction, after what dead drivers left in their journals was merged."""
        self._adopt(timeout)
        with _plain_errors(), self.database.write(timeout) as con:
            yield con

    def _adopt(self, timeout: float) -> None:
        """Merge the journals of dead drivers, each by itself: one that cannot be merged must not stop the others."""
        with ExitStack() as stack:
            for orphan in [stack.enter_context(closing(o)) for o in _journal.adopt(self.folder / "journal")]:
                if not len(orphan):
                    continue
                try:
                    with _plain_errors(), self.database.write(timeout) as con:
                        _results.merge(con, orphan.frames())
                except Unmergeable as error:
                    kept = orphan.set_aside()
                    warnings.warn(f"results that the store refused are kept in {kept}: {error}", stacklevel=2)
                else:
                    orphan.clear()

    # -- reading ---------------------------------------------------------------------------------

    def sql(self, query: str, parameters: Any = None) -> pd.DataFrame:
        """The result of a read-only query as a DataFrame. Raises QueryError."""
        with self._reading() as con:
            frame: pd.DataFrame = _answer(con.execute(query, parameters)).df()
        return frame

    def arrow(self, query: str, parameters: Any = None) -> pa.Table:
        """The result of a read-only query as an Arrow table. Raises QueryError."""
        with self._reading() as con:
            return _answer(con.sql(query, params=parameters)).to_arrow_table()

    def execute(self, statement: str) -> pd.DataFrame:
        """Run a statement that may write, in one transaction. Raises QueryError."""
        with self._writing() as con:
            frame: pd.DataFrame = _answer(con.execute(statement)).df()
        return frame

    def reduce(self, name: str) -> pd.DataFrame:
        """A reduction (a view: `ranking`, `failures`, a runner's name, …) as a DataFrame. Raises StoreError."""
        with self._reading() as con:
            frame: pd.DataFrame = con.execute(f"SELECT * FROM {_results.check_reduction(con, name)}").df()
        return frame

    def reductions(self) -> list[tuple[str, str]]:
        """Name and meaning of every reduction."""
        with self._reading() as con:
            return _results.relation_names(con)

    def atoms(self, structure_id: str) -> Atoms:
        """One structure, by its id or the unambiguous beginning of it, in the stored order and cell (Å)."""
        with self._reading() as con:
            full = _structures.resolve(con, structure_id)
            table = _structures.geometry(con, [full])
        return next(_atoms_of(table))

    def structures(self, where: str | None = None) -> Iterator[Atoms]:
        """Iterate over structures; where is an SQL condition over the columns of `structure` and `source`.

        Each `Atoms` carries its id in `info["structure_id"]`. The store is open only while a thousand are read.
        """
        with self._reading() as con:
            ids = _structures.matching(con, where)
        for start in range(0, len(ids), CHUNK):
            yield from _atoms_of(self.geometry(ids[start : start + CHUNK]))

    def geometry(self, ids: Sequence[str]) -> pa.Table:
        """Cell, positions and species of structures as an Arrow table, in the order of ids."""
        with self._reading() as con:
            return _structures.geometry(con, ids)

    def show(self, structure_id: str) -> dict[str, Any]:
        """All there is about one structure. Raises StoreError for an unknown id."""
        with self._reading() as con:
            return _structures.provenance_of(con, _structures.resolve(con, structure_id))

    def status(self) -> dict[str, Any]:
        """Blocks by outcome, results by method, failures by class, drivers at work and bytes that wait in journals."""
        with self._reading() as con:
            tables = _results.status_tables(con)
        journals, size = _journal.waiting(self.folder / "journal")
        return {**tables, "drivers": self.drivers(), "journals": journals, "journal_bytes": size}

    # -- ingest ----------------------------------------------------------------------------------

    def changed_files(self, files: pa.Table) -> list[str]:
        """Of files (path, size, mtime_ns) those that the ledger does not hold as they are."""
        with self._reading() as con:
            return _structures.changed_files(con, files)

    def add_sources(self, sources: pa.Table, structures: pa.Table | None) -> dict[str, int]:
        """Write blocks and their structures in one transaction; the number of blocks by outcome."""
        with self._writing() as con:
            return dict(_structures.add(con, sources, structures))

    # -- screening -------------------------------------------------------------------------------

    def start_run(self, run: Mapping[str, Any], method: Mapping[str, Any] | None = None) -> None:
        """Register a run, and its method where it is new."""
        with self._writing() as con:
            if method is not None:
                _results.add_method(con, method)
            _results.add_row(con, "run", run)

    def end_run(self, run_id: str, outcome: str) -> None:
        """Say how a run ended: finished, stopped or failed."""
        with self._writing() as con:
            _results.end_run(con, run_id, outcome)

    @staticmethod
    def table_name(runner: str) -> str:
        """A runner's name as the name of its view: letters, digits and _."""
        return runner_name(runner)

    def find_method(self, text: str) -> str:
        """The id of a method given by id, name or runner. Raises UsageError."""
        with self._reading() as con:
            return _results.find_method(con, text)

    def pending(self, method_id: str, **options: Any) -> pa.Table:
        """Structures without a current result of a method (structure_id, nsites); options as in `_results.pending`."""
        with self._reading() as con:
            return _results.pending(con, method_id, **options)

    def journal(self, name: str) -> Journal:
        """A journal of this process's own for what its workers return."""
        return Journal(self.folder / "journal", name)

    def merge(self, journal: Journal, timeout: float = 60.0) -> int:
        """Write what a journal holds into the store; the number of new results. Raises StoreLocked."""
        with self._writing(timeout) as con:
            count = _results.merge(con, journal.frames())
        journal.clear()
        return count

    @contextmanager
    def driver(self, method_id: str, who: str) -> Iterator[None]:
        """Be the one driver of a method. Raises StoreLocked, naming who is at work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.folder / f"method-{method_id}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _locked_soon(fd):
                at_work = os.pread(fd, 4096, 0).decode(errors="replace").strip()
                raise StoreLocked(f"this method is being computed already by {at_work}; let it finish or stop it")
            os.ftruncate(fd, 0)
            os.pwrite(fd, who.encode(), 0)
            yield
        finally:
            os.close(fd)

    def drivers(self) -> list[str]:
        """Who is at work on this store: one line for each living driver."""
        found = []
        for path in self.folder.glob("method-*.lock"):
            fd = os.open(path, os.O_RDONLY)
            try:
                if not _locked(fd, fcntl.LOCK_SH):
                    found.append(os.pread(fd, 4096, 0).decode(errors="replace").strip())
            finally:
                os.close(fd)
        return found


def _answer(answer: Any) -> Any:
    if answer is None:
        raise QueryError("there is nothing to answer: the text holds no query, or one that returns no table")
    return answer


def _locked_soon(fd: int) -> bool:
    """Take a driver's lock; somebody who only asks who is at work holds it for an instant, too."""
    for _ in range(5):
        if _locked(fd, fcntl.LOCK_EX):
            return True
        time.sleep(0.02)
    return False


def _atoms_of(table: pa.Table) -> Iterator[Atoms]:
    from mlmat.structure import from_row

    for row in table.to_pylist():
        atoms = from_row(row)
        atoms.info["structure_id"] = row["structure_id"]
        yield atoms


@contextmanager
def _plain_errors() -> Iterator[None]:
    """DuckDB's errors as one line for people."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        lines: Iterable[str] = (line.strip() for line in str(error).splitlines())
        text = " ".join(line for line in lines if line and not line.startswith(("LINE", "^")))
        raise QueryError(text) from error
