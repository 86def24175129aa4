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

from mlmat.reader._verdict import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: More operations than any space group has in a conventional cell (192), with room for small supercells.
MAX_OPERATIONS = 1536
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
    products: NDArray[np.int64]
    listed: NDArray[np.int64]
    number: int | None
    symbol: str | None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rotations)


@lru_cache(maxsize=512)
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
    _, first = np.unique(codes, return_index=True)
    twice = len(triplets) - len(first)
    order = sorted(first, key=lambda i: (codes[i] != _identity_code(period), i))
    products = _table(rotations[order], translations[order], period, [triplets[i] for i in order])
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
    return parse_operations(tuple(op.triplet() for op in group))


def parse_triplet(triplet: str) -> tuple[list[list[int]], list[Fraction]]:
    """Rotation rows and translation (within one cell) of a triplet such as `-x,y+1/2,-z`."""
    parts = triplet.lower().replace(" ", "").replace("\t", "").split(",")
    if len(parts) != 3:
        raise Refused(f"symmetry operation not understood: {triplet}")
    rows, shifts = zip(*(_parse_part(part, triplet) for part in parts), strict=True)
    if round(abs(np.linalg.det(np.array(rows, float)))) != 1:
        raise Refused(f"not a symmetry operation: {triplet}")
    return list(rows), list(shifts)


def _parse_part(part: str, triplet: str) -> tuple[list[int], Fraction]:
    row, shift, at = [Fraction(0)] * 3, Fraction(0), 0
    while at < len(part):
        term = _TERM.match(part, at)
        if term is None or not (term.group(2) or term.group(4)) or term.group(3) in ("0", "00"):
            raise Refused(f"symmetry operation not understood: {triplet}")
        value = _value(term.group(2), term.group(3)) * (-1 if term.group(1) == "-" else 1)
        if term.group(4):
            row["xyz".index(term.group(4))] += value
        else:
            shift += value
        at = term.end()
    if not part or any(r.denominator != 1 or abs(r) > 3 for r in row):
        raise Refused(f"symmetry operation not understood: {triplet}")
    return [int(r) for r in row], shift % 1


def _value(digits: str | None, denominator: str | None) -> Fraction:
    if not digits:
        return Fraction(1)
    value = Fraction(digits) / (int(denominator) if denominator else 1)
    usual = Fraction(round(value * 24), 24)
    if "." in digits and abs(value - usual) < DECIMAL_TOLERANCE:
        return usual
    return value


def _integers(
    parsed: list[tuple[list[list[int]], list[Fraction]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    period = lcm(24, *(t.denominator for _, shift in parsed for t in shift))
    if period > MAX_DENOMINATOR:
        raise Refused(
            "the symmetry operations listed are not a group: their translations have no common denominator"
        )
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
) -> NDArray[np.int64]:
    codes = _codes(rotations, translations, period)
    order = np.argsort(codes)
    table = np.empty((len(codes), len(codes)), np.int64)
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


def _type(
    rotations: NDArray[np.int64], translations: NDArray[np.int64], period: int
) -> tuple[int | None, str | None]:
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
