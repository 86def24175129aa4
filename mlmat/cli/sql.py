"""`mlmat sql`: ask the store."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store, output
from mlmat.errors import QueryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlmat.store import Store
    from mlmat.store.access.bounds import Bounds


#: Seconds after its time limit when a query that cannot be interrupted ends the process.
MARGIN = 10.0


@click.command(
    cls=Examples,
    example='mlmat sql "SELECT formula, e_above_hull, path FROM candidates WHERE e_above_hull < 0.05" -o best.csv',
)
@click.argument("query", required=False)
@click.option("--write", is_flag=True, help="Allow statements that write to tables and views of your own.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Stop the query after so long.",
)
@click.option(
    "--memory",
    metavar="GB",
    type=click.FloatRange(0, min_open=True),
    help="Memory that the query may take. Default: half of what there is.",
)
@output
@database
def sql(
    query: str | None,
    write: bool,
    db: Path,
    output: Path | None,
    form: str | None,
    timeout: float,
    memory: float | None,
) -> None:
    """Run an SQL query (from standard input where none is given); read-only unless --write.

    SQL reaches the store alone: no file, no network, no setting. formula_is(formula, 'O2Si') holds for SiO2.
    """
    from mlmat.output import write as print_rows
    from mlmat.store.access.bounds import Bounds

    statement = query if query is not None else sys.stdin.read()
    if not statement.strip():
        raise UsageError("no query: give one, or write it to standard input")
    bounds = Bounds(timeout, memory)
    try:
        answer = _answer(open_store(db), statement, write, bounds)
        if not write or answer.num_rows or answer.column_names not in (["Count"], ["Success"]):
            print_rows(answer, output, form)
        if not answer.num_rows:
            _tell_of_formulas(statement)
    except MemoryError as error:
        raise bounds.too_large("the query and its answer need") from error


def _tell_of_formulas(statement: str) -> None:
    """Say how to compare formulas, where a query that does so found nothing."""
    from mlmat.materials.formula import canonical
    from mlmat.progress import say
    from mlmat.store.tables.formulas import compared_in

    texts = compared_in(statement)
    if not texts:
        return
    first = next((text for text in texts if canonical(text) not in (None, text)), texts[0])
    written = f"{first!r} is written {canonical(first)!r} in column formula" if canonical(first) else "SiO2, LiCoO2"
    say(
        f"no rows. Formulas are compared as they are written: {written}; formula_is(formula, {first!r}) takes any order"
    )


def _answer(store: Store, statement: str, write: bool, bounds: Bounds) -> pa.Table:
    from mlmat.processes.child import limit_memory

    limits: dict[str, Any] = {"timeout": bounds.timeout, "memory": bounds.memory}
    # DuckDB does not count everything: one value of gigabytes, the rows on their way to the terminal.
    limit_memory(bounds.bytes * 3 // 2 + 500_000_000)
    with _ended_after(bounds.timeout or 0.0):
        return _asked(store, statement, write, limits)


def _asked(store: Store, statement: str, write: bool, limits: dict[str, Any]) -> pa.Table:
    if write:
        return _written(store, statement, limits)
    try:
        return store.arrow(statement, **limits)
    except QueryError as error:
        hint = "; --write allows it" if "read-only" in str(error) else ""
        raise QueryError(f"{error}{hint}") from error


@contextmanager
def _ended_after(timeout: float) -> Iterator[None]:
    """DuckDB hears no interrupt inside one long function: the process ends then, some time after the limit."""

    def end() -> None:
        sys.stderr.write(f"mlmat: stopped after {timeout + MARGIN:g} s, inside one function of the query\n")
        sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(timeout + MARGIN, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _written(store: Store, statement: str, limits: dict[str, Any]) -> pa.Table:
    import pyarrow as pa

    from mlmat.provenance import new_run

    run = new_run("sql", statement)
    return pa.Table.from_pandas(store.execute(statement, run, **limits), preserve_index=False)
