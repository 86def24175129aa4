"""Two rows of one method on one structure: are they the same numbers?

Nothing but the order of sums may differ: a batch has other neighbours, a machine other vector units. Measured with the
shipped model: 3e-15 in float64, 5e-13 behind a relaxation; in float32 2e-4 eV/Å behind a relaxation, which amplifies
what a step begins with. The tolerances are above that and below what matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Allowed difference of two numbers (eV, eV/Å, …), or of a hundredth of them where they are above 100; by dtype.
TOLERANCE = {"float32": 1e-3}
EXACT = 1e-8


def tolerance_of(dtype: str | None) -> float:
    """The tolerance of a method; one that names no dtype computes in float64."""
    return TOLERANCE.get(dtype or "", EXACT)


def distances(stored: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, float]:
    """For each numeric column how far the new value is from the stored one, measured as the tolerances are.

    Infinite where one is missing or of another shape. A relaxed structure that was known already has its per-atom
    values in the order of the known one: they are compared by their lengths, in falling order.
    """
    relaxed = stored.get("relaxed") is not None
    found = {}
    for name, value in stored.items():
        one, other = _numbers(value), _numbers(again.get(name))
        if one is None and (other is None or value is not None):
            continue
        if relaxed and one is not None and other is not None and one.ndim == 2:
            one, other = _lengths(one), _lengths(other)
        found[name] = _distance(one, other)
    return found


def _numbers(value: Any) -> Any:
    """A value as an array, shape as it has; None for what is no number."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        return None
    return array.astype(float) if array.dtype.kind in "biuf" else None


def _lengths(vectors: Any) -> Any:
    return np.sort(np.linalg.norm(vectors, axis=-1))[::-1] if vectors.ndim == 2 else vectors


def _distance(one: Any, other: Any) -> float:
    if one is None or other is None or one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    apart = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))
    scaled = apart / np.maximum(1.0, np.abs(one) / 100)
    return float("inf") if np.isnan(scaled).any() else float(scaled.max())
