"""`mlmat mix`: several methods in one hull."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

_EXAMPLE = """mlmat mix "PBE and CHGNet" PBE-MP2020 chgnet/chgnet-0.3.0
mlmat sql "FROM candidates WHERE method = 'PBE and CHGNet'"
mlmat mix                                   those that there are
mlmat mix "PBE and CHGNet" --remove"""


@click.command(cls=Examples, example=_EXAMPLE)
@click.argument("name", required=False)
@click.argument("methods", nargs=-1, metavar="METHOD METHOD...")
@click.option("--different-schemes", is_flag=True, help="Mix energies of different schemes all the same.")
@click.option("--remove", is_flag=True, help="Forget this mixture; the results of its methods stay.")
@database
def mix(name: str | None, methods: tuple[str, ...], different_schemes: bool, remove: bool, db: Path) -> None:
    """Show the results of several methods in one hull, under a name of its own.

    Hulls never mix methods but for this: `formation_energy`, `hull` and `candidates` then have rows of the method NAME,
    and `energy_method` says whose energy each is. Of a structure that several methods have computed, the one named
    first counts. Energies of two methods seldom are on one scale: read docs/stability.md before you trust such a hull.
    Methods of different energy schemes (mlmat status) are refused; with --different-schemes each row says so.
    """
    store = open_store(db)
    if name is None:
        tell([f"{one}: {', '.join(of)}" for one, of in store.mixtures().items()] or ["no mixtures"])
    elif remove == bool(methods):
        raise click.UsageError("Give the methods to mix, or --remove.")
    elif remove:
        store.unmix(name)
        tell([f"{name}: forgotten"])
    else:
        mixture_id = store.mix(name, methods, different_schemes=different_schemes)
        note = store.mixture_note(mixture_id)
        tell([f"{name}: {mixture_id}", *([f"note: {note}"] if note else [])])
