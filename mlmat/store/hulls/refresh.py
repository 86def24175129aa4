"""The part of `Store` that keeps hulls, same crystals and corrections up to date: who reads them computes them."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from mlmat.errors import StoreError
from mlmat.store._opening import Opening
from mlmat.store.access.connection import rows
from mlmat.store.hulls import crystals as crystal_groups
from mlmat.store.hulls import hulls as hull_rows
from mlmat.store.hulls.scope import ALL, Scope, changed_by, named_in
from mlmat.store.quality import corrections
from mlmat.store.schema import migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import duckdb

    #: Systems or formulas of this step and of all, and what writes what was computed.
    Step = tuple[int, int, Callable[[duckdb.DuckDBPyConnection], None]]

#: Chemical systems or formulas that are computed and written together, and how many of them are worth a word.
TOGETHER, MANY = 200, 1_000
#: Seconds after which a step ends with what it has.
STEP = 5.0
#: Systems whose phases are read at once, and kept in memory.
READ = 2_000
#: Seconds that a reader waits to write what it computed; others see it as not computed yet.
PATIENCE = 5.0
#: Seconds that a run gives at its end to the hulls that its results changed; readers compute the rest.
AFTER_RUN = 20.0


class Stability(Opening):
    """Computes what is out of date in short steps: a read, a computation without the store, a transaction."""

    #: Views, their users' own among them, and of which state of the file.
    _known_views: tuple[tuple[int, int] | None, dict[str, str]] = (None, {})

    def refresh_hulls(self, seconds: float = math.inf, scope: Scope = ALL) -> int:
        """Compute the hulls whose phases have changed, for so many seconds at most; the number of chemical systems.

        scope: those to look at. None is computed twice. A store that cannot be written now stays as it is: the view
        `hull` says so in its rows.
        """
        return self._refresh("hulls of chemical systems", self._hulls(scope), seconds)

    def refresh_crystals(self, seconds: float = math.inf) -> int:
        """Compare the structures of one formula that have not been compared; the number of formulas.

        A store that cannot be written now stays as it is: there, a structure that has not been compared is a crystal of
        its own.
        """
        return self._refresh("formulas with several structures", self._crystals(), seconds)

    def refresh_corrections(self, seconds: float = math.inf) -> int:
        """Correct the raw results that their derived methods (`mlmat correct`) lack; how many.

        A store that cannot be written now stays as it is: their rows say so.
        """
        with self._reading() as con:
            left = corrections.missing(con)
        return self._refresh("results to correct", self._corrections(left), seconds) if left else 0

    def _refresh(self, what: str, steps: Iterator[Step], seconds: float) -> int:
        """Compute and write step by step, and no step after so many seconds; what was done."""
        done, until = 0, time.monotonic() + seconds
        # Nobody else is to wait for these numbers, and nothing else may fail because of them.
        with suppress(StoreError):
            self._bring_up()
            for size, left, write in steps:
                if done == 0 and left > MANY and self.database.say:
                    self.database.say(f"computing: {left:,} {what}")
                with self._transaction(PATIENCE) as con:
                    write(con)
                done += size
                if time.monotonic() > until:
                    break
        return done

    def _hulls(self, scope: Scope) -> Iterator[Step]:
        with self._reading() as con:
            stale = hull_rows.outdated(con, scope)
        for start in range(0, len(stale), READ):
            some = stale[start : start + READ]
            with self._reading() as con:
                known = hull_rows.phases(con, some)
            yield from _steps(some, known, len(stale))

    def _corrections(self, left: int) -> Iterator[Step]:
        while True:
            with self._reading() as con:
                some = corrections.read(con, TOGETHER)
            if not some:
                return
            yield from _corrected(some, left)

    def _crystals(self) -> Iterator[Step]:
        with self._reading() as con:
            buckets = crystal_groups.uncompared(con)
        for start in range(0, len(buckets), TOGETHER):
            some = buckets[start : start + TOGETHER]
            with self._reading() as con:
                table = crystal_groups.read(con, some)
            yield len(some), len(buckets), partial(crystal_groups.write, found=crystal_groups.compared(some, table))

    def _bring_up(self) -> None:
        """Give a store the views of this version, where it has older ones."""
        with self._reading() as con:
            current = migrations.is_current(con, self.path)
        if not current:
            with self._transaction(PATIENCE) as con:
                migrations.upgrade(con, self.path)

    def _before(self, query: str, parameters: Any = None) -> None:
        """Compute what a query is about to read."""
        words = set(re.findall(r"\w+", query.lower()))
        try:
            own = self._own_views()
        except OSError:
            return  # the query itself says best what is wrong with the file
        hulls, crystals = (kept(table) | _built_on(own, kept(table)) for table in ("hull_row", "same_crystal"))
        corrected = hulls | kept("corrected") | _built_on(own, kept("corrected"))
        if not words & (corrected | crystals):
            return
        # All is asked at one opening: that is what a query pays when nothing is out of date.
        with self._reading() as con:
            current = migrations.is_current(con, self.path)
            scope = named_in(con, query, parameters, hulls) if words & hulls else None
            uncorrected = bool(words & corrected) and corrections.missing(con) > 0
            stale = scope is not None and current and not uncorrected and hull_rows.outdated(con, scope)
            uncompared = bool(words & crystals) and crystal_groups.uncompared(con)
        if uncorrected:
            self.refresh_corrections()
        if scope is not None and (stale or uncorrected or not current):
            self.refresh_hulls(scope=scope)
        if uncompared:
            self.refresh_crystals()

    def _own_views(self) -> dict[str, str]:
        """All views by name, asked for once as long as the file is the same: it takes longer than many a query."""
        about = self.path.stat()
        stamp = (about.st_mtime_ns, about.st_size)
        if stamp != self._known_views[0]:
            with self._reading() as con:
                query = "SELECT lower(view_name), sql FROM duckdb_views() WHERE NOT internal"
                self._known_views = stamp, dict(rows(con, query))
        return self._known_views[1]

    def _after_run(self, run_id: str) -> None:
        """Compute the hulls that the results of a run changed."""
        with suppress(StoreError):
            self.refresh_corrections(AFTER_RUN)
            with self._reading() as con:
                scope = changed_by(con, run_id)
            if scope is not None:
                self.refresh_hulls(AFTER_RUN, scope)


def _steps(stale: Sequence[hull_rows.System], known: Mapping[str, hull_rows.Known], of: int) -> Iterator[Step]:
    some: list[hull_rows.System] = []
    found: list[dict[str, Any]] = []
    begun = time.monotonic()
    for system in stale:
        some.append(system)
        found.extend(hull_rows.rows_of(system, known[system.method_id]))
        if len(some) == TOGETHER or system is stale[-1] or time.monotonic() > begun + STEP:
            yield len(some), of, partial(hull_rows.write, systems=some, rows=found)
            some, found, begun = [], [], time.monotonic()


def _corrected(some: Sequence[Mapping[str, Any]], of: int) -> Iterator[Step]:
    """Correct what was read, in steps of a few seconds: a large cell takes as long as a thousand small ones."""
    found: list[dict[str, Any]] = []
    begun = time.monotonic()
    for raw in some:
        found.append(corrections.row_of(raw))
        if raw is some[-1] or time.monotonic() > begun + STEP:
            yield len(found), of, partial(corrections.write, found=found)
            found, begun = [], time.monotonic()


@cache
def kept(table: str) -> frozenset[str]:
    """The reductions that show what this table keeps, and the table."""
    return frozenset({table} | _built_on(migrations.views(), frozenset({table})))


def _built_on(views: dict[str, str], names: frozenset[str]) -> set[str]:
    """Of views (name and SQL) those that read one of these names, also through others."""
    found: set[str] = set()
    while more := {
        view for view, text in views.items() if view not in found and _words(text) & (names | found) - {view}
    }:
        found |= more
    return found


def _words(sql: str) -> set[str]:
    """The words of a statement, without its comments and texts."""
    return set(re.findall(r"\w+", re.sub(r"--[^\n]*|'[^']*'", " ", sql).lower()))
