"""`mlmat correct`: energies with the corrections of another scheme."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

_EXAMPLE = """mlmat correct "mace/medium-mpa-0 float64" --scheme MP2020
mlmat sql "SELECT formula, energy, correction, reason FROM phase WHERE method LIKE '%MP2020'"
mlmat mix both "mace/medium-mpa-0 float64 MP2020" MP   beside imported entries of the Materials Project"""


@click.command(cls=Examples, example=_EXAMPLE)
@click.argument("method")
@click.option("--scheme", required=True, help="The scheme that the corrections lead to: MP2020.")
@database
def correct(method: str, scheme: str, db: Path) -> None:
    """Correct the energies of a method: a new method NAME SCHEME, whose rows refer to the raw results.

    MP2020 takes energies of the scheme `MP raw GGA/GGA+U` alone, such as those of a model that learned MPtrj without
    corrections, and finds the correction from the structure that each energy is of. What cannot be corrected has no
    energy, and its row in `phase` and `hull` says why. Later results of METHOD are corrected when somebody reads them.
    """
    from mlmat import provenance
    from mlmat.cli._text import corrected_lines

    store = open_store(db)
    method_id = store.correct(method, scheme, provenance.new_run("correct"))
    tell(corrected_lines(method_id, *store.corrected(method_id)))
