"""Atoms that lie almost on top of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: In Å. The shortest real distance is H-H in H2, 0.74; X-H bonds from X-ray data go down to about 0.6; copies of one
#: atom by symmetry or by careless listing lie below 0.3.
TOO_CLOSE = 0.5
#: Below this many atoms all pairs are faster than a neighbour list.
_ALL_PAIRS = 120


class Contact(NamedTuple):
    """Two atoms and their distance in Å."""

    first: int
    second: int
    distance: float


def contacts(
    fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float = TOO_CLOSE
) -> list[Contact]:
    """The pairs of atoms nearer than the cutoff (Å), nearest first."""
    inverse = np.linalg.inv(cell)
    # The columns of the inverse are as long as one over the thickness of the cell.
    if len(fract) <= _ALL_PAIRS and float((inverse * inverse).sum(axis=0).max()) < (0.5 / cutoff) ** 2:
        return _all_pairs(fract, cell, cutoff)
    return _neighbours(fract, cell, cutoff)


def _all_pairs(fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float) -> list[Contact]:
    # The rounded difference is the nearest image whenever the cell is thicker than twice the cutoff.
    if len(fract) == 1:
        return []
    offset = fract[:, None] - fract
    offset -= np.rint(offset)
    vectors = offset @ cell
    squared = np.einsum("ijk,ijk->ij", vectors, vectors)
    close = squared < cutoff * cutoff
    if np.count_nonzero(close) == len(fract):
        return []
    pairs = [Contact(int(i), int(j), float(np.sqrt(squared[i, j]))) for i, j in np.argwhere(close) if i < j]
    return sorted(pairs, key=lambda pair: pair.distance)


def _neighbours(fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float) -> list[Contact]:
    from matscipy.neighbours import neighbour_list

    first, second, distance = neighbour_list(
        "ijd", positions=(fract % 1.0) @ cell, cell=cell, pbc=[True] * 3, cutoff=cutoff
    )
    pairs = zip(first, second, distance, strict=True)
    found = [Contact(int(i), int(j), float(d)) for i, j, d in pairs if i <= j]
    return sorted(found, key=lambda pair: pair.distance)
