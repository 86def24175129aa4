"""Forces and stress as what they are: derivatives of the energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms


def force_and_stress(runner: Any, atoms: Atoms, step: float = 1e-4) -> tuple[float, float]:
    """Force on atom 3 along y (eV/Å) and stress yz (eV/Å³), by central differences of a runner's energy."""

    def energy(change: Any) -> float:
        moved = atoms.copy()
        change(moved)
        return runner.run(moved)["energy"]

    def shift(sign: int) -> Any:
        return lambda a: a.positions.__setitem__((3, 1), a.positions[3, 1] + sign * step)

    def shear(sign: int) -> Any:
        strain = np.zeros((3, 3))
        strain[1, 2] = strain[2, 1] = sign * step / 2
        return lambda a: a.set_cell(a.cell @ (np.eye(3) + strain), scale_atoms=True)

    force = -(energy(shift(1)) - energy(shift(-1))) / (2 * step)
    stress_yz = (energy(shear(1)) - energy(shear(-1))) / (2 * step) / atoms.get_volume()
    return force, stress_yz
