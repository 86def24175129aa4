"""`mlmat reduce`: print a reduction."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store, output


@click.command(cls=Examples, example="mlmat reduce ranking -o ranking.csv")
@click.argument("name")
@output
@database
def reduce(name: str, db: Path, output: Path | None, form: str | None) -> None:
    """Print a reduction (a view): ranking, failures, provenance, … or the name of a runner."""
    from mlmat.output import write as print_rows

    print_rows(open_store(db).reduce_arrow(name), output, form)
