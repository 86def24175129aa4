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
_FLAT = (
    "",
    "the periodic vector has no length",
    "the periodic vectors span no area: one is zero, or they are parallel",
    "the cell has no volume",
)


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
    volume = _extent(cell)
    if _lengths(cell).prod() > OBLIQUE * volume:
        cell = _reduced(cell, pbc)
    inverse = np.linalg.inv(cell)
    places = positions @ inverse
    periods = np.floor(places) * pbc
    if periods.any():  # atoms inside are left as they are, to the bit
        positions -= periods @ cell
        places -= periods
    bins = _bins(1 / _lengths(inverse.T), cutoff, len(atoms))
    if len(atoms) * bins.prod() > DENSEST * volume:  # else no bin is too full, even with all atoms in it
        _check_crowd(places, bins, volume, cell[pbc])
    return Box(cell, positions)


def _check(atoms: Atoms) -> None:
    """Only periodic directions have vectors that mean anything."""
    if len(atoms) == 0:
        raise ValueError("the structure has no atoms")
    vectors = atoms.cell.array[atoms.pbc]
    reach = np.maximum(np.abs(atoms.positions).max(), np.abs(vectors).max(initial=0))
    if not reach <= FARTHEST:
        _refuse_reach(bool(np.isfinite(atoms.positions).all() and np.isfinite(vectors).all()))
    extent = _extent(vectors)
    if extent < 1e-6:
        raise ValueError(_FLAT[len(vectors)])
    if atoms.pbc.all() and len(atoms) / extent > DENSEST:
        raise ValueError(f"{len(atoms)} atoms in {extent:.3g} Å³ is denser than matter (over {DENSEST} per Å³)")


def _refuse_reach(finite: bool) -> None:
    if not finite:
        raise ValueError("positions or cell are not finite")
    raise ValueError(f"positions or cell reach beyond {FARTHEST:.1g} Å: too far to tell atoms apart")


def _extent(vectors: np.ndarray) -> float:
    """Length, area or volume that up to three vectors span; of none 1."""
    if len(vectors) == 3:
        return float(abs(np.linalg.det(vectors)))
    return float(np.linalg.svd(vectors, compute_uv=False).prod())


def _lengths(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt((vectors * vectors).sum(axis=1))
    return found


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


def _bins(thickness: np.ndarray, cutoff: float, atoms: int) -> np.ndarray:
    """How often about the cutoff goes into each thickness of the box. ValueError where that is too often."""
    bins: np.ndarray = np.maximum(thickness // cutoff, 1)
    if bins.prod() > MOST_BINS:
        sizes = " x ".join(f"{size:.3g}" for size in thickness)
        raise ValueError(f"{atoms} atoms in a box of {sizes} Å: too empty to look for neighbours; take away the vacuum")
    return bins


def _check_crowd(places: np.ndarray, bins: np.ndarray, volume: float, periods: np.ndarray) -> None:
    """ValueError where the bins that atoms are in hold, on average over the atoms, more than matter does."""
    numbers = np.clip(np.floor(places * bins), 0, bins - 1) @ [1, bins[0], bins[0] * bins[1]]
    counts = np.unique(numbers, return_counts=True)[1]
    crowd = float((counts**2).sum() / len(places) * bins.prod() / volume)
    if crowd > DENSEST:
        shortest = _lengths(periods).min(initial=np.inf)
        why = f"; the shortest cell vector is {shortest:.3g} Å" if shortest < 1 else ""
        raise ValueError(f"{crowd:.3g} atoms per Å³ where they are: denser than matter (over {DENSEST} per Å³){why}")
