"""`mlmat show`: everything about one structure, and how its results were made."""

from __future__ import annotations

import re
from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.errors import StoreError
from mlmat.output import tell, write

#: A formula that may be the beginning of an id, too, such as CaF2.
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{4,}")


@click.command(cls=Examples, example="mlmat show 95792c1b\nmlmat show LiCoO2")
@click.argument("id")
@database
def show(id: str, db: Path) -> None:
    """Show one structure: where it came from, what it became, its results and failures with traceback.

    Each result has the command that makes it again, and what made it. ID is that of a structure or of a result, or
    the beginning of one. A formula, its elements in any order, lists its structures. The id of a run, as `mlmat status`
    gives it, shows how the run went.
    """
    from mlmat.cli._text import show_lines

    store = open_store(db)
    if (run := next((run for run in store.runs() if run["run_id"] == id), None)) is not None:
        from mlmat.cli._run_text import run_lines
        from mlmat.screen.orphans import find

        tell(run_lines(run, None if run["alive"] or run.get("clean") else find(run)))
        return
    named = store.of_formula(id)
    if named is None or (not named.num_rows and _HEXADECIMAL.fullmatch(id.strip())):
        tell(show_lines(store.show(id)))
    elif not named.num_rows:
        raise StoreError(f"no structure of formula {id.strip()} in this store")
    elif named.num_rows == 1:
        tell(show_lines(store.show(named["structure_id"][0].as_py())))
    else:
        write(named, None, None)
