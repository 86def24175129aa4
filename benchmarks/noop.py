"""A runner that computes nothing: what is left is what mlmat itself costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

from ase import Atoms

from mlmat.runner import WrappedAtomsRunner


class Noop(WrappedAtomsRunner):
    """Energy: the number of atoms. Forces: zero, so that a row has the size of a real one.

    energy=false returns none: then there is nothing to make hulls of, which is work that other systems do not do.
    wait: seconds that each structure takes, asleep.
    """

    name = "noop"
    version = "1"
    columns: ClassVar[dict[str, str]] = {
        "energy": "DOUBLE -- eV, total energy of the cell",
        "forces": "DOUBLE[3][] -- eV/Å, force on each atom, shape (nsites, 3)",
    }

    def __init__(self, files: Any = (), forces: bool = True, energy: bool = True, wait: float = 0.0) -> None:
        super().__init__(files)
        self.forces, self.energy, self.wait = forces, energy, wait

    def run_batch(self, batch: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Rows at once."""
        time.sleep(self.wait * len(batch))
        return [self.run(atoms) for atoms in batch]

    def run(self, atoms: Atoms) -> dict[str, Any]:
        """One row."""
        import numpy as np

        return {
            "energy": float(-len(atoms)) if self.energy else None,
            "forces": np.zeros((len(atoms), 3)) if self.forces else None,
        }
