"""`mlmat export`: structures with their results, in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.output import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.export import Export

EXAMPLE = """\
mlmat export best/ --reduction candidates --where "e_above_hull < 0.05" --limit 10   the ten nearest to the hull
mlmat export silica.db --where "formula = 'SiO2'" --limit 10    ten of SiO2, the lowest first; ase gui silica.db
mlmat export near.extxyz --where "energy_above_best < 0.05" --method mace
mlmat export all.jsonl --query "SELECT structure_id FROM ranking WHERE volume_per_atom < 10\""""


@click.command(cls=Examples, example=EXAMPLE)
@click.argument("target")
@click.option(
    "--where",
    metavar="SQL",
    help="Only structures for which this holds: columns of the reduction, and of `mlmat reductions structure` and "
    "`source`.",
)
@click.option("--order", metavar="SQL", help="Columns to sort by, such as: energy_per_atom DESC.")
@click.option("--limit", type=click.IntRange(1), help="At most so many structures, the first ones.")
@click.option(
    "--method",
    help="Whose results: a name or an id of `mlmat status`, or none.  [default: the only one, or the only computed]",
)
@click.option("--reduction", metavar="NAME", help="Take its rows, order and columns.  [default: ranking]")
@click.option("--query", metavar="SQL", help="Take what this returns: structure_id, and columns to write with it.")
@click.option("--initial", is_flag=True, help="Write the structures handed in instead of the relaxed ones.")
@click.option("--include-flagged", is_flag=True, help="Without a method: flagged structures, too.")
@click.option("--overwrite", is_flag=True, help="Replace TARGET.")
@database
def export(target: str, db: Path, overwrite: bool, **wish: Any) -> None:
    """Write structures with their results to a file, or to a folder of CIFs.

    \b
    TARGET says the format:
      NAME/           a folder of CIFs: FORMULA_SPACEGROUP_ID.cif
      .cif            one file, a block for each structure
      .db .json       ASE databases
      .extxyz .xyz    extended XYZ
      .csv .parquet   a row for each structure, with a column of CIF text
      .jsonl          OPTIMADE

    Structures go out in the order of `mlmat reduce ranking`: by formula, the lowest energy per atom first. --where and
    --order take its columns: rank, energy_per_atom, energy_above_best, … Total energies compare structures of one
    formula only: across formulas, --reduction candidates goes by energy above the hull. Formulas are understood in any
    order. The relaxed structure goes out where there is one. Where files give other values for the same key of one
    structure, those of the file that fits --where go out, else of the first file, and key_conflicts lists the others.
    """
    from mlmat.export import ExportSelection
    from mlmat.export import export as run
    from mlmat.progress import bar, say

    with bar("export", "structure") as progress:
        done = run(open_store(db), target, ExportSelection(**wish), overwrite=overwrite, progress=progress)
    tell(_lines(done, target))
    for reason, count in done.left_out.items():
        say(f"{count:,} left out: {reason}")


def _lines(done: Export, target: str) -> Iterator[str]:
    results = f" with results of {done.method}" if done.method else ""
    yield f"{done.written:,} structure{'' if done.written == 1 else 's'}{results} written to {target}"
