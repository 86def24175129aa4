"""Symmetry operations: triplets such as `-x,y+1/2,-z` as a group with its multiplication table."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from mlmat.reader.common.verdict import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: More operations than any space group has in a conventional cell (192), with room for small supercells.
MAX_OPERATIONS = 768
#: Longest triplet that is looked at, in characters.
MAX_TRIPLET = 200
#: Largest common denominator of the translations; exact integer arithmetic needs a bound.
MAX_DENOMINATOR = 5_000
#: Decimal translations such as 0.333 or 0.67 mean the multiple of 1/24 this near.
DECIMAL_TOLERANCE = 0.004
_TERM = re.compile(r"([+-]?)(?:(\d+\.?\d*|\.\d+)(?:/(\d+))?)?\*?([xyz])?")


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """A group modulo lattice translations: rotations (n, 3, 3), translations (n, 3), the identity first.

    products[i, j] is the index of operation i after operation j; listed is the index of each among the triplets
    (-1 for an identity that was not listed); number is that of the space-group type, where it could be told.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    products: NDArray[np.int16]
    listed: NDArray[np.int64]
    number: int | None
    symbol: str | None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)


@lru_cache(maxsize=128)
def parse_operations(triplets: tuple[str, ...]) -> Operations:
    """The group of these triplets; refused where one cannot be understood or they are not a group."""
    if len(triplets) > MAX_OPERATIONS:
        raise Refused(f"{len(triplets)} symmetry operations listed: more than any space group has")
    rotations, translations, period = _integers([parse_triplet(triplet) for triplet in triplets])
    codes = _codes(rotations, translations, period)
    if _identity_code(period) not in codes:
        with_identity = parse_operations(("x,y,z", *triplets))
        warnings = ("the symmetry operations listed lack x,y,z", *with_identity.warnings)
        return replace(with_identity, listed=with_identity.listed - 1, warnings=warnings)
    return _group(rotations, translations, period, triplets)


def _group(
    rotations: NDArray[np.int64], translations: NDArray[np.int64], period: int, names: Sequence[str]
) -> Operations:
    codes = _codes(rotations, translations, period)
    identity = _identity_code(period)
    _, first = np.unique(codes, return_index=True)
    twice = len(names) - len(first)
    order = sorted(first.tolist(), key=lambda i: (codes[i] != identity, i))
    products = _table(rotations[order], translations[order], period, [names[i] for i in order])
    number, symbol = _type(rotations[order], translations[order], period)
    return Operations(
        rotations[order].astype(float),
        translations[order] / period,
        products,
        np.array(order),
        number,
        symbol,
        (f"{twice} symmetry operations are listed twice",) if twice else (),
    )


def from_gemmi(group: gemmi.GroupOps) -> Operations:
    """The operations of one of gemmi's settings."""
    operations = list(group)
    rotations = np.array([op.rot for op in operations], np.int64) // gemmi.Op.DEN
    translations = np.array([op.tran for op in operations], np.int64)
    return _group(rotations, translations, gemmi.Op.DEN, [""] * len(operations))


def parse_triplet(triplet: str) -> tuple[list[tuple[int, ...]], list[Fraction]]:
    """Rotation rows and translation (within one cell) of a triplet such as `-x,y+1/2,-z`."""
    parts = triplet.lower().replace(" ", "").replace("\t", "").split(",")
    if len(parts) != 3 or len(triplet) > MAX_TRIPLET:
        raise Refused(f"symmetry operation not understood: {triplet}")
    try:
        rows, shifts = zip(*map(_parse_part, parts), strict=True)
    except ValueError:
        raise Refused(f"symmetry operation not understood: {triplet}") from None
    if abs(_determinant(rows)) != 1:
        raise Refused(f"not a symmetry operation: {triplet}")
    return list(rows), list(shifts)


def _determinant(rows: Sequence[Sequence[int]]) -> int:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


@lru_cache(maxsize=2048)
def _parse_part(part: str) -> tuple[tuple[int, ...], Fraction]:
    """A row of the rotation and the translation; raises ValueError where they cannot be understood."""
    row, shift, at = [Fraction(0)] * 3, Fraction(0), 0
    while at < len(part):
        term = _TERM.match(part, at)
        if term is None or not (term.group(2) or term.group(4)) or not int(term.group(3) or 1):
            raise ValueError(part)
        value = _value(term.group(2), term.group(3)) * (-1 if term.group(1) == "-" else 1)
        if term.group(4):
            row["xyz".index(term.group(4))] += value
        else:
            shift += value
        at = term.end()
    if not part or any(r.denominator != 1 or abs(r) > 3 for r in row):
        raise ValueError(part)
    return tuple(int(r) for r in row), shift % 1


def _value(digits: str | None, denominator: str | None) -> Fraction:
    if not digits:
        return Fraction(1)
    value = Fraction(digits) / (int(denominator) if denominator else 1)
    usual = Fraction(round(value * 24), 24)
    if "." in digits and abs(value - usual) < DECIMAL_TOLERANCE:
        return usual
    return value


def _integers(
    parsed: list[tuple[list[tuple[int, ...]], list[Fraction]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    period = lcm(24, *(t.denominator for _, shift in parsed for t in shift))
    if period > MAX_DENOMINATOR:
        raise Refused("the symmetry operations listed are not a group: their translations have no common denominator")
    rotations = np.array([rotation for rotation, _ in parsed], np.int64)
    translations = np.array([[int(t * period) for t in shift] for _, shift in parsed], np.int64)
    return rotations, translations, period


def _codes(rotations: NDArray[np.int64], translations: NDArray[np.int64], period: int) -> NDArray[np.int64]:
    """One integer an operation; entries of products beyond ±3 cannot be told apart, and are in no group."""
    turned = np.clip(rotations, -3, 3).reshape(*rotations.shape[:-2], 9) + 3
    code = turned @ (7 ** np.arange(9, dtype=np.int64)) * period**3
    return np.asarray(code + (translations % period) @ (period ** np.arange(3, dtype=np.int64)))


def _identity_code(period: int) -> int:
    return int(_codes(np.eye(3, dtype=np.int64), np.zeros(3, np.int64), period))


def _table(
    rotations: NDArray[np.int64], translations: NDArray[np.int64], period: int, names: list[str]
) -> NDArray[np.int16]:
    codes = _codes(rotations, translations, period)
    order = np.argsort(codes)
    table = np.empty((len(codes), len(codes)), np.int16)
    for i, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        product = _codes(rotation @ rotations, translations @ rotation.T + translation, period)
        at = np.searchsorted(codes[order], product).clip(max=len(codes) - 1)
        table[i] = order[at]
        if (codes[table[i]] != product).any():
            j = int(np.argmax(codes[table[i]] != product))
            raise Refused(
                f"the {len(codes)} symmetry operations listed are not a group: {names[i]} after {names[j]} is not one"
            )
    return table


def _type(rotations: NDArray[np.int64], translations: NDArray[np.int64], period: int) -> tuple[int | None, str | None]:
    """Number and extended symbol by gemmi, which knows translations by 1/24 only."""
    scaled = translations * 24
    if len(rotations) > 192 or (scaled % period).any():
        return None, None
    group = gemmi.GroupOps([_op(r, t) for r, t in zip(rotations, scaled // period, strict=True)])
    found = gemmi.find_spacegroup_by_ops(group)
    return (int(found.number), str(found.xhm())) if found is not None else (None, None)


def _op(rotation: NDArray[np.int64], translation: NDArray[np.int64]) -> gemmi.Op:
    op = gemmi.Op()
    op.rot = (rotation * 24).tolist()
    op.tran = translation.tolist()
    return op
