"""What `mlmat.open` gives: a store with the commands as methods, for scripts and notebooks.

>>> import mlmat
>>> store = mlmat.open("screening.duckdb", create=True)  # doctest: +SKIP
>>> store.ingest("structures/")  # doctest: +SKIP
>>> store.screen("mace", {"relax": "cell"})  # doctest: +SKIP
>>> store.reduce("ranking")  # doctest: +SKIP
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import UsageError
from mlmat.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from mlmat.asedb import AseDatabase
    from mlmat.export import Export
    from mlmat.imports import Report as Imported
    from mlmat.ingest import Report
    from mlmat.screen import Summary
    from mlmat.store import Forgotten
    from mlmat.store.mend.exclusions import Excluded


@dataclass(frozen=True, slots=True)
class Picture:
    """A crystal as a notebook shows it."""

    png: bytes

    def _repr_png_(self) -> bytes:
        return self.png


class Project(Store):
    """A store and what can be done with it. Long calls show their progress on standard error, or in the notebook."""

    def asedb(self, method: str | None = None) -> AseDatabase:
        """The store as a database of ASE, with the latest results or those of a method; see `mlmat.asedb`."""
        from mlmat.asedb import AseDatabase

        return AseDatabase(self, method)

    def ingest(self, *paths: str | os.PathLike[str], **options: Any) -> Report:
        """Read files, folders and globs, as `mlmat ingest` does; options as in `mlmat.ingest.ingest`.

        Raises ReadError for a path that does not exist, before anything is read.
        """
        from mlmat.ingest import ingest
        from mlmat.progress import bar

        with bar("ingest", "file") as progress:
            return ingest(self, paths, **{"progress": progress} | options)

    def import_results(self, file: str | os.PathLike[str], method: str, **options: Any) -> Imported:
        """Read energies that were computed elsewhere, as `mlmat import-results` does.

        method: their name; options as in `mlmat.imports.import_results`. Raises ReadError, UsageError.
        """
        from mlmat.imports import import_results
        from mlmat.progress import bar

        with bar("import", "row") as progress:
            return import_results(self, file, method, **{"told": progress(0)} | options)

    def screen(self, runner: str, settings: Mapping[str, Any] | None = None, **options: Any) -> Summary:
        """Compute what has no result yet, as `mlmat screen` does; options as in `mlmat.screen.screen`.

        Raises RunnerError, ModelError, UsageError when it cannot start; a structure that fails is a row.
        """
        from mlmat.methods.method import ResolvedMethod
        from mlmat.methods.replay import command
        from mlmat.progress import bar, say
        from mlmat.screen import screen

        given = {key: str(value) for key, value in (settings or {}).items()}
        plan = ResolvedMethod(runner, given, self.table_name)
        with bar("screen", "structure") as progress:
            about: dict[str, Any] = {"progress": progress, "say": say, "arguments": command(runner, given)}
            return screen(self, plan, **about | options)

    def exclude(
        self,
        *items: str,
        why: str,
        where: str | None = None,
        sources: Iterable[str | os.PathLike[str]] = (),
        results: bool = False,
        dry_run: bool = False,
    ) -> Excluded:
        """Take structures, results and sources out of hulls, rankings, reports and exports, as `mlmat exclude` does.

        items: ids of structures or results, or their beginnings; where: SQL for structures, with results for results;
        why is kept. Raises StoreError for what is not there.
        """
        from mlmat.provenance import new_run

        named = [os.fspath(source) for source in sources]
        run = new_run("exclude", f"exclude {[*items, *named, where]!r}: {why}")
        wish: dict[str, Any] = {"where": where, "results": results, "dry_run": dry_run}
        return self.leave_out(items, sources=named, why=why, run=run, **wish)

    def include(
        self,
        *items: str,
        where: str | None = None,
        sources: Iterable[str | os.PathLike[str]] = (),
        results: bool = False,
    ) -> Excluded:
        """Take back what `exclude` took out, named in the same way. Raises StoreError for what is not there."""
        from mlmat.provenance import new_run

        named = [os.fspath(source) for source in sources]
        run = new_run("include", f"include {[*items, *named, where]!r}")
        return self.leave_out(items, sources=named, where=where, results=results, run=run)

    def forget(
        self,
        *,
        source: str | os.PathLike[str] | None = None,
        run: str | None = None,
        method: str | None = None,
        imported: str | os.PathLike[str] | None = None,
        result: str | None = None,
        backup: bool = True,
        dry_run: bool = False,
    ) -> Forgotten:
        """Take a source, run, method, imported file or result out with all that hangs on it, as `mlmat forget` does.

        dry_run: say what would go. With backup, the answer names the copy and the command that puts it back. Raises
        StoreError, UsageError for what is not there, StoreLocked while somebody is at work on it.
        """
        from mlmat.provenance import new_run
        from mlmat.store import Forgotten
        from mlmat.store.mend.forget import ForgetSelection

        named = (source, run, method, imported, result)
        wish = ForgetSelection(*(() if one is None else (os.fspath(one),) for one in named))
        if not wish:
            raise UsageError("say what is to be forgotten: source, run, method, imported or result")
        if dry_run:
            return Forgotten(self.would_forget(wish))
        about = ", ".join(f"{name}={one}" for name, one in zip(_FORGETTABLE, named, strict=True) if one is not None)
        return self.take_out(wish, new_run("forget", f"forget {about}"), backup=backup)

    def verify(
        self, *, sample: int | None = 10, method: str | None = None, tolerance: float | None = None
    ) -> pd.DataFrame:
        """Check the store, as `mlmat verify` does: one row for each check, its level ok, note or wrong.

        sample: results of each method that are computed again; 0 for none, None for all.
        """
        from dataclasses import asdict

        import pandas as pd

        from mlmat.progress import say
        from mlmat.verify import verify

        checks = verify(self, sample=sample, method=method, tolerance=tolerance, say=say)
        return pd.DataFrame([asdict(check) for check in checks])

    def export(
        self,
        target: str | os.PathLike[str],
        *,
        where: str | None = None,
        order: str | None = None,
        limit: int | None = None,
        method: str | None = None,
        reduction: str | None = None,
        query: str | None = None,
        initial: bool = False,
        include_flagged: bool = False,
        overwrite: bool = False,
    ) -> Export:
        """Write structures and results to a file or folder, as `mlmat export` does; where, order and query are SQL.

        Raises UsageError for a target or a choice that makes no sense, and for one that exists, unless overwrite.
        """
        from mlmat.export import ExportSelection, export

        wish = ExportSelection(method, where, order, reduction, query, limit, initial, include_flagged)
        return export(self, os.fspath(target), wish, overwrite=overwrite)

    def report(
        self,
        target: str | os.PathLike[str],
        *,
        system: str | None = None,
        method: str | None = None,
        title: str | None = None,
    ) -> Path:
        """Write the store as one HTML page, or with system (A-B, A-B-C) one hull as .png, .svg or .pdf; its place.

        method: whose hull, by default the one with most phases. Raises UsageError; StoreError where there is no hull.
        """
        from mlmat.page import write_report

        write_report(self, Path(target), system=system, method=method, title=title)
        return Path(target)

    def picture(self, structure_id: str, rotation: str = "-75x,15y,5z") -> Picture:
        """A picture of one structure, seen along a turned z axis. Raises StoreError for an unknown id."""
        import io

        from ase.io import write

        buffer = io.BytesIO()
        write(buffer, self.atoms(structure_id), format="png", rotation=rotation)
        return Picture(buffer.getvalue())

    def _repr_html_(self) -> str:
        """Counts, as a notebook shows them."""
        status = self.status()
        blocks = [(str(row["outcome"]), row["blocks"]) for row in status["outcomes"]]
        parts = [f"<b>{html.escape(str(self.path))}</b>", _table(("blocks of files", ""), blocks)]
        if status["methods"]:
            rows = [[row[name] for name in _METHOD_COLUMNS] for row in status["methods"]]
            parts.append(_table(_METHOD_COLUMNS, rows))
        return "".join(parts)


_FORGETTABLE = ("source", "run", "method", "imported", "result")
_METHOD_COLUMNS = ("method", "ok", "failed", "pending")


def _table(head: Any, rows: Any) -> str:
    def line(cells: Any, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
