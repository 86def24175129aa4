"""The box in which neighbours are searched. What the search, or the memory, could not take is refused before it begins.

matscipy takes as long as the box is flat, oblique, empty or full: a thin or oblique one has images without end, an
empty one bins without end, and atoms far outside are brought in one period after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import minkowski_reduce

if TYPE_CHECKING:
    from ase import Atoms

#: Atoms per Å³; diamond has 0.18. Denser cells would cost memory without end in the neighbour list.
DENSEST = 2.0
#: Bins of about the cutoff in each direction: 80 MB. Only a vacuum has more.
MOST_BINS = 1e7
#: Product of the lengths over the volume. Fcc's primitive cell has 1.4, a reduced cell never more than 2.
OBLIQUE = 10.0
#: Å: how exactly places have to be known, and where float64 knows them no more.
EXACT = 1e-6
FARTHEST = EXACT / np.finfo(float).eps
_WORDS = ("", "length", "area", "volume")


@dataclass(frozen=True, slots=True)
class Box:
    """Three vectors (rows, Å) and the positions (n, 3; Å) inside them, which have the pairs of the structure.

    Periodic directions keep rows and lattice, by its shortest vectors where the given ones are oblique, and the
    atoms are moved by whole periods. Other rows are orthogonal to them, beyond all atoms, whatever the structure says
    there. Where two parts are further from one another than the cutoff along such a row, they stand nearer, but still
    beyond it.
    """

    cell: np.ndarray
    positions: np.ndarray


def box_of(atoms: Atoms, cutoff: float) -> Box:
    """The box for pairs within `cutoff` Å. ValueError where a search there would have no end, or no sense."""
    _check(atoms)
    pbc = atoms.pbc
    cell, positions = atoms.cell.array.copy(), atoms.positions.copy()
    if not pbc.all():
        _enclose(cell, positions, pbc, cutoff)
    if np.linalg.norm(cell, axis=1).prod() > OBLIQUE * abs(np.linalg.det(cell)):
        cell = _reduced(cell, pbc)
    inverse = np.linalg.inv(cell)
    _move_inside(cell, inverse, positions, pbc)
    _check_size(cell, inverse, positions, pbc, cutoff)
    return Box(cell, positions)


def _check(atoms: Atoms) -> None:
    """Only periodic directions have vectors that mean anything."""
    if len(atoms) == 0:
        raise ValueError("the structure has no atoms")
    vectors = atoms.cell.array[atoms.pbc]
    if not (np.isfinite(atoms.positions).all() and np.isfinite(vectors).all()):
        raise ValueError("positions or cell are not finite")
    if max(np.abs(atoms.positions).max(), np.abs(vectors).max(initial=0)) > FARTHEST:
        raise ValueError(f"positions or cell reach beyond {FARTHEST:.1g} Å: too far to tell atoms apart")
    extent = _extent(vectors)
    if extent < 1e-6:
        raise ValueError(
            f"the cell has no {_WORDS[len(vectors)]}"
            + ("" if atoms.pbc.all() else ": a periodic vector is zero, or two of them are parallel")
        )
    if atoms.pbc.all() and len(atoms) / extent > DENSEST:
        raise ValueError(f"{len(atoms)} atoms in {extent:.3g} Å³ is denser than matter (over {DENSEST} per Å³)")


def _extent(vectors: np.ndarray) -> float:
    """Length, area or volume that up to three vectors span; of none 1."""
    return float(np.linalg.svd(vectors, compute_uv=False).prod())


def _enclose(cell: np.ndarray, positions: np.ndarray, pbc: np.ndarray, cutoff: float) -> None:
    """Lay the rows of directions without periodicity, and move the atoms inside along them; both in place."""
    periodic = cell[pbc]
    normals = np.linalg.qr(periodic.T, mode="complete")[0][:, len(periodic) :].T if len(periodic) else np.eye(3)
    for row, normal in zip(np.flatnonzero(~pbc), normals, strict=True):
        heights = positions @ normal
        inside = _without_gaps(heights, 2 * cutoff) + cutoff / 2
        positions += np.outer(inside - heights, normal)
        cell[row] = (inside.max() + cutoff / 2) * normal


def _without_gaps(heights: np.ndarray, gap: float) -> np.ndarray:
    """Heights from 0 on, with every empty stretch that is longer than `gap` shortened to it."""
    order = np.argsort(heights, kind="stable")
    excess = np.maximum(np.diff(heights[order]) - gap, 0)
    found: np.ndarray = heights - heights[order[0]]
    if excess.any():
        found[order[1:]] -= np.cumsum(excess)
    return found


def _reduced(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The same lattice by its shortest vectors. ValueError where its digits do not tell them."""
    try:
        reduced, multiples = minkowski_reduce(cell, pbc)
        lost = float((np.abs(multiples) @ np.abs(cell)).max() * np.finfo(float).eps)
    except RuntimeError:
        lost = float("inf")
    if not lost < EXACT:
        raise ValueError("the cell is so oblique that its digits do not tell its shortest periods")
    return np.array(reduced)


def _move_inside(cell: np.ndarray, inverse: np.ndarray, positions: np.ndarray, pbc: np.ndarray) -> None:
    """Move atoms by whole periods, in place; those inside are left as they are."""
    periods = np.floor(positions @ inverse) * pbc
    if periods.any():
        positions -= periods @ cell


def _check_size(cell: np.ndarray, inverse: np.ndarray, positions: np.ndarray, pbc: np.ndarray, cutoff: float) -> None:
    """ValueError where bins of about the cutoff are too many, or what is in them is too much."""
    thickness = 1 / np.linalg.norm(inverse, axis=0)
    bins = np.maximum(thickness // cutoff, 1)
    if bins.prod() > MOST_BINS:
        raise ValueError(
            f"{len(positions)} atoms in a box of {' x '.join(f'{x:.3g}' for x in thickness)} Å: "
            "too empty to look for neighbours; take away the vacuum"
        )
    volume = abs(np.linalg.det(cell)) / bins.prod()
    if len(positions) / volume <= DENSEST:  # even if all were in one bin
        return
    places = np.clip(np.floor(positions @ inverse * bins), 0, bins - 1) @ [1, bins[0], bins[0] * bins[1]]
    counts = np.unique(places, return_counts=True)[1]
    crowd = float((counts**2).sum() / len(positions) / volume)
    if crowd > DENSEST:
        why = f"; the shortest period is {_shortest(cell, pbc):.3g} Å" if pbc.any() else ""
        raise ValueError(f"{crowd:.3g} atoms per Å³ where they are: denser than matter (over {DENSEST} per Å³){why}")


def _shortest(cell: np.ndarray, pbc: np.ndarray) -> float:
    return float(np.linalg.norm(np.array(minkowski_reduce(cell, pbc)[0])[pbc], axis=1).min())
