"""Whether a structure can be a crystal at all: distances and volume per atom against what is known of the elements.

Bounds are heuristics: docs/plausibility.md says where they come from, and how often they err. Lengths in Å, volumes
in Å³.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

#: Covalent radii of single bonds in pm, H to Fm: P. Pyykkö and M. Atsumi, Chem. Eur. J. 15 (2009) 186.
_RADII = """
    32 46 133 102 85 75 71 63 64 67 155 139 126 116 111 103 99 96 196 171 148 136 134 122 119
    116 111 110 112 118 124 121 121 116 114 117 210 185 163 154 147 138 128 125 125 120 128 136 142 140
    140 136 133 131 232 196 180 163 176 174 173 172 168 169 168 167 166 165 164 170 162 152 146 137 131
    129 122 123 124 133 144 144 151 145 147 142 223 201 186 175 169 170 171 172 166 166 168 168 165 167
"""
#: What an atom takes up in dense crystals, in Å³, H to Fm: of 7,341 crystals by density functionals, nine in ten have a
#: volume above the sum of these. Hydrogen and noble gases, which pressure makes much smaller: by hand.
_VOLUMES = """
    2.0 3.0 9.9 7.6 5.7 5.5 5.3 6.2 7.2 4.0 17.9 15.8 12.7 12.2 13.6 15.9 23.1 9.0 27.5 22.2
    17.8 13.6 11.9 10.8 10.7 9.6 9.9 9.4 11.7 14.5 14.7 16.0 17.6 20.2 27.1 12.0 35.8 29.4 23.4 19.0
    16.3 14.2 13.7 13.2 13.2 14.0 18.1 21.2 22.4 22.7 23.8 27.1 36.4 15.0 32.9 33.9 30.8 25.1 31.0 30.3
    25.3 28.1 29.4 24.6 25.4 24.7 24.5 25.0 24.5 30.9 23.9 17.8 16.1 15.1 13.8 14.3 14.0 14.8 18.0 23.0
    27.2 27.3 28.0 27.0 27.0 18.0 36.0 38.0 34.2 29.7 23.4 20.1 18.5 16.5 25.0 25.0 25.0 25.0 25.0 25.0
"""
_NONMETALS = (5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 52, 53, 85)
_NOBLE = (2, 10, 18, 36, 54, 86)
#: Alkali metals from K on give way to pressure as no other element does.
_SOFT = (19, 37, 55, 87)
_METAL, _NONMETAL, _HYDROGEN, _GAS, _ALKALI = range(5)
#: Distances below this part of the sum of radii are no bonds but errors, by kinds of elements, in the order above.
_CLOSE = np.array([
    [0.67, 0.62, 0.60, 0.60, 0.67],
    [0.62, 0.72, 0.60, 0.60, 0.62],
    [0.60, 0.60, 0.85, 0.60, 0.60],
    [0.60, 0.60, 0.60, 0.60, 0.60],
    [0.67, 0.62, 0.60, 0.60, 0.55],
])  # fmt: skip
#: Volumes as parts of what the atoms take up in dense crystals: too dense; room for isolated atoms.
_DENSE, _DILUTE = 0.47, 2.9
#: Beyond this distance in Å nothing holds atoms together, and most potentials see no neighbour.
_ISOLATED = 6.0
#: H nearer to another element than this part of the sum of radii is bonded to it.
_BONDED = 1.30
#: Two H nearer than this (Å) are one H₂, not two on one atom.
_TWINS = 0.72
#: Up to so many atoms all pairs are faster than a tree, which then looks at so many neighbours of each atom.
_ALL_PAIRS, _NEIGHBOURS = 40, 13
_IMAGES = np.array(sorted(product((0, -1, 1), repeat=3), key=any), float)


class _Tables(NamedTuple):
    """By atomic number: volume (Å³); by two of them: sum of radii, and what is too close (Å)."""

    volume: Floats
    total: Floats
    close: Floats


class _Pairs(NamedTuple):
    """Atoms with a neighbour each: their places, and the distances (Å)."""

    first: Integers
    second: Integers
    distance: Floats


@cache
def _tables() -> _Tables:
    from ase.data import chemical_symbols

    size = len(chemical_symbols)
    radius, volume = np.full(size, 1.7), np.full(size, 25.0)  # beyond Fm nothing is known
    for values, text, unit in ((radius, _RADII, 0.01), (volume, _VOLUMES, 1.0)):
        found = np.array(text.split(), float) * unit
        values[1 : len(found) + 1] = found
    kind = np.zeros(size, int)
    for name, numbers in ((_NONMETAL, _NONMETALS), (_HYDROGEN, (1,)), (_GAS, _NOBLE), (_ALKALI, _SOFT)):
        kind[list(numbers)] = name
    total = radius[:, None] + radius
    return _Tables(volume, total, _CLOSE[np.ix_(kind, kind)] * total)


def implausible(numbers: Integers, positions: Floats, cell: Floats, pbc: NDArray[np.bool_]) -> str | None:
    """Why no real crystal looks like this, in one line with the numbers; None where nothing speaks against it.

    numbers (n,), positions (n, 3) in Å, cell (3, 3) in Å, pbc (3,).
    """
    numbers, periodic = np.asarray(numbers), np.asarray(pbc, bool)
    volume = abs(float(np.linalg.det(cell))) if periodic.all() else 0.0
    taken = float(_tables().volume[numbers].sum())
    if volume and volume < _DENSE * taken:
        return _too_dense(volume, taken, len(numbers))
    found = _neighbours(numbers, np.asarray(positions, float), np.asarray(cell, float), periodic)
    if found is None:
        return None
    if volume > _DILUTE * taken and found.distance.min(initial=np.inf) > _ISOLATED and not _is_gas(numbers):
        return _isolated(found, numbers, volume / taken)
    return _of_pairs(found, numbers) if len(found.distance) else None


def _is_gas(numbers: Integers) -> bool:
    return bool(np.isin(numbers, _NOBLE).all())


def _of_pairs(found: _Pairs, numbers: Integers) -> str | None:
    """What is wrong with distances."""
    one, other = numbers[found.first], numbers[found.second]
    total = _tables().total[one, other]
    close = found.distance / _tables().close[one, other]
    nearest = int(close.argmin())
    if close[nearest] < 1:
        return _too_close(found, numbers, nearest, total[nearest], int((close < 1).sum()))
    return _twins(found, numbers, total) if (numbers == 1).sum() > 1 else None


def _too_dense(volume: float, taken: float, n: int) -> str:
    return (
        f"too dense: {volume / n:.3g} Å³ per atom, {volume / taken:.0%} of what these elements take up in dense "
        f"crystals ({taken / n:.3g} Å³); are the lengths in Å?"
    )


def _too_close(found: _Pairs, numbers: Integers, at: int, total: float, count: int) -> str:
    distance = float(found.distance[at])
    more = f" ({count // 2} such pairs)" if count > 3 else ""
    names = _names(numbers, int(found.first[at]), int(found.second[at]))
    return f"atoms too close: {names} {distance:.3f} Å, {distance / total:.0%} of the sum of covalent radii{more}"


def _isolated(found: _Pairs, numbers: Integers, dilution: float) -> str:
    nearest = ""
    if len(found.distance):
        at = int(found.distance.argmin())
        names = _names(numbers, int(found.first[at]), int(found.second[at]))
        nearest = f" (nearest: {names} {found.distance[at]:.2f} Å)"
    return (
        f"isolated atoms: none has a neighbour within {_ISOLATED:g} Å{nearest}, in {dilution:.3g} times the volume of "
        "dense crystals; are the lengths in Å?"
    )


def _twins(found: _Pairs, numbers: Integers, total: Floats) -> str | None:
    """Two H nearer than in H₂ that are bonded to something else: one H listed twice."""
    one, other = numbers[found.first], numbers[found.second]
    near = (one == 1) & (other == 1) & (found.distance < _TWINS)
    if not near.any():
        return None
    held = found.first[(one == 1) & (other != 1) & (found.distance < _BONDED * total)]
    at = np.flatnonzero(near & np.isin(found.first, held))
    if not len(at):
        return None
    return f"atoms too close: H-H {found.distance[at].min():.3f} Å on one atom, nearer than in a molecule of H2"


def _names(numbers: Integers, first: int, second: int) -> str:
    from ase.data import chemical_symbols

    return f"{chemical_symbols[numbers[first]]}-{chemical_symbols[numbers[second]]}"


def _neighbours(numbers: Integers, positions: Floats, cell: Floats, periodic: NDArray[np.bool_]) -> _Pairs | None:
    """All pairs with their nearest images, or the nearest neighbours of each atom; None where the cell is flat."""
    vectors = _reduced(_completed(cell, periodic), periodic)
    if vectors is None or not np.isfinite(positions).all():
        return None
    if len(numbers) > _ALL_PAIRS:
        return _nearest(positions, vectors, periodic, _ISOLATED)
    n = len(numbers)
    apart = positions[:, None] - positions
    if periodic.any():
        whole = np.rint(apart @ np.linalg.inv(vectors)) * periodic
        apart -= whole @ vectors
    shifts = (_IMAGES if periodic.all() else _IMAGES[~_IMAGES[:, ~periodic].any(axis=1)]) @ vectors
    # |a + s|² = |a|² + 2 a·s + |s|²: one product of matrices for all pairs and images.
    squared = (apart * apart).sum(axis=2)[..., None] + (2 * apart @ shifts.T + (shifts * shifts).sum(axis=1))
    squared[np.arange(n), np.arange(n), 0] = np.inf
    distance = np.sqrt(np.maximum(squared.min(axis=2), 0)).ravel()
    places = np.arange(n)
    known = np.isfinite(distance)
    return _Pairs(np.repeat(places, n)[known], np.tile(places, n)[known], distance[known])


def _completed(cell: Floats, periodic: NDArray[np.bool_]) -> Floats:
    """The cell with unit vectors across the periodic ones in place of the others."""
    if periodic.all():
        return cell
    _, _, across = np.linalg.svd(cell * periodic[:, None])
    vectors = cell.copy()
    vectors[~periodic] = across[int(periodic.sum()) :]
    return vectors


def _reduced(cell: Floats, periodic: NDArray[np.bool_]) -> Floats | None:
    """Vectors of the same lattice as short as can be, so that nearest images are next ones; None for a flat cell."""
    lengths = np.sqrt((cell * cell).sum(axis=1))
    if not lengths.all() or not np.isfinite(lengths).all() or abs(np.linalg.det(cell / lengths[:, None])) < 1e-6:
        return None
    axes = np.flatnonzero(periodic).tolist()
    cell = cell.copy()
    for _ in range(200):
        metric = (cell @ cell.T).tolist()
        step = _shorter(metric, axes)
        if step is None:
            return cell
        cell[step[0]] += np.array(step[1]) @ cell
    return None


def _shorter(metric: list[list[float]], axes: list[int]) -> tuple[int, list[float]] | None:
    """A vector of the cell and what makes it shorter, in units of the others; None where nothing does."""
    for i in axes:
        for j in axes:
            if i != j and 2 * abs(metric[i][j]) > metric[j][j] * (1 + 1e-9):
                return i, [-round(metric[i][j] / metric[j][j]) * (k == j) for k in range(3)]
    if len(axes) < 3:
        return None
    longest = max(range(3), key=lambda i: metric[i][i])
    j, k = (i for i in range(3) if i != longest)
    for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        change = metric[j][j] + metric[k][k]
        change += 2 * (s * metric[longest][j] + t * metric[longest][k] + s * t * metric[j][k])
        if change < -1e-9 * metric[longest][longest]:
            return longest, [s if i == j else t if i == k else 0 for i in range(3)]
    return None


def _nearest(positions: Floats, cell: Floats, periodic: NDArray[np.bool_], reach: float) -> _Pairs:
    """The nearest neighbours of each atom within the reach (Å), by a tree of the cell and what surrounds it."""
    from scipy.spatial import cKDTree

    inverse = np.linalg.inv(cell)
    fract = positions @ inverse
    fract[:, periodic] %= 1.0
    margin = reach * np.sqrt((inverse * inverse).sum(axis=0))
    place, points = np.arange(len(fract)), fract
    for axis in np.flatnonzero(periodic):
        most = int(np.ceil(margin[axis]))
        parts = [(place, points)]
        for shift in (s for s in range(-most, most + 1) if s):
            moved = points[:, axis] + shift
            near = (moved > -margin[axis]) & (moved < 1 + margin[axis])
            image = points[near].copy()
            image[:, axis] += shift
            parts.append((place[near], image))
        place, points = np.concatenate([p for p, _ in parts]), np.concatenate([x for _, x in parts])
    count = min(_NEIGHBOURS, len(points))
    distance, found = cKDTree(points @ cell).query(fract @ cell, k=count, distance_upper_bound=reach)
    known = np.isfinite(distance[:, 1:])
    first = np.repeat(np.arange(len(fract)), count - 1).reshape(-1, count - 1)[known]
    return _Pairs(first, place[found[:, 1:][known]], distance[:, 1:][known])
