"""What `mlmat exclude` and `mlmat include` have in common."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mlmat.cli._text import counted
from mlmat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlmat.store.mend.exclusions import Excluded


def selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is meant: ids, sources, a condition."""
    for decorate in (
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--results", is_flag=True, help="--where picks results: columns of `mlmat reductions phase`."),
        click.option(
            "--where",
            metavar="SQL",
            help="Structures for which this holds: columns of `mlmat reductions structure` and `source`.",
        ),
        click.option(
            "--source", "sources", multiple=True, metavar="PATH",
            help="A file, archive, folder, ARCHIVE!MEMBER, or a pattern with * and ?; may be repeated.",
        ),
        click.argument("items", nargs=-1, metavar="[ID or PATH]..."),
    ):  # fmt: skip
        command = decorate(command)
    return command


def check(items: tuple[str, ...], sources: tuple[str, ...], where: str | None, results: bool) -> None:
    """Raises UsageError where nothing, or nothing sensible, was named."""
    if not items and not sources and not (where and where.strip()):
        raise UsageError("say what: ids of structures or results, --source PATH, or --where SQL")
    if results and not where:
        raise UsageError("--results says what --where picks: give --where, too")


def agreed(lines: Iterator[str], yes: bool) -> bool:
    """Ask on a terminal, after showing what would be done; elsewhere what can be undone is done."""
    if yes or not sys.stdin.isatty():
        return True
    for line in lines:
        click.echo(line)
    return click.confirm("Go on?")


def lines(done: Excluded, verb: str) -> Iterator[str]:
    """What was done; verb: excluded or included."""
    for kind, count in done.asked.items():
        changed = done.changed.get(kind, 0)
        already = {"excluded": "excluded already", "included": "not excluded"}[verb]
        rest = (
            f" ({count - changed:,} {'was' if count - changed == 1 else 'were'} {already})" if changed < count else ""
        )
        yield f"{verb}: {counted(changed, kind)}{rest}"
    if not done.asked:
        yield "nothing fits --where"
    if done.energies:
        which = "counts" if done.energies == 1 else "count"
        yield f"  {counted(done.energies, 'energy' if done.energies == 1 else 'energie')} {which} " + (
            "in no hull and no ranking now" if verb == "excluded" else "again"
        )
    yield from (f"  {line}" for line in done.others)
    out = f"{counted(done.structures, 'structure')} and {counted(done.results, 'single result')}"
    yield f"excluded in all: {out} (mlmat reduce excluded)"
