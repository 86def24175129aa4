"""The part of `Store` that puts things right: SQL that writes, what counts no more, what is forgotten."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.errors import StoreError, StoreLocked
from mlmat.processes import machine
from mlmat.store._reading import answered, to_pandas
from mlmat.store.access import runs
from mlmat.store.access.bounds import Bounds
from mlmat.store.hulls.refresh import Stability
from mlmat.store.mend import copies, exclusions, forget, guard, removal
from mlmat.store.tables import results as result_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    import duckdb
    import pandas as pd

    from mlmat.store.mend.exclusions import Excluded
    from mlmat.store.mend.forget import ForgetSelection, Going


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was taken out; the copy of the store from before, and the command that puts it back (None without one)."""

    going: Going
    copy: Path | None = None
    back: str | None = None


class _Undone(Exception):  # noqa: N818 - no error: a transaction that was to be looked at is rolled back by it
    """What a transaction would have done."""

    def __init__(self, report: Any) -> None:
        super().__init__()
        self.report = report


class Mending(Stability):
    """Every method is one transaction that ends with the store as true as it was."""

    def _writing(
        self, timeout: float = 60.0, bounds: Bounds | None = None
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        raise NotImplementedError

    def driver(self, method_id: str, who: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def archive_reader(self, who: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def recover(self, method_id: str, timeout: float = 60.0) -> None:
        raise NotImplementedError

    def execute(self, statement: str, run: Mapping[str, Any] | None = None, **bounds: Any) -> pd.DataFrame:
        """Run statements that may write to tables and views of the user's own, in one transaction; record the run.

        bounds as in `sql`. The answer is that of the last one. Raises QueryError, also for what would write to a table
        or view of mlmat's own: its commands do that.
        """
        limits = Bounds(**bounds)
        self._before(statement)
        with self._writing(bounds=limits) as con:
            if run is not None:
                result_rows.add_row(con, "run", run)
            found = limits.run(con, lambda: guard.run(con, statement, lambda answer: to_pandas(answered(answer))))
            if run is not None:
                result_rows.end_run(con, run["run_id"], "finished")
            return found

    def leave_out(
        self,
        named: Iterable[str] = (),
        *,
        sources: Iterable[str] = (),
        where: str | None = None,
        results: bool = False,
        why: str | None = None,
        run: Mapping[str, Any] | None = None,
        dry_run: bool = False,
    ) -> Excluded:
        """Take structures, results and sources out of hulls, rankings, reports and exports, or, without why, back in.

        named: ids or their beginnings, or sources; where: SQL over `structure` and `source`, with results over `phase`;
        dry_run: change nothing, say what would be. Raises StoreError, QueryError.
        """
        reason = None if why is None else exclusions.check_why(why)
        try:
            with self._writing() as con:
                found = exclusions.items(con, named, sources, where, results)
                done = exclusions.include(con, found) if reason is None else exclusions.exclude(con, found, reason)
                if dry_run:
                    raise _Undone(done)
                if run is not None:
                    result_rows.add_row(con, "run", run)
                    result_rows.end_run(con, run["run_id"], "finished")
        except _Undone as undone:
            return undone.report  # type: ignore[no-any-return]
        return done

    def would_forget(self, wish: ForgetSelection) -> Going:
        """What `take_out` would take out. Raises StoreError, UsageError for what is not there."""
        try:
            with self._writing() as con:  # after what dead drivers left was merged: it goes, too
                raise _Undone(forget.plan(con, wish))
        except _Undone as undone:
            return undone.report  # type: ignore[no-any-return]

    def take_out(
        self, wish: ForgetSelection, run: Mapping[str, Any], *, seen: Going | None = None, backup: bool = True
    ) -> Forgotten:
        """Forget sources, runs, methods, imports or results with all that hangs on them, in one transaction.

        seen: what the user agreed to; backup: keep a copy of the store beside it. Raises StoreLocked while a driver of
        a method that loses results, or a reader of archives, is at work; StoreError when there is no room for the copy,
        or something else would go by now than what was seen.
        """
        seen = seen or self.would_forget(wish)
        with ExitStack() as stack:
            self._alone(stack, wish, seen, provenance.who(run))
            with self._writing() as con:
                going = forget.plan(con, wish)
                if going != seen:
                    raise StoreError(f"{self.path}: has changed just now, and so has what would go; run it again")
                copy = copies.free_name(self.path, "forget") if backup else None
                if copy is not None:
                    copies.keep(self.path, copy, "nothing was forgotten")
                removal.remove(con)
                result_rows.add_row(con, "run", run)
                result_rows.end_run(con, run["run_id"], "finished")
        for run_id in going.runs:
            with suppress(OSError):
                runs.place(self.folder, run_id).unlink(missing_ok=True)
        return Forgotten(going, copy, copies.back(copy, self.path) if copy else None)

    def _alone(self, stack: ExitStack, wish: ForgetSelection, going: Going, who: str) -> None:
        """Keep drivers of the methods away, and readers of archives; no journal holds what goes then."""
        if living := [pid for pid, began in going.processes if _lives(pid, began)]:
            raise StoreLocked(f"{self.path}: process {living[0]} is still at work on it; let it finish or stop it")
        if wish.sources or wish.runs:
            stack.enter_context(self.archive_reader(who))
        for method_id in going.driven:
            stack.enter_context(self.driver(method_id, who))
            self.recover(method_id)


def _lives(pid: int, began: float) -> bool:
    """Whether another process is there that is older than the run that it began: not one that got its number later."""
    since = machine.began(pid)
    return pid != os.getpid() and since is not None and since <= began + 1
