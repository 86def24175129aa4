"""What a correction is told of a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Uncorrectable(ValueError):  # noqa: N818 - reads better where it is caught
    """Why an energy has no correction, in one line."""


@dataclass(frozen=True, slots=True)
class Crystal:
    """The cell of an energy: atoms of each element; cell vectors (Å, rows), species and positions (Å) where known."""

    amounts: Mapping[str, float]
    cell: Sequence[Sequence[float]] | None = None
    numbers: Sequence[int] | None = None
    positions: Sequence[Sequence[float]] | None = None

    def structure(self) -> Any:
        """The crystal for pymatgen; None where only its composition is known."""
        from pymatgen.core import Element, Lattice, Structure

        if self.cell is None or self.numbers is None:
            return None
        species = [Element.from_Z(int(z)) for z in self.numbers]
        return Structure(Lattice(self.cell), species, self.positions, coords_are_cartesian=True)
