"""`mlmat status`: what is stored, pending and failed."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._options import database
from mlmat.console import Examples
from mlmat.output import tell

#: Seconds that status waits for a writer: then it says what can be known without opening the store.
PATIENCE = 3.0


@click.command(cls=Examples, example="mlmat status --db screening.duckdb")
@database
def status(db: Path) -> None:
    """Say what is stored, pending and failed, per method, who is at work, and who keeps results waiting.

    While another process writes for long, it says what can be known from outside; exit code 1.
    """
    from mlmat.errors import StoreLocked
    from mlmat.report import beside_lines, status_lines
    from mlmat.store import Store

    store = Store(db)
    store.database.patience = PATIENCE
    try:
        tell(status_lines(store.status()))
    except StoreLocked:
        tell(beside_lines(store.beside()))
        raise
