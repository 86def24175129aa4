"""`mlmat show`: everything about one structure."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._options import database, open_store
from mlmat.console import Examples


@click.command(cls=Examples, example="mlmat show 95792c1b")
@click.argument("structure_id")
@database
def show(structure_id: str, db: Path) -> None:
    """Show one structure: where it came from, what it became, its results and failures with traceback.

    STRUCTURE_ID may be the beginning of an id.
    """
    from mlmat.report import show_lines

    for line in show_lines(open_store(db).show(structure_id)):
        click.echo(line)
