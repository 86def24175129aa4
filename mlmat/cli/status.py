"""`mlmat status`: what is stored, pending and failed; who is at work, and how it goes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database
from mlmat.output import tell

if TYPE_CHECKING:
    from mlmat.store import Store

#: Seconds that status waits for a writer: then it says what can be known without opening the store.
PATIENCE = 3.0


@click.command(cls=Examples, example="mlmat status --db screening.duckdb\nmlmat status --watch")
@click.option("--watch", is_flag=True, help="Follow those at work to their end: rate, workers, blocks, failures, ETA.")
@database
def status(watch: bool, db: Path) -> None:
    """Say what is stored, pending and failed, per method, who is at work, how the last runs ended, what they left.

    While another process writes for long, it says what can be known from outside; exit code 1. --watch reads no more
    than a small file beside the store, from any shell; its exit code is 1 when a run ended otherwise than finished.
    """
    from mlmat.cli._text import beside_lines, status_lines
    from mlmat.errors import StoreLocked
    from mlmat.store import Store

    store = Store(db)
    store.database.patience = PATIENCE
    if watch:
        sys.exit(_watch(store))
    try:
        tell(status_lines(store.status()))
    except StoreLocked:
        tell(beside_lines(store.beside()))
        raise


def _watch(store: Store) -> int:
    from mlmat.cli._run_text import follow
    from mlmat.screen.orphans import find

    if not store.path.exists():
        store.check()  # says so
    try:
        return 0 if follow(store.runs, find) else 1
    except KeyboardInterrupt:
        return 130
