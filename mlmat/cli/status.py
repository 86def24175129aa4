"""`mlmat status`: what is stored, pending and failed."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._options import database, open_store
from mlmat.console import Examples


@click.command(cls=Examples, example="mlmat status --db screening.duckdb")
@database
def status(db: Path) -> None:
    """Say what is stored, pending and failed, per method, and who is at work."""
    from mlmat.report import status_lines

    for line in status_lines(open_store(db).status()):
        click.echo(line)
