"""The unit cell of a CIF: lengths in Å, angles in degrees."""

from __future__ import annotations

from math import cos, isfinite, radians, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._items import number, plain
from mlmat.reader._verdict import NotACrystal, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._items import Items

LENGTHS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
#: Longest cell edge that is believed, in Å: longer ones are misprints.
MAX_LENGTH = 1e4
#: How far operations may carry the cell from itself: about 2 % in a length, 2° in an angle.
METRIC_TOLERANCE = 0.04


def read_cell(items: Items, warnings: list[str]) -> NDArray[np.float64]:
    """The cell vectors as rows in Å, a along x and b in the xy plane."""
    if not all(tag in items for tag in LENGTHS):
        raise NotACrystal("no structure in this block: no cell")
    a, b, c = (_length(items, tag) for tag in LENGTHS)
    alpha, beta, gamma = (_angle(items, tag, warnings) for tag in ANGLES)
    cosines = [0.0 if angle == 90 else cos(radians(angle)) for angle in (alpha, beta, gamma)]
    shape = 1 - sum(x * x for x in cosines) + 2 * cosines[0] * cosines[1] * cosines[2]
    if shape <= 1e-8:
        raise Refused(f"impossible cell angles: {alpha:g}, {beta:g}, {gamma:g}")
    sine = 1.0 if gamma == 90 else sin(radians(gamma))
    cy = (cosines[0] - cosines[1] * cosines[2]) / sine
    return np.array(
        [
            [a, 0, 0],
            [b * cosines[2], b * sine, 0],
            [c * cosines[1], c * cy, c * sqrt(shape) / sine],
        ]
    )


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


def _angle(items: Items, tag: str, warnings: list[str]) -> float:
    text, value = _value(items, tag)
    if text in ("?", ".", ""):
        warnings.append(f"{tag} is not given: 90° assumed")
        return 90.0
    if not isfinite(value):
        raise Refused(f"{tag} is not a number: {text}")
    if not 0 < value < 180:
        raise Refused(f"impossible {tag}: {text}°")
    return value


def misfit(cell: NDArray[np.float64], rotations: NDArray[np.float64]) -> float:
    """How far the operations carry the cell from itself: largest change of the metric, relative to the edges."""
    metric = cell @ cell.T
    lengths = np.sqrt(np.diag(metric))
    turned = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    return float(np.abs((turned - metric) / np.outer(lengths, lengths)).max())
