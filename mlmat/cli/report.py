"""`mlmat report`: the store as a page to look at, or one hull as a figure."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

EXAMPLE = """\
mlmat report -o report.html                     one file that opens offline
mlmat report --system Li-O -o hull.png          one hull; two elements a curve, three a triangle"""


@click.command(cls=Examples, example=EXAMPLE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File: .html; with --system .png, .svg, .pdf.",
)
@click.option("--system", metavar="A-B[-C]", help="Draw the hull of this chemical system instead.")
@click.option("--method", help="Whose hull: a name or an id of `mlmat status`.  [default: the one with most phases]")
@click.option("--title", help="Title of the page or figure.  [default: name of the store; the system]")
@database
def report(db: Path, output: Path, system: str | None, method: str | None, title: str | None) -> None:
    """Write the store as a page to look at and to send around.

    \b
    One HTML file, without network: outcome of ingest, ranking, hulls, structures in three dimensions,
    agreement of methods, forces, steps, failures, and where each number comes from.
    """
    from mlmat.page import write_report

    tell([write_report(open_store(db), output, system=system, method=method, title=title)])
