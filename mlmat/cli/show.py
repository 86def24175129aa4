"""`mlmat show`: everything about one structure, and how its results were made."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._options import database, open_store
from mlmat.console import Examples
from mlmat.output import tell


@click.command(cls=Examples, example="mlmat show 95792c1b")
@click.argument("id")
@database
def show(id: str, db: Path) -> None:
    """Show one structure: where it came from, what it became, its results and failures with traceback.

    Each result has the command that makes it again, and what made it. ID is that of a structure or of a result, or
    the beginning of one. The id of a run, as `mlmat status` gives it, shows how the run went.
    """
    from mlmat.report import show_lines

    store = open_store(db)
    if (run := next((run for run in store.runs() if run["run_id"] == id), None)) is not None:
        from mlmat.leftovers import find
        from mlmat.watch import run_lines

        tell(run_lines(run, None if run["alive"] or run.get("clean") else find(run)))
        return
    tell(show_lines(store.show(id)))
