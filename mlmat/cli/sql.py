"""`mlmat sql`: ask the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmat.cli._options import database, open_store, output
from mlmat.console import Examples
from mlmat.errors import QueryError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from mlmat.store import Store


@click.command(
    cls=Examples,
    example='mlmat sql "SELECT formula, energy_per_atom FROM ranking WHERE rank = 1" -o best.csv',
)
@click.argument("query", required=False)
@click.option("--write", is_flag=True, help="Allow a statement that changes the store.")
@output
@database
def sql(query: str | None, write: bool, db: Path, output: Path | None, form: str | None) -> None:
    """Run an SQL query (from standard input where none is given); read-only unless --write."""
    from mlmat.output import write as print_rows

    statement = query if query is not None else sys.stdin.read()
    if not statement.strip():
        raise UsageError("no query: give one, or write it to standard input")
    store = open_store(db)
    if write:
        answer = _written(store, statement)
        if answer.num_rows or answer.column_names not in (["Count"], ["Success"]):
            print_rows(answer, output, form)
        return
    try:
        found = store.arrow(statement)
    except QueryError as error:
        hint = "; --write allows it" if "read-only" in str(error) else ""
        raise QueryError(f"{error}{hint}") from error
    print_rows(found, output, form)


def _written(store: Store, statement: str) -> pa.Table:
    import pyarrow as pa

    from mlmat.provenance import new_run

    return pa.Table.from_pandas(store.execute(statement, new_run("sql", statement)), preserve_index=False)
