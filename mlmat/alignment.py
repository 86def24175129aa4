"""What was computed for one description of a crystal, in the atom order and orientation of another one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.structure import canonical_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms
    from numpy.typing import NDArray

#: Values of each atom, those that turn with the crystal, and stresses (Voigt order), under ASE's names.
PER_ATOM = {"forces", "magmoms", "charges", "energies", "stresses"}
VECTORS = {"forces", "dipole"}
STRESSES = {"stress", "stresses"}
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


def realigned(results: Mapping[str, Any], own: Atoms, other: Atoms) -> dict[str, Any]:
    """Results for `own` as results for `other`, a description of the same crystal (same structure id).

    Forces (n, 3), magmoms (n,) or flattened (n, 3), charges, energies (n,), stresses (n, 6), stress (6,), dipole (3,);
    what has no direction and no atom stays.
    """
    order = np.empty(len(own), int)
    order[canonical_order(other)] = canonical_order(own)
    turn = _rotation(own, other)
    return {name: None if value is None else _moved(name, value, order, turn) for name, value in results.items()}


def _rotation(own: Atoms, other: Atoms) -> NDArray[np.float64]:
    """The matrix R, shape (3, 3), that turns row vectors of `own` into those of `other`: v R."""
    turn = np.linalg.solve(own.cell.complete().array, other.cell.complete().array)
    left, _, right = np.linalg.svd(turn)  # cells agree to a few digits only, a rotation is one exactly
    rotation: NDArray[np.float64] = left @ right
    return rotation


def _moved(name: str, value: Any, order: NDArray[np.int_], turn: NDArray[np.float64]) -> Any:
    if name not in PER_ATOM | VECTORS | STRESSES:
        return value
    array = np.asarray(value, float)
    vectors = name in VECTORS or (name == "magmoms" and array.size == 3 * len(order) > len(order))
    if vectors and name in PER_ATOM:
        array = array.reshape(-1, 3)
    if name in PER_ATOM:
        array = array[order]
    if vectors:
        array = array @ turn
    if name in STRESSES:
        array = _turned(array, turn)
    return (array.ravel() if name == "magmoms" else array).tolist()


def _turned(stress: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    full = turn.T @ stress[..., _VOIGT] @ turn
    return np.stack([full[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)
