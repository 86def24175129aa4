"""`mlmat ingest`: read files into the store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

_EXAMPLE = """mlmat ingest structures/ more/*.cif.gz --db screening.duckdb
mlmat ingest crystals.zip old.db relaxed.traj
mlmat ingest dataset.csv --column cif
mlmat ingest structures/ --references elements
curl https://example.org/x.cif | mlmat ingest -
mlmat sql "SELECT structure_id FROM source WHERE TRY_CAST(key_values['gap'] AS DOUBLE) > 3"   what it brought along"""


@click.command(cls=Examples, example=_EXAMPLE)
@click.argument("paths", nargs=-1)
@click.option("--references", multiple=True, metavar="NAME",
              help="Crystals to compare with: elements (shipped), or mp:Li-Fe-P-O (Materials Project).")  # fmt: skip
@click.option("--again", is_flag=True, help="Read files that have not changed, too.")
@click.option("--column", metavar="NAME", help="Read tables (CSV, TSV, Parquet, JSON Lines): structures are in NAME.")
@click.option("--stdin-name", metavar="FILE", help="With -: the file name that standard input would have.")
@click.option("--processes", type=click.IntRange(1), help="Processes that read. Default: one per core.")
@click.option("--time-limit", default=60.0, show_default=True, type=click.FloatRange(0.1),
              help="Seconds for one file, or one member of an archive.")  # fmt: skip
@click.option("--max-sites", default=10_000, show_default=True, type=click.IntRange(1), help="Atoms in a cell at most.")
@database
def ingest(
    paths: tuple[str, ...],
    references: tuple[str, ...],
    db: Path,
    again: bool,
    column: str | None,
    stdin_name: str | None,
    processes: int | None,
    time_limit: float,
    max_sites: int,
) -> None:
    """Read files, folders (recursively), globs and standard input (-) into the store.

    Structures: CIF, POSCAR and CONTCAR, extended XYZ, ASE trajectories, JSON of ASE, pymatgen and OPTIMADE; each of
    them also as .gz, .bz2 or .xz. Many in one file: .zip and .tar archives, ase.db files (.db), JSON Lines, and with
    --column tables that have structures (CIF text, or JSON) in a column. Archives are not unpacked to disk.

    Every block of every file gets a row in `source` that says what became of it: stored, duplicate, disordered,
    flagged, rejected or unreadable, and why. What a file says beside its structures is kept: key-value pairs in
    `source.key_values` (and `mlmat reduce key_value`), energies and forces as results of a method named after the
    file (`mlmat reduce imported`). Files that have not changed since are not read again. Exit code 1 when nothing of
    what was named is a crystal.

    --references elements adds the low-energy polymorphs of 88 elements, so that formation energies and hulls have their
    end members by every method; mp:Li-Fe-P-O fetches the entries of a system with mp-api (pip install 'mlmat[mp]') and
    the key in $MP_API_KEY.
    """
    from mlmat import references as known
    from mlmat.cli._text import ingest_lines
    from mlmat.ingest import find_files
    from mlmat.ingest import ingest as run
    from mlmat.progress import bar
    from mlmat.reader import Limits

    if stdin_name and "-" not in paths:
        raise click.UsageError("--stdin-name names standard input, but the path - is not among those to read.")
    if not paths and not references:
        raise click.UsageError("Give a file or folder to read, or --references.")
    known.check(references)
    find_files(paths, column)  # a mistyped path should not leave an empty store behind
    store = open_store(db, create=True)
    with bar("ingest", "file") as progress:
        report = run(
            store, paths, references=references, again=again, column=column, stdin_name=stdin_name, processes=processes,
            time_limit=time_limit, limits=Limits(max_sites=max_sites), progress=progress,
        )  # fmt: skip
    tell(ingest_lines(report, db))
    if report.refused:
        sys.exit(1)
