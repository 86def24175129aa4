"""Write `examples/crystals` from a folder of CIFs and its table of sources.

    python examples/write_crystals.py FOLDER MANIFEST.csv

Only facts are taken over: cell, species and coordinates, as P1 with every atom of the cell, and where they come from
(`material_id`, `source_repo`, `licence` of the table).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.materials.structure import counts
from mlmat.reader import Limits
from mlmat.reader.cif import read

if TYPE_CHECKING:
    from ase import Atoms

HERE = Path(__file__).parent / "crystals"


def as_cif(name: str, atoms: Atoms, origin: str, licence: str) -> str:
    """A CIF with the whole cell listed; lengths in Å, angles in degrees."""
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = [f"_cell_{key} {value:.8f}" for key, value in zip(keys, atoms.cell.cellpar(), strict=True)]
    formula = " ".join(f"{el}{n}" for el, n in counts(atoms.numbers).items())
    sites = [
        f"{symbol}{i} {symbol} {x:.8f} {y:.8f} {z:.8f}"
        for i, (symbol, (x, y, z)) in enumerate(
            zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions() % 1.0, strict=True), start=1
        )
    ]
    lines = [
        f"# {name}: written by examples/write_crystals.py from published facts",
        f"# source: {origin}",
        f"# licence of the facts: {licence}",
        f"data_{name}",
        *cell,
        f"_chemical_formula_sum '{formula}'",
        "_space_group_name_H-M_alt 'P 1'",
        "_space_group_IT_number 1",
        "loop_",
        "_space_group_symop_operation_xyz",
        "'x, y, z'",
        "loop_",
        *(f"_atom_site_{key}" for key in ("label", "type_symbol", "fract_x", "fract_y", "fract_z")),
        *sites,
    ]
    return "\n".join(lines) + "\n"


def main(folder: Path, manifest: Path) -> None:
    """Write every crystal of the table."""
    HERE.mkdir(exist_ok=True)
    for row in csv.DictReader(manifest.open()):
        file = folder / row["file"]
        (block,) = read(file.name, file.read_bytes(), Limits())
        assert block.atoms is not None, (file, block.reason)
        origin = " ".join(part for part in (row["material_id"], row["source_repo"].split(":")[0]) if part)
        (HERE / file.name).write_text(as_cif(file.stem, block.atoms, origin, row["licence"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
