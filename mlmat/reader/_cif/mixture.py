"""Sites that name all their species at once, such as `0.75Si + 0.25Al`."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from mlmat.reader._cif.items import given, number, plain

#: Longest mixture that is looked at, in characters.
MAX_LENGTH = 200
_PART = r"\s*(\d*\.?\d+(?:\(\d+\))?)\s*([A-Z][a-z]?)\s*"
_MIXTURE = re.compile(rf"{_PART}(?:\+{_PART})*$")
_ONE_PART = re.compile(_PART)


def unmixed(rows: list[int], symbols: list[str] | None) -> tuple[list[int], list[str | None], NDArray[np.float64]]:
    """Rows, type symbols and shares of the site: a row for each species of a mixed site."""
    if symbols is None:
        return rows, [None] * len(rows), np.ones(len(rows))
    unique = {s: plain(s) if given(s) else None for s in set(symbols)}
    kinds = [unique[s] for s in symbols]
    if not any(kind and kind[0] in ".0123456789" for kind in unique.values()):
        return rows, kinds, np.ones(len(rows))
    split = [(row, *part) for row, kind in zip(rows, kinds, strict=True) for part in _parts(kind)]
    return [s[0] for s in split], [s[1] for s in split], np.array([s[2] for s in split])


def _parts(kind: str | None) -> list[tuple[str | None, float]]:
    if kind is None or len(kind) > MAX_LENGTH or not _MIXTURE.match(kind) or ("+" not in kind and "." not in kind):
        return [(kind, 1.0)]
    return [(symbol, number(share)) for share, symbol in _ONE_PART.findall(kind)]
