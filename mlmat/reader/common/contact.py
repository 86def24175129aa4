"""Atoms that lie almost on top of each other."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlmat.reader._cif.cell import thinnest

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: In Å. The shortest real distance is H-H in H2, 0.74; X-H bonds from X-ray data go down to about 0.6; copies of one
#: atom by symmetry or by careless listing lie below 0.3.
TOO_CLOSE = 0.5
#: Below this many atoms all pairs are faster than a neighbour list.
_ALL_PAIRS = 60
#: More atoms than this that share their box with another are not worth a neighbour list.
_CROWD = 100
#: Up to so many atoms all neighbouring boxes are searched together; beyond it memory counts.
_AT_ONCE = 2_000
#: A box itself and one of each two opposite neighbours.
_HALF_OF_ALL_BOXES = np.array(list(product((-1, 0, 1), repeat=3))[13:])


class Contact(NamedTuple):
    """Two atoms and their distance in Å."""

    first: int
    second: int
    distance: float


def contacts(fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float = TOO_CLOSE) -> list[Contact]:
    """The pairs of atoms nearer than the cutoff (Å), nearest first."""
    if len(fract) <= _ALL_PAIRS and thinnest(cell) > 2 * cutoff:
        return _all_pairs(fract, cell, cutoff)
    crowd = _crowd(fract, cell, cutoff)
    # Thousands of atoms in one place have millions of pairs; one neighbour of each is enough to tell.
    return crowd if len(crowd) > _CROWD else _neighbours(fract, cell, cutoff)


def _all_pairs(fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float) -> list[Contact]:
    # The rounded difference is the nearest image whenever the cell is thicker than twice the cutoff.
    if len(fract) == 1:
        return []
    offset = fract[:, None] - fract
    offset -= np.rint(offset)
    vectors = offset @ cell
    vectors *= vectors
    squared = vectors.sum(axis=2)
    close = squared < cutoff * cutoff
    if np.count_nonzero(close) == len(fract):
        return []
    pairs = [Contact(int(i), int(j), float(np.sqrt(squared[i, j]))) for i, j in np.argwhere(close) if i < j]
    return sorted(pairs, key=lambda pair: pair.distance)


def _crowd(fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float) -> list[Contact]:
    """Pairs that share a box so small that they must be nearer than the cutoff, one for each atom but the first."""
    boxes = np.ceil(np.linalg.norm(cell, axis=1) / (0.3 * cutoff))
    keys = np.minimum((fract % 1.0) * boxes, boxes - 1).astype(np.int64) @ np.array([1, boxes[0], boxes[0] * boxes[1]])
    order = np.argsort(keys, kind="stable")
    here = np.flatnonzero(np.diff(keys[order]) == 0)
    vectors = fract[order[here + 1]] - fract[order[here]]
    distances = np.linalg.norm((vectors - np.rint(vectors)) @ cell, axis=1)
    pairs = zip(order[here].tolist(), order[here + 1].tolist(), distances.tolist(), strict=True)
    return sorted((Contact(*pair) for pair in pairs), key=lambda pair: pair.distance)


def _neighbours(fract: NDArray[np.float64], cell: NDArray[np.float64], cutoff: float) -> list[Contact]:
    """Pairs from neighbouring boxes as thick as the cutoff; memory grows with the atoms, not with the volume."""
    boxes = np.maximum(1, np.floor(1 / (np.linalg.norm(np.linalg.inv(cell), axis=0) * cutoff))).astype(np.int64)
    place = np.minimum(((fract % 1.0) * boxes).astype(np.int64), boxes - 1)
    stride = np.array([1, boxes[0], boxes[0] * boxes[1]])
    order = np.argsort(place @ stride, kind="stable")
    keys = (place @ stride)[order]
    found: set[Contact] = set()
    step = len(_HALF_OF_ALL_BOXES) if len(fract) <= _AT_ONCE else 1
    for k in range(0, len(_HALF_OF_ALL_BOXES), step):
        shifts = _HALF_OF_ALL_BOXES[k : k + step, None]
        near = (((place + shifts) % boxes) @ stride).ravel()
        start, end = np.searchsorted(keys, near), np.searchsorted(keys, near, side="right")
        count = end - start
        first = np.repeat(np.tile(np.arange(len(fract)), len(shifts)), count)
        run = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        found |= _close(first, order[np.repeat(start, count) + run], fract, cell, cutoff)
    return sorted(found, key=lambda pair: pair.distance)


def _close(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    fract: NDArray[np.float64],
    cell: NDArray[np.float64],
    cutoff: float,
) -> set[Contact]:
    first, second = np.minimum(first, second), np.maximum(first, second)
    first, second = first[first < second], second[first < second]
    vectors = fract[second] - fract[first]
    distances = np.linalg.norm((vectors - np.rint(vectors)) @ cell, axis=1)
    near = distances < cutoff
    pairs = zip(first[near].tolist(), second[near].tolist(), distances[near].tolist(), strict=True)
    return {Contact(*pair) for pair in pairs}
