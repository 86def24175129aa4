"""Write `mlmat/references/elements.cif`: `ci/write_elements.py FOLDER MANIFEST.csv`, a folder of CIFs and its table.

Of every element the polymorph of lowest energy, and up to two more within 30 meV/atom of it: which of them is the
lowest is for each method to say. Only facts are taken over: cell, species and coordinates, every atom listed.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.reader import Limits
from mlmat.reader.cif import read

if TYPE_CHECKING:
    from ase import Atoms

TARGET = Path(__file__).parent.parent / "mlmat" / "references" / "elements.cif"
#: Polymorphs of an element at most, how far they may lie above its lowest in eV/atom, and how many atoms they may have.
MOST, ABOVE, SITES = 3, 0.03, 40
HEADER = """\
# Elemental crystals: of every element the polymorph that is lowest in energy by the Materials Project's PBE
# calculations, and up to two more within 30 meV/atom of it. Written by ci/write_elements.py; only facts are taken over.
# Source: the Materials Project (https://materialsproject.org), its elemental references as collected in matcalc.
# A. Jain et al., APL Materials 1, 011002 (2013), doi:10.1063/1.4812323
# Licence of the data: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
# Blocks are called by element and place in that list. Lengths in Å, angles in degrees.
"""


def polymorphs(manifest: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of the elements in the table, by element, the lowest energy first."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(manifest.open()):
        if row["subset"] == "mp_elements":
            found.setdefault(Path(row["file"]).stem.partition("-")[0], []).append(row)
    return {element: sorted(rows, key=energy) for element, rows in sorted(found.items())}


def energy(row: dict[str, str]) -> float:
    """Energy in eV/atom."""
    return float(row["ref_energy_per_atom"])


def crystal(file: Path) -> Atoms:
    """The only crystal in a file."""
    (block,) = read(file.name, file.read_bytes(), Limits())
    assert block.outcome == "stored", f"{file}: {block.reason}"
    assert block.atoms is not None
    return block.atoms


def as_block(name: str, atoms: Atoms) -> str:
    """A data block with the whole cell listed."""
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = [f"_cell_{key} {value:.6f}" for key, value in zip(keys, atoms.cell.cellpar(), strict=True)]
    symbol = atoms.get_chemical_symbols()[0]
    sites = [f"{symbol} {x:.7f} {y:.7f} {z:.7f}" for x, y, z in atoms.get_scaled_positions() % 1.0]
    lines = [f"data_{name}", *cell, "_space_group_name_H-M_alt 'P 1'", "loop_", "_space_group_symop_operation_xyz",
             "'x, y, z'", "loop_", *(f"_atom_site_{key}" for key in ("type_symbol", "fract_x", "fract_y", "fract_z")),
             *sites]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(folder: Path, manifest: Path) -> None:
    """Write the file."""
    blocks = []
    for rows in polymorphs(manifest).values():
        near = [row for row in rows[:MOST] if energy(row) - energy(rows[0]) < ABOVE]
        crystals = [(Path(row["file"]).stem, crystal(folder / row["file"])) for row in near]
        blocks += [as_block(name, c) for i, (name, c) in enumerate(crystals) if i == 0 or len(c) <= SITES]
    TARGET.write_text(HEADER + "\n" + "\n".join(blocks))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
