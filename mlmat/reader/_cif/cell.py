"""The unit cell of a CIF: lengths in Å, angles in degrees."""

from __future__ import annotations

from math import cos, hypot, isfinite, radians, sin, sqrt
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from mlmat.reader._cif.items import number, plain
from mlmat.reader.common.verdict import NotACrystal, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.items import Items

LENGTHS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
#: Longest cell edge that is believed, in Å: longer ones are misprints.
MAX_LENGTH = 1e4
#: Thinnest cell that is believed, in Å: no atom is as small.
MIN_THICKNESS = 0.5
#: How far operations may carry the cell from itself: about 2 % in a length, 2° in an angle.
METRIC_TOLERANCE = 0.04


class Cell(NamedTuple):
    """Cell vectors as rows in Å, a along x and b in the xy plane; the angles (degrees) and which were assumed."""

    vectors: NDArray[np.float64]
    lengths: tuple[float, ...]
    angles: tuple[float, ...]
    assumed: tuple[int, ...]


def read_cell(items: Items, warnings: list[str]) -> Cell:
    """The cell of a block; refused where it is no cell."""
    if not all(tag in items for tag in LENGTHS):
        raise NotACrystal("no structure in this block: no cell")
    lengths = tuple(_length(items, tag) for tag in LENGTHS)
    known = [_angle(items, tag) for tag in ANGLES]
    assumed = tuple(i for i, angle in enumerate(known) if angle is None)
    warnings.extend(f"{ANGLES[i]} is not given: 90° assumed" for i in assumed)
    angles = tuple(90.0 if angle is None else angle for angle in known)
    vectors = _vectors(lengths, angles)
    if thinnest(vectors) < MIN_THICKNESS:
        raise Refused(f"the cell makes no sense: two of its faces are {thinnest(vectors):.3g} Å apart")
    return Cell(vectors, lengths, angles, assumed)


def _vectors(lengths: tuple[float, ...], angles: tuple[float, ...]) -> NDArray[np.float64]:
    a, b, c = lengths
    alpha, beta, gamma = angles
    cosines = [0.0 if angle == 90 else cos(radians(angle)) for angle in (alpha, beta, gamma)]
    shape = 1 - sum(x * x for x in cosines) + 2 * cosines[0] * cosines[1] * cosines[2]
    if shape <= 1e-8:
        raise Refused(f"impossible cell angles: {alpha:g}, {beta:g}, {gamma:g}")
    sine = 1.0 if gamma == 90 else sin(radians(gamma))
    cy = (cosines[0] - cosines[1] * cosines[2]) / sine
    rows = [[a, 0, 0], [b * cosines[2], b * sine, 0], [c * cosines[1], c * cy, c * sqrt(shape) / sine]]
    return np.array(rows, float)


def _value(items: Items, tag: str) -> tuple[str, float]:
    column = items.column(tag) or ["?"]
    return plain(column[0]).strip(), number(column[0])


def _length(items: Items, tag: str) -> float:
    text, value = _value(items, tag)
    if text in ("?", ".", ""):
        raise NotACrystal(f"no structure in this block: {tag} is not given")
    if not isfinite(value):
        raise Refused(f"{tag} is not a number: {text}")
    if value <= 0 or value > MAX_LENGTH:
        raise Refused(f"{tag} makes no sense: {text} Å")
    return value


def _angle(items: Items, tag: str) -> float | None:
    text, value = _value(items, tag)
    if text in ("?", ".", ""):
        return None
    if not isfinite(value):
        raise Refused(f"{tag} is not a number: {text}")
    if not 0 < value < 180:
        raise Refused(f"impossible {tag}: {text}°")
    return value


def thinnest(cell: NDArray[np.float64]) -> float:
    """The smallest distance in Å between opposite faces of a cell with a along x and b in the xy plane."""
    (ax, _, _), (bx, by, _), (cx, cy, cz) = cast("list[list[float]]", cell.tolist())
    across_a = hypot(1 / ax, bx / (ax * by), (bx * cy - by * cx) / (ax * by * cz))
    return 1 / max(across_a, hypot(1 / by, cy / (by * cz)), 1 / cz)


def free_angle(cell: Cell, rotations: NDArray[np.float64]) -> str | None:
    """The tag of an angle that was assumed although the symmetry would allow another, or None."""
    for i in cell.assumed:
        tilted = [95.0 if k == i else angle for k, angle in enumerate(cell.angles)]
        if misfit(_vectors(cell.lengths, tuple(tilted)), rotations) <= METRIC_TOLERANCE:
            return ANGLES[i]
    return None


def misfit(cell: NDArray[np.float64], rotations: NDArray[np.float64]) -> float:
    """How far the operations carry the cell from itself: largest change of the metric, relative to the edges."""
    metric = cell @ cell.T
    lengths = np.sqrt(np.diag(metric))
    turned = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    return float(np.abs((turned - metric) / np.outer(lengths, lengths)).max())
