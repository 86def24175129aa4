"""A runner that computes nothing: what is left is what mlmat itself costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ase import Atoms

from mlmat.runner import WrappedAtomsRunner


class Noop(WrappedAtomsRunner):
    """Energy: the number of atoms. Forces: zero, so that a row has the size of a real one.

    energy=false returns none: then there is nothing to make hulls of, which is work that other systems do not do.
    """

    name = "noop"
    version = "1"
    columns: ClassVar[dict[str, str]] = {
        "energy": "DOUBLE -- eV, total energy of the cell",
        "forces": "DOUBLE[3][] -- eV/Å, force on each atom, shape (nsites, 3)",
    }

    def __init__(self, files: Any = (), forces: bool = True, energy: bool = True) -> None:
        super().__init__(files)
        self.forces, self.energy = forces, energy

    def run_batch(self, batch: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Rows at once."""
        return [self.run(atoms) for atoms in batch]

    def run(self, atoms: Atoms) -> dict[str, Any]:
        """One row."""
        import numpy as np

        return {
            "energy": float(-len(atoms)) if self.energy else None,
            "forces": np.zeros((len(atoms), 3)) if self.forces else None,
        }
