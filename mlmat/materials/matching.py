"""Which structures are the same crystal: in another setting, origin, supercell or order of atoms. Pure.

pymatgen's StructureMatcher decides, on primitive cells without scaling: the same crystal at another volume is another
one, and so is a distorted one beyond the tolerances. Elements, primitive size and volume go before it, being cheap.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ase import Atoms
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

#: Relative difference of cell lengths, root mean square displacement relative to the cube root of the volume per atom,
#: and difference of cell angles in degrees up to which two structures are the same crystal.
LTOL, STOL, ANGLE_TOL = 0.02, 0.05, 1.0
#: Å up to which atoms count as repeated by a translation, when the primitive cell is looked for.
SYMPREC = 0.01
#: Atoms of the primitive cell above which nothing is compared: it would take minutes.
MOST_ATOMS = 200
TOLERANCE = f"ltol {LTOL:g}, stol {STOL:g}, angle_tol {ANGLE_TOL:g}, up to {MOST_ATOMS} atoms"


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """A primitive reduced cell with what can be compared cheaply. moment, net: per atom in µB."""

    structure_id: str
    cell: Structure
    volume_per_atom: float
    moment: float
    net: float

    @property
    def sound(self) -> bool:
        """Whether it is a cell of atoms side by side: in a degenerate one the search for mappings takes for ever."""
        return _is_sound(self.volume_per_atom, self.cell.lattice.abc)

    def may_be(self, other: Crystal) -> bool:
        """Whether it is worth asking the matcher."""
        return (
            len(self.cell) == len(other.cell) <= MOST_ATOMS
            and self.sound
            and other.sound
            and abs(self.volume_per_atom - other.volume_per_atom) <= 5 * LTOL * other.volume_per_atom
            and abs(self.moment - other.moment) < 0.1
            and abs(self.net - other.net) < 0.1
        )


def crystal(structure_id: str, atoms: Atoms) -> Crystal:
    """A periodic structure (Å, µB), ready to be compared."""
    import numpy as np

    moments = atoms.get_initial_magnetic_moments()
    length = float(np.linalg.norm(moments.reshape(len(atoms), -1), axis=1).mean())
    net = float(np.linalg.norm(moments.reshape(len(atoms), -1).mean(axis=0)))
    return Crystal(structure_id, _reduced(atoms), atoms.get_volume() / len(atoms), length, net)


def _reduced(atoms: Atoms) -> Structure:
    """The primitive cell, Niggli reduced; the cell as it is where there is none to be found."""
    from pymatgen.core import Structure

    structure = Structure(*_primitive((atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())))
    if len(structure) <= MOST_ATOMS and _is_sound(structure.volume / len(structure), structure.lattice.abc):
        with suppress(Exception):  # a degenerate cell must not keep others from being compared
            return structure.get_reduced_structure()
    return structure


def _is_sound(volume_per_atom: float, lengths: Sequence[float]) -> bool:
    return volume_per_atom > 1 and min(lengths) > 0.5 and max(lengths) < 100 * min(lengths)


def _primitive(given: Any) -> Any:
    """Cell, numbers and scaled positions of the primitive cell, by spglib."""
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    import spglib

    cell, numbers, positions = given
    found = None
    with suppress(spglib.SpglibError):
        found = spglib.standardize_cell(
            (cell, positions, numbers), to_primitive=True, no_idealize=True, symprec=SYMPREC
        )
    return given if found is None else (found[0], found[2], found[1])


def group(known: Sequence[Crystal], new: Iterable[Crystal]) -> dict[str, str]:
    """For each new structure the one that stands for its crystal: one of the known, an earlier new one, or itself.

    All have one reduced formula; those known stand for themselves.
    """
    standing, found = list(known), {}
    matcher = _matcher()
    for one in new:
        same = next((s for s in standing if s.may_be(one) and _match(matcher, s, one)), None)
        found[one.structure_id] = (same or one).structure_id
        if same is None:
            standing.append(one)
    return found


def _matcher() -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(LTOL, STOL, ANGLE_TOL, primitive_cell=False, scale=False)


def _match(matcher: StructureMatcher, first: Crystal, second: Crystal) -> bool:
    with suppress(Exception):  # as above
        return bool(matcher.fit(first.cell, second.cell, skip_structure_reduction=True))
    return False
