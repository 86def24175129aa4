"""`mlmat reductions`: what can be asked, column by column."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell


@click.command(cls=Examples, example="mlmat reductions\nmlmat reductions ranking")
@click.argument("name", required=False)
@database
def reductions(name: str | None, db: Path) -> None:
    """List the reductions of a store; with NAME (a reduction or a table), its columns with their units."""
    if name is None:
        tell(f"{view:20} {meaning}" for view, meaning in open_store(db).reductions())
        return
    tell(f"{column:26} {kind:16} {meaning}" for column, kind, meaning in open_store(db).columns(name))
