"""`mlmat forget`: take something out of the store, with all that hangs on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.cli._text import counted
from mlmat.errors import UsageError
from mlmat.output import shown, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.store.mend.forget import Going

_EXAMPLE = """mlmat forget --source structures/batch3/         a folder: all that was ingested from it
mlmat forget --run 01a22f77-5b3a                 what one ingest or screen brought
mlmat forget --method "mace/medium float32"      a method with its results
mlmat forget --import dft.csv --yes              a file of import-results
mlmat forget --result 01a22f77-6c --no-backup    one result: it is pending again"""


@click.command(cls=Examples, example=_EXAMPLE)
@click.option("--source", "sources", multiple=True, metavar="PATH",
              help="A file, archive, folder, ARCHIVE!MEMBER, or pattern with * and ? that was ingested.")  # fmt: skip
@click.option("--run", "runs", multiple=True, metavar="ID", help='What a run brought; ids: mlmat sql "FROM run".')
@click.option("--method", "methods", multiple=True, metavar="METHOD", help="A method, by name or id.")
@click.option("--import", "imports", multiple=True, metavar="FILE", help="What import-results read from a file.")
@click.option("--result", "results", multiple=True, metavar="ID", help="A result (mlmat show lists them).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--backup/--no-backup", default=True, help="Keep a copy of the store beside it.  [default: backup]")
@database
def forget(
    sources: tuple[str, ...], runs: tuple[str, ...], methods: tuple[str, ...], imports: tuple[str, ...],
    results: tuple[str, ...], yes: bool, backup: bool, db: Path,
) -> None:  # fmt: skip
    """Take a source, run, method, import or result out of the store, with all that hangs on it.

    It says what would go, and asks. With a source go the structures that nothing else gives, and their results; with a
    method its results, methods that correct them, and mixtures that name it. Ids may be their beginnings; every option
    may be repeated. It is one transaction, and a copy of the store from before is kept beside it unless --no-backup.
    Forgotten files are new to the next ingest, forgotten results are pending. `mlmat exclude` leaves things in the
    store, and out of rankings.
    """
    from mlmat.provenance import new_run
    from mlmat.store.mend.forget import ForgetSelection

    wish = ForgetSelection(sources, runs, methods, imports, results)
    if not wish:
        raise UsageError("say what: --source PATH, --run ID, --method NAME, --import FILE or --result ID")
    store = open_store(db)
    going = store.would_forget(wish)
    tell(_lines(going, db))
    if not yes and not _agreed(backup):
        tell(["nothing was changed"])
        sys.exit(1)
    done = store.take_out(wish, new_run("forget"), seen=going, backup=backup)
    tell(
        [f"forgotten; the store from before is {done.copy}; to get it back: {done.back}" if done.copy else "forgotten"]
    )


def _lines(going: Going, db: Path) -> Iterator[str]:
    yield f"this would go from {db}:"
    for what, count in going.counts.items():
        if count:
            yield f"  {count:8,} {what if count != 1 else _one(what)}"
    yield from (f"  method   {shown(name)}" for name in going.methods)
    yield from (f"  mixture  {shown(name)} (a method of it goes; its other methods stay)" for name in going.mixtures)
    if going.staying:
        yield f"{counted(going.staying, 'structure')} stay: something else in the store gives them"


def _one(what: str) -> str:
    return what.replace("blocks of files", "block of a file").removesuffix("s")


def _agreed(backup: bool) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on: add --yes to do it")
    return click.confirm("Forget this?" if backup else "Forget this, without a copy to go back to?")
