"""`mlmat reductions`: what can be asked, column by column."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._options import database, open_store
from mlmat.console import Examples


@click.command(cls=Examples, example="mlmat reductions\nmlmat reductions ranking")
@click.argument("name", required=False)
@database
def reductions(name: str | None, db: Path) -> None:
    """List the reductions of a store; with NAME (a reduction or a table), its columns with their units."""
    if name is None:
        for view, meaning in open_store(db).reductions():
            click.echo(f"{view:20} {meaning}")
        return
    for column, kind, meaning in open_store(db).columns(name):
        click.echo(f"{column:26} {kind:16} {meaning}")
