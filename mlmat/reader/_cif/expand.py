"""From the sites listed to all sites of the cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader.common.verdict import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.operations import Operations

#: Images of one site nearer than this, in Å, are one atom on a special position that was listed with few digits.
SAME_ATOM = 0.1
#: Images (sites times operations) handled at a time, so that memory is bounded.
_AT_A_TIME = 200_000


@dataclass(frozen=True, slots=True)
class Expansion:
    """All sites: fractional coordinates (n, 3), the index of the listed site and of the operation behind each.

    multiplicity holds the number of images of each listed site; moved how far it was shifted onto its special
    position, in Å.
    """

    fract: NDArray[np.float64]
    site: NDArray[np.int64]
    operation: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    moved: NDArray[np.float64]


def expand(fract: NDArray[np.float64], cell: NDArray[np.float64], operations: Operations, max_sites: int) -> Expansion:
    """Images of each listed site together, the site itself first and where it was listed, the others in the cell."""
    n, order = len(fract), len(operations)
    if order == 1:
        return Expansion(fract, np.arange(n), np.zeros(n, np.int64), np.ones(n, np.int64), np.zeros(n))
    step = max(1, _AT_A_TIME // order)
    parts: list[Expansion] = []
    total = 0
    for start in range(0, n, step):
        parts.append(_expand_some(fract[start : start + step], cell, operations, start))
        total += len(parts[-1].fract)
        if total > max_sites:
            raise Refused(f"too large: more than {max_sites} sites in the cell after symmetry")
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Expansion]) -> Expansion:
    return Expansion(
        np.concatenate([p.fract for p in parts]),
        np.concatenate([p.site for p in parts]),
        np.concatenate([p.operation for p in parts]),
        np.concatenate([p.multiplicity for p in parts]),
        np.concatenate([p.moved for p in parts]),
    )


def images(fract: NDArray[np.float64], operations: Operations) -> NDArray[np.float64]:
    """Each site under each operation, shape (sites, operations, 3)."""
    turned: NDArray[np.float64] = np.tensordot(fract, operations.rotations, axes=(1, 2))
    return turned + operations.translations


def _expand_some(
    fract: NDArray[np.float64], cell: NDArray[np.float64], operations: Operations, start: int
) -> Expansion:
    n, order = len(fract), len(operations)
    every = images(fract, operations)
    offset = every - fract[:, None]
    offset -= np.rint(offset)
    distance = np.linalg.norm(offset @ cell, axis=2)
    near = distance < SAME_ATOM
    keep = np.ones((n, order), bool)
    shift = np.zeros((n, 3))
    special = np.flatnonzero(near.sum(axis=1) > 1)
    for i in special:
        stabiliser, keep[i] = _cosets(operations, near[i].tobytes()) or _narrower(distance[i], operations)
        shift[i] = offset[i, stabiliser].sum(axis=0) / len(stabiliser)
    if len(special):
        every[special] = images(fract[special] + shift[special], operations)
    every[:, 1:] %= 1.0
    site, operation = np.nonzero(keep)
    return Expansion(every[keep], site + start, operation, keep.sum(axis=1), np.linalg.norm(shift @ cell, axis=1))


@lru_cache(maxsize=1024)
def _cosets(operations: Operations, pattern: bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The operations that leave a site where it is, and one operation for each of its images.

    None where those of the pattern (a mask of operations) are not a group.
    """
    members = np.flatnonzero(np.frombuffer(pattern, bool))
    products = operations.products[:, members]
    if not np.isin(products[members], members).all():
        return None
    return members, products.min(axis=1) == np.arange(len(operations))


def _narrower(distance: NDArray[np.float64], operations: Operations) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The same with a smaller tolerance, down to the identity alone."""
    tolerance = SAME_ATOM / 2
    while tolerance > 1e-6:
        found = _cosets(operations, (distance < tolerance).tobytes())
        if found is not None:
            return found
        tolerance /= 2
    return np.array([0]), np.ones(len(operations), bool)
