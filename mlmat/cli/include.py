"""`mlmat include`: what was excluded counts again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlmat.cli._excluding import agreed, check, lines, selection
from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

_EXAMPLE = """mlmat include 1e76ee99
mlmat include --source old/batch3/
mlmat include --where "density > 25\""""


@click.command(cls=Examples, example=_EXAMPLE)
@selection
@database
def include(
    items: tuple[str, ...], sources: tuple[str, ...], where: str | None, results: bool, yes: bool, db: Path
) -> None:
    """Take structures, results or sources back that `mlmat exclude` took out, as they were named there.

    The store keeps when it was excluded and included, by whom, and why. What another exclusion still reaches stays out,
    and is named.
    """
    from mlmat.provenance import new_run

    check(items, sources, where, results)
    store = open_store(db)
    wish: dict[str, Any] = {"sources": sources, "where": where, "results": results}
    if where and not agreed(lines(store.leave_out(items, **wish, dry_run=True), "included"), yes):
        tell(["nothing was changed"])
        return
    tell(lines(store.leave_out(items, **wish, run=new_run("include")), "included"))
