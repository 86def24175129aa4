"""Two descriptions of atoms, atom by atom: values of one in the order of the other, how far a relaxation moved them.

Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.materials.structure import FLAT, canonical_order

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

#: Values of each atom, those that turn with the crystal, and stresses, under ASE's names.
PER_ATOM = {"forces", "magmoms", "charges", "energies", "stresses"}
VECTORS = {"forces", "dipole"}
STRESSES = {"stress", "stresses"}
#: Names of all values that depend on atom order or orientation.
MOVED = PER_ATOM | VECTORS | STRESSES
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
#: Shapes, for n atoms, of what is what its name says; something else of that name is left alone.
_SHAPES: dict[str, list[tuple[int | str, ...]]] = {
    "forces": [("n", 3)], "magmoms": [("n",), ("n", 3), ("3n",)], "charges": [("n",)], "energies": [("n",)],
    "stresses": [("n", 6), ("n", 3, 3)], "stress": [(6,), (3, 3)], "dipole": [(3,)],
}  # fmt: skip


class Alignment:
    """From one description of a crystal to another one of the same structure id.

    What moves: forces (n, 3), magmoms (n,), (n, 3) or flattened, charges, energies (n,), stresses (n, 6) or (n, 3, 3),
    stress (6,) or (3, 3), dipole (3,); Voigt order. What has no direction and no atom stays.
    """

    def __init__(self, own: Atoms, other: Atoms) -> None:
        self.order = np.empty(len(own), int)
        self.order[canonical_order(other)] = canonical_order(own)
        self.turn = _rotation(own, other)

    def moved(self, name: str, value: Any) -> Any:
        """A value for `own` as one for `other`, in the shape given; as it is where its name and shape are no such."""
        array = self._array(name, value)
        if array is None:
            return value
        if name in PER_ATOM:
            parts = array.reshape(len(self.order), -1) if name == "magmoms" else array
            array = parts[self.order].reshape(array.shape)
        if name in VECTORS or (name == "magmoms" and array.size > len(self.order)):
            array = (array.reshape(-1, 3) @ self.turn).reshape(array.shape)
        if name in STRESSES:
            array = _turned(array, self.turn)
        return array.tolist()

    def _array(self, name: str, value: Any) -> NDArray[np.float64] | None:
        try:
            array = np.asarray(value, float)
        except (ValueError, TypeError):
            return None
        sizes = {"n": len(self.order), "3n": 3 * len(self.order)}
        shapes = [tuple(sizes[s] if isinstance(s, str) else s for s in shape) for shape in _SHAPES.get(name, [])]
        return array if array.shape in shapes else None


def displacement(before: Atoms, after: Atoms) -> float | None:
    """Root mean square displacement of the atoms in Å; None for other atoms, another order, or a cell without volume.

    Of fractional coordinates, in the later cell: what the cell does to all atoms alike does not count, nor does what
    moves all of them, without masses. Each atom goes to the nearest periodic image.
    """
    if len(before) != len(after) or not len(before) or (before.numbers != after.numbers).any():
        return None
    cells = [atoms.cell.complete().array for atoms in (before, after)]
    if any(abs(np.linalg.det(cell)) < FLAT for cell in cells):
        return None
    first, last = (np.linalg.solve(cell.T, a.positions.T).T for cell, a in zip(cells, (before, after), strict=True))
    moved = last - first
    moved -= moved[0]
    moved[:, after.pbc] -= np.round(moved[:, after.pbc])
    moved -= moved.mean(axis=0)
    return float(np.sqrt(((moved @ cells[1]) ** 2).sum(axis=1).mean()))


def _rotation(own: Atoms, other: Atoms) -> NDArray[np.float64]:
    """The matrix R, shape (3, 3), that turns row vectors of `own` into those of `other`: v R."""
    turn = np.linalg.solve(own.cell.complete().array, other.cell.complete().array)
    left, _, right = np.linalg.svd(turn)  # cells agree to a few digits only, a rotation is one exactly
    rotation: NDArray[np.float64] = left @ right
    return rotation


def _turned(stress: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    if stress.shape[-1] == 3:
        return turn.T @ stress @ turn
    full = turn.T @ stress[..., _VOIGT] @ turn
    return np.stack([full[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)
