"""`mlmat exclude`: take structures, results and sources out of hulls, rankings, reports and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mlmat.cli._excluding import agreed, check, lines, selection
from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

_EXAMPLE = """mlmat exclude 1e76ee99 --why "cell of a parser's test suite"
mlmat exclude --source old/batch3/ --why "wrong pseudopotentials"
mlmat exclude --where "density > 25" --why "no such density"
mlmat exclude --results --where "method = 'mace/x' AND suspect IS NOT NULL" --why "looked at"
mlmat include 1e76ee99
mlmat reduce excluded                       what is out, why, by whom, since when"""


@click.command(cls=Examples, example=_EXAMPLE)
@selection
@click.option("--why", required=True, metavar="TEXT", help="The reason; it is kept, with who and when.")
@database
def exclude(
    items: tuple[str, ...], sources: tuple[str, ...], where: str | None, results: bool, why: str, yes: bool, db: Path
) -> None:
    """Take structures, results or sources out of every hull, ranking, report and export; screens skip them.

    Ids may be their beginnings; what looks like no id is a source. Nothing is deleted: `mlmat include` takes back what
    was excluded (`mlmat forget` deletes). An excluded source takes along the structures that no other file gives; an
    excluded structure takes along what runners made of it alone. A source that is excluded stays so when it is read
    again.
    """
    from mlmat.provenance import new_run

    check(items, sources, where, results)
    store = open_store(db)
    wish: dict[str, Any] = {"sources": sources, "where": where, "results": results, "why": why}
    if (where or sources) and not agreed(lines(store.leave_out(items, **wish, dry_run=True), "excluded"), yes):
        tell(["nothing was changed"])
        return
    tell(lines(store.leave_out(items, **wish, run=new_run("exclude")), "excluded"))
