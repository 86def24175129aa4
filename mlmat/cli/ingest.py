"""`mlmat ingest`: read files into the store."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._options import database, open_store
from mlmat.console import Examples


@click.command(cls=Examples, example="mlmat ingest structures/ more/*.cif.gz --db screening.duckdb")
@click.argument("paths", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Read files that have not changed, too.")
@click.option("--processes", type=click.IntRange(1), help="Processes that read. Default: one per core.")
@click.option("--time-limit", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for one file.")
@click.option("--max-sites", default=10_000, show_default=True, type=click.IntRange(1), help="Atoms in a cell at most.")
@database
def ingest(
    paths: tuple[str, ...], db: Path, again: bool, processes: int | None, time_limit: float, max_sites: int
) -> None:
    """Read files, folders (recursively) and globs into the store.

    Every block of every file gets a row in `source` that says what became of it: stored, duplicate, disordered,
    flagged, rejected or unreadable, and why.
    """
    from mlmat.ingest import find_files
    from mlmat.ingest import ingest as run
    from mlmat.reader import Limits
    from mlmat.report import bar, ingest_lines

    find_files(paths)  # a mistyped path should not leave an empty store behind
    store = open_store(db, create=True)
    with bar("ingest", "file") as progress:
        report = run(
            store, paths, again=again, processes=processes, time_limit=time_limit,
            limits=Limits(max_sites=max_sites), progress=progress,
        )  # fmt: skip
    for line in ingest_lines(report, db):
        click.echo(line)
