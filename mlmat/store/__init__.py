"""The store: one DuckDB file, opened for one short transaction at a time.

`mlmat.open("x.duckdb")` gives a `Store`. No call holds the file longer than it takes, so that a notebook, a screen and
a shell can use it side by side.
"""

from __future__ import annotations

import time
import warnings
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, Self

from mlmat.errors import StoreLocked
from mlmat.store._mending import Forgotten, Mending
from mlmat.store._reading import Reading
from mlmat.store.access import drivers, runs
from mlmat.store.access import journal as _journal
from mlmat.store.access.bounds import Bounds
from mlmat.store.access.journal import Journal
from mlmat.store.mend import exclusions
from mlmat.store.quality import corrections
from mlmat.store.schema import migrations
from mlmat.store.tables import file_results, import_rows, mixtures, results
from mlmat.store.tables import structures as structure_rows
from mlmat.store.tables.columns import runner_name
from mlmat.store.tables.results import Unmergeable

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import duckdb
    import pyarrow as pa


__all__ = ["Forgotten", "Journal", "Store", "open_store"]

#: Bytes of a journal that one transaction merges: it stays under a second.
MERGE_BYTES = 16_000_000


class Store(Mending, Reading):
    """One store file. Every method opens it, does one thing and closes it again.

    Energies in eV, lengths in Å; units of every column: `mlmat sql "DESCRIBE …"` and the column comments.
    """

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, create: bool = False, say: Callable[[str], None] | None = None
    ) -> Self:
        """The store in a file; with create, a new one where there is none.

        say is told when somebody has to be waited for. Raises StoreError when the file is missing, is no store or was
        written by a newer mlmat.
        """
        store = cls(path)
        store.database.say = say
        if create:
            store.create()
        store.check()
        return store

    def __repr__(self) -> str:
        return f"<mlmat store {self.path}>"

    # -- merging ---------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, timeout: float = 60.0, bounds: Bounds | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction, after what dead drivers left in their journals was merged."""
        self._adopt(timeout)
        with self._transaction(timeout, bounds) as con:
            if not self._writable:
                migrations.upgrade(con, self.path)
                self._writable = self._readable = True
            yield con
            exclusions.refresh(con)

    def _adopt(self, timeout: float) -> None:
        """Merge the journals of dead drivers, each by itself: one that cannot be merged must not stop the others."""
        self.check()
        with ExitStack() as stack:
            orphans = _journal.adopt(self.folder / "journal", self._identity, self._hosts)
            for orphan in [stack.enter_context(closing(o)) for o in orphans]:
                self.merge(orphan, timeout)

    def merge(self, journal: Journal, timeout: float = 60.0) -> int:
        """Write what a journal holds into the store, in short transactions; the number of new results.

        What the tables refuse is kept beside the journal and stops nothing else. Raises StoreLocked.
        """
        count = 0
        for frames in _journal.chunks(journal.frames(), MERGE_BYTES):
            try:
                with self._transaction(timeout) as con:
                    count += results.merge(con, frames, self._described)
                    exclusions.refresh(con)
            except Unmergeable:
                count += sum(self._merge_or_keep(journal, frame, timeout) for frame in frames)
        journal.clear()
        return count

    def _merge_or_keep(self, journal: Journal, frame: bytes, timeout: float) -> int:
        try:
            with self._transaction(timeout) as con:
                count = results.merge(con, [frame], self._described)
                exclusions.refresh(con)
                return count
        except Unmergeable as error:
            kept = journal.set_aside(frame)
            warnings.warn(f"results that the store refused are kept in {kept}: {error}", stacklevel=2)
            return 0

    def recover(self, method_id: str, timeout: float = 60.0) -> None:
        """Merge what dead drivers of a method left. Call it as the method's driver. Raises StoreLocked.

        Another process may be merging a journal just now: what is in it is not pending, so it is waited for.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._adopt(timeout)
            names = _journal.waiting_names(self.folder / "journal", self._identity)
            if not names or not self._runs_of(method_id, names):
                return
            if time.monotonic() > deadline:
                raise StoreLocked(f"{self.path}: another process merges results of this method; try again in a moment")
            time.sleep(0.05)

    def _runs_of(self, method_id: str, names: list[str]) -> int:
        query = "SELECT 1 FROM run WHERE method_id = $method AND run_id::VARCHAR IN $names"
        with self._reading() as con:
            return len(con.execute(query, {"method": method_id, "names": names}).fetchall())

    # -- writing ---------------------------------------------------------------------------------

    def changed_files(self, files: pa.Table) -> list[str]:
        """Of files (path, size, mtime_ns) those that the ledger does not hold as they are."""
        with self._reading() as con:
            return structure_rows.changed_files(con, files)

    def add_sources(self, sources: pa.Table | None, structures: pa.Table | None, **more: Any) -> dict[str, int]:
        """Write blocks and their structures in one transaction; the number of blocks by outcome.

        more: containers and imported results, as in `file_results.add`.
        """
        with self._writing() as con:
            return dict(file_results.add(con, sources, structures, **more))

    # -- importing -------------------------------------------------------------------------------

    def start_import(self, run: Mapping[str, Any], method: Mapping[str, Any]) -> str | None:
        """Register a run of `import-results`; the scheme of its method, where that has one.

        Raises UsageError where its name means another method.
        """
        with self._writing() as con:
            scheme = import_rows.check_method(con, method)
            results.add_row(con, "run", run)
            return scheme

    def is_taken(self, name: str, method_id: str) -> bool:
        """Whether a name means another method than this one, a runner or a mixture."""
        with self._reading() as con:
            return results.is_taken(con, name, method_id)

    def add_imports(
        self, rows: Sequence[Mapping[str, Any]], methods: Iterable[Mapping[str, Any]] = ()
    ) -> dict[str, int]:
        """Write rows of a file of results, and their methods, in one transaction; how many became what."""
        with self._writing() as con:
            return import_rows.add(con, rows, list(methods))

    def forget_imports(self, method: Mapping[str, Any], path: str, run_id: str) -> int:
        """Rows of a file that a whole import of it did not meet count no more; the number of results among them."""
        with self._writing() as con:
            return import_rows.forget(con, method, path, run_id)

    # -- correcting ------------------------------------------------------------------------------

    def correct(self, method: str, scheme: str, run: Mapping[str, Any] | None = None) -> str:
        """Make a method whose energies are those of another one with corrections (`mlmat.corrections`); its id.

        method: name or id of the raw one; scheme: such as MP2020. Its results, also later ones, are corrected when
        somebody reads them. Raises UsageError where the corrections do not fit the scheme of the method.
        """
        with self._writing() as con:
            method_id = corrections.derive(con, method, scheme)
            if run is not None:
                results.add_row(con, "run", {**run, "method_id": method_id})
                results.end_run(con, run["run_id"], "finished")
        self.refresh_corrections()
        return method_id

    def corrected(self, method_id: str) -> tuple[str, list[tuple[str | None, int]]]:
        """Name of a derived method, and how many results are corrected (None) or are not, by reason."""
        with self._reading() as con:
            return corrections.summary(con, method_id)

    # -- mixing ----------------------------------------------------------------------------------

    def mix(self, name: str, methods: Sequence[str], *, different_schemes: bool = False) -> str:
        """Show the results of several methods in one hull, as a method of this name; its id.

        methods: names or ids; of a structure that several of them have computed, the first one counts.
        different_schemes: also where their energy schemes differ, which each row then says. Raises UsageError.
        """
        with self._writing() as con:
            return mixtures.put(con, name, methods, different_schemes)

    def mixture_note(self, mixture_id: str) -> str | None:
        """What is to be known of the schemes in a mixture; None where all are known and the same."""
        with self._reading() as con:
            return mixtures.note(con, mixture_id)

    def mixtures(self) -> dict[str, list[str]]:
        """The methods of each mixture, by its name."""
        with self._reading() as con:
            return mixtures.listed(con)

    def unmix(self, name: str) -> None:
        """Forget a mixture; the results of its methods stay. Raises UsageError."""
        with self._writing() as con:
            mixtures.drop(con, name)

    # -- screening -------------------------------------------------------------------------------

    def start_run(self, run: Mapping[str, Any], method: Mapping[str, Any] | None = None) -> None:
        """Register a run, and its method where it is new."""
        with self._writing() as con:
            if method is not None:
                results.add_method(con, method)
            results.add_row(con, "run", run)

    def adopt_method(self, method: Mapping[str, Any]) -> None:
        """Register a method that is unknown although its results are here.

        So it is where a journal was merged into a copy of the store from before the run.
        """
        query = "SELECT 1 FROM result WHERE method_id = $1 AND $1 NOT IN (SELECT method_id FROM method) LIMIT 1"
        with self._reading() as con:
            if not con.execute(query, [method["method_id"]]).fetchall():
                return
        with self._writing() as con:
            results.add_method(con, method)

    def end_run(self, run_id: str, outcome: str, timeout: float = 60.0) -> None:
        """Say how a run ended: finished, stopped or failed. Raises StoreLocked."""
        with self._writing(timeout) as con:
            results.end_run(con, run_id, outcome)
        if outcome == "finished":
            self._after_run(run_id)

    @staticmethod
    def table_name(runner: str) -> str:
        """A runner's name as the name of its view: letters, digits and _."""
        return runner_name(runner)

    def find_method(self, text: str) -> str:
        """The id of a method given by id, name or runner. Raises UsageError."""
        with self._reading() as con:
            return results.find_method(con, text)

    def pending(self, method_id: str, **options: Any) -> pa.Table:
        """Structures without a current result of a method (structure_id, nsites); options as in `results.pending`."""
        with self._reading() as con:
            return results.pending(con, method_id, **options)

    def asked_for(self, **options: Any) -> int:
        """How many structures `pending` looks at with these options (where, of, include_flagged)."""
        with self._reading() as con:
            return results.asked_for(con, **options)

    def journal(self, name: str) -> Journal:
        """A journal of this process's own for what its workers return."""
        self.check()
        return Journal(self.folder / "journal", _journal.name_of(name, self._identity), self._hosts)

    def driver(self, method_id: str, who: str) -> AbstractContextManager[None]:
        """Be the one driver of a method. Raises StoreLocked, naming who is at work."""
        return drivers.driver(self.folder, method_id, who, self._hosts)

    def archive_reader(self, who: str) -> AbstractContextManager[None]:
        """Be the one who reads containers into this store. Raises StoreLocked, naming who does so already."""
        return drivers.archive_reader(self.folder, who, self._hosts)

    def drivers(self) -> list[str]:
        """Who is at work on this store: one line for each living driver."""
        return drivers.at_work(self.folder, self._hosts)

    def runs(self) -> list[dict[str, Any]]:
        """What the driver of each run tells, newest first; `alive` says whether it is at work."""
        return runs.states(self.folder, self._hosts)

    def status(self) -> dict[str, Any]:
        """Blocks by outcome, results by method, failures by class, and what `beside` says."""
        with self._reading() as con:
            tables = results.status_tables(con)
        return {**tables, **self.beside()}

    def beside(self) -> dict[str, Any]:
        """What can be known without opening the store: drivers at work, bytes in journals, and who holds the store."""
        folder = self.folder / "journal"
        journals, size = _journal.waiting(folder, self._identity)
        others = _journal.of_others(folder, self._identity) if self._identity else []
        return {
            "drivers": self.drivers(),
            "runs": self.runs(),
            "journals": journals,
            "journal_bytes": size,
            "kept": [str(path) for path in _journal.set_aside(folder)],
            "of_others": [str(path) for path in others],
            "holder": self.database.holder(),
        }


open_store = Store.open
