"""The command line: read options, call one function, print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmat.console import Commands, Examples
from mlmat.errors import QueryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from mlmat.store import Store


#: A screen and its workers step back for whoever asks the store something meanwhile.
NICE = 5


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="mlmat")
def main(debug: bool) -> None:
    """A folder of crystal structures in, a ranked table out.

    \b
    mlmat ingest structures/        read CIFs into the store
    mlmat screen --runner mace      compute what has no result yet
    mlmat reduce ranking            the table
    """


def _db(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--db", envvar="MLMAT_DB", default="mlmat.duckdb", show_default=True, show_envvar=True,
        type=click.Path(path_type=Path), help="The store.",
    )(command)  # fmt: skip


def _output(command: Callable[..., Any]) -> Callable[..., Any]:
    formats = click.Choice(["table", "csv", "json", "parquet"])
    command = click.option("--format", "form", type=formats, help="Default: by the suffix of -o, else a table.")(
        command
    )
    return click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")(command)


def _open(db: Path, *, create: bool = False) -> Store:
    from mlmat.store import open_store

    return open_store(db, create=create, say=_say)


def _say(text: str) -> None:
    """A line on standard error, above the progress bar where there is one."""
    if not sys.stderr.isatty():
        click.echo(f"mlmat: {text}", err=True)
        return
    from tqdm import tqdm

    tqdm.write(f"mlmat: {text}", file=sys.stderr)


@main.command(cls=Examples, example="mlmat ingest structures/ more/*.cif.gz --db screening.duckdb")
@click.argument("paths", nargs=-1, required=True)
@click.option("--again", is_flag=True, help="Read files that have not changed, too.")
@click.option("--processes", type=click.IntRange(1), help="Processes that read. Default: one per core.")
@click.option("--time-limit", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for one file.")
@click.option("--max-sites", default=10_000, show_default=True, type=click.IntRange(1), help="Atoms in a cell at most.")
@_db
def ingest(
    paths: tuple[str, ...], db: Path, again: bool, processes: int | None, time_limit: float, max_sites: int
) -> None:
    """Read files, folders (recursively) and globs into the store.

    Every block of every file gets a row in `source` that says what became of it: stored, duplicate, disordered,
    flagged, rejected or unreadable, and why.
    """
    from mlmat.ingest import find_files
    from mlmat.ingest import ingest as run
    from mlmat.reader import Limits
    from mlmat.report import bar, ingest_lines

    find_files(paths)  # a mistyped path should not leave an empty store behind
    store = _open(db, create=True)
    with bar("ingest", "file") as progress:
        report = run(
            store, paths, again=again, processes=processes, time_limit=time_limit,
            limits=Limits(max_sites=max_sites), progress=progress,
        )  # fmt: skip
    for line in ingest_lines(report, db):
        click.echo(line)


@main.command(cls=Examples, example='mlmat screen --runner mace --set relax=cell --where "nelements = 2" --limit 100')
@click.option("--runner", required=True, help="A name (`mlmat runners`), a module, or a file: ./my_runner.py[:Class]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the runner; may be repeated.")
@click.option(
    "--where",
    metavar="SQL",
    help="Only structures for which this holds: columns of `mlmat reductions structure` and `source`.",
)
@click.option("--limit", type=click.IntRange(0), help="At most so many structures.")
@click.option(
    "--config",
    default="local",
    show_default=True,
    help="threads, local, or a file that defines a parsl Config.",
)
@click.option("--retry-failed", is_flag=True, help="Take structures whose only results are failures, too.")
@click.option("--of", metavar="METHOD", help="Take the structures that this method returned (relaxed ones).")
@click.option("--include-flagged", is_flag=True, help="Take flagged structures, too.")
@_db
def screen(runner: str, settings: tuple[str, ...], config: str, db: Path, **selection: Any) -> None:
    """Compute every structure that has no result by this method yet, and record one row for each.

    Ctrl-C stops cleanly; the same command goes on where it stopped.
    """
    from mlmat.report import bar, screen_lines
    from mlmat.runner._method import Plan
    from mlmat.screen import screen as run

    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    store = _open(db)
    plan = Plan(runner, _pairs(settings), store.table_name)
    with bar("screen", "structure") as progress:
        summary = run(store, plan, config=config, progress=progress, say=_say, **selection)
    chosen = bool(selection["where"] or selection["of"] or selection["limit"] is not None)
    for line in screen_lines(summary, plan.method["method"], plan.runner, chosen):
        click.echo(line)
    _leave(130 if summary.outcome == "stopped" else 0)


def _leave(code: int) -> None:
    """Exit, also where threads of a run that was given up still compute."""
    from mlmat.parsl_config import left_behind

    if left_behind:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    for text in settings:
        if "=" not in text:
            raise UsageError(f"--set {text}: write --set key=value")
    return dict(text.split("=", 1) for text in settings)


@main.command(
    cls=Examples,
    example='mlmat sql "SELECT formula, energy_per_atom FROM ranking WHERE rank = 1" -o best.csv',
)
@click.argument("query", required=False)
@click.option("--write", is_flag=True, help="Allow a statement that changes the store.")
@_output
@_db
def sql(query: str | None, write: bool, db: Path, output: Path | None, form: str | None) -> None:
    """Run an SQL query (from standard input where none is given); read-only unless --write."""
    from mlmat.output import write as print_rows

    statement = query if query is not None else sys.stdin.read()
    if not statement.strip():
        raise UsageError("no query: give one, or write it to standard input")
    store = _open(db)
    if write:
        print_rows(_written(store, statement), output, form)
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


@main.command(cls=Examples, example="mlmat reduce ranking -o ranking.csv")
@click.argument("name")
@_output
@_db
def reduce(name: str, db: Path, output: Path | None, form: str | None) -> None:
    """Print a reduction (a view): ranking, failures, provenance, … or the name of a runner."""
    from mlmat.output import write as print_rows

    print_rows(_open(db).reduce_arrow(name), output, form)


@main.command(cls=Examples, example="mlmat status --db screening.duckdb")
@_db
def status(db: Path) -> None:
    """Say what is stored, pending and failed, per method, and who is at work."""
    from mlmat.report import status_lines

    for line in status_lines(_open(db).status()):
        click.echo(line)


@main.command(cls=Examples, example="mlmat show 95792c1b")
@click.argument("structure_id")
@_db
def show(structure_id: str, db: Path) -> None:
    """Show one structure: where it came from, what it became, its results and failures with traceback.

    STRUCTURE_ID may be the beginning of an id.
    """
    from mlmat.report import show_lines

    for line in show_lines(_open(db).show(structure_id)):
        click.echo(line)


@main.command(cls=Examples, example="mlmat runners")
def runners() -> None:
    """List the runners and their settings."""
    from mlmat.report import runner_lines
    from mlmat.runner._load import available

    for line in runner_lines(available()):
        click.echo(line)


@main.group(invoke_without_command=True)
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models that runners can use: name, size, training data, licence, cached here or not.

    \b
    Example:
      mlmat models
      mlmat models add my-finetuned.model
    """
    if ctx.invoked_subcommand is None:
        from mlmat.report import model_lines
        from mlmat.runner._models import listing

        for line in model_lines(listing()):
            click.echo(line)


@models.command(cls=Examples, example="mlmat models add medium-mpa-0\nmlmat models add finetuned.model --sha256 4c0f…")
@click.argument("model")
@click.option("--sha256", help="What the SHA-256 of the file must be; any other file is refused and removed.")
@click.option("--name", help="The name to register it under. Default: the file's.")
def add(model: str, sha256: str | None, name: str | None) -> None:
    """Register a model: a FILE is copied into the cache, a NAME of a foundation model is downloaded.

    Loading a model later runs code that is inside the file (a pickle). Register only files whose origin you trust; what
    is not registered is never loaded.
    """
    from mlmat.runner._models import add as register

    found = register(model, sha256, name)
    click.echo(f"{found.name}: {found.path}")
    click.echo(f"SHA-256 {found.sha256}")
    click.echo(f"use it with: mlmat screen --runner mace --set model={found.name}")


@main.command(cls=Examples, example="mlmat reductions\nmlmat reductions ranking")
@click.argument("name", required=False)
@_db
def reductions(name: str | None, db: Path) -> None:
    """List the reductions of a store; with NAME (a reduction or a table), its columns with their units."""
    if name is None:
        for view, meaning in _open(db).reductions():
            click.echo(f"{view:20} {meaning}")
        return
    for column, kind, meaning in _open(db).columns(name):
        click.echo(f"{column:26} {kind:16} {meaning}")
