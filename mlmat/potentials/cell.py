"""ASE's FrechetCellFilter with the same numbers for a tenth of its time, which is more than a small model takes.

ASE computes the logarithm of the deformation three times a step, though it set the deformation as an exponential, and
nine derivatives of the exponential, one along each direction. The adjoint of the derivative at L is the derivative at
the transpose of L: one gives all nine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.filters import FrechetCellFilter
from ase.stress import full_3x3_to_voigt_6_stress


class CellFilter(FrechetCellFilter):  # type: ignore[misc]
    """A FrechetCellFilter without mask, pressure or constraints; nobody else may move its atoms."""

    def __init__(self, atoms: Any) -> None:
        super().__init__(atoms)
        self._set: np.ndarray | None = None
        self._forces: np.ndarray | None = None

    def set_positions(self, new: np.ndarray, **kwargs: Any) -> None:
        """Move atoms and cell."""
        super().set_positions(new, **kwargs)
        self._set, self._forces = new.copy(), None

    def get_positions(self) -> np.ndarray:
        """(atoms + 3, 3): positions in the first cell, and the logarithm of the deformation."""
        found: np.ndarray = super().get_positions() if self._set is None else self._set.copy()
        return found

    def get_forces(self, **kwargs: Any) -> np.ndarray:
        """(atoms + 3, 3): minus the energy's derivatives by what `get_positions` gives."""
        if self._forces is None:
            self._forces = self._computed(**kwargs)
        return self._forces.copy()

    def _computed(self, **kwargs: Any) -> np.ndarray:
        stress, forces = self.atoms.get_stress(voigt=False, **kwargs), self.atoms.get_forces(**kwargs)
        self.stress = full_3x3_to_voigt_6_stress(stress)
        deformation, virial = self.deform_grad(), -self.atoms.cell.volume * stress
        by_deformation = virial @ np.linalg.inv(deformation.T)
        by_logarithm = self.expm_frechet(self._logarithm(deformation).T, by_deformation, compute_expm=False)
        return np.concatenate([forces @ deformation, by_logarithm / self.exp_cell_factor])

    def _logarithm(self, deformation: np.ndarray) -> np.ndarray:
        if self._set is None:
            return np.asarray(self.logm(deformation))
        # What was set has the filter's scale, the number of atoms, in it.
        scaled = self._set[len(self.atoms) :] / self.exp_cell_factor
        return np.asarray(scaled - np.log(self.cell_factor) * np.eye(3))
