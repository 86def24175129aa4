"""Finding the structure that makes a batch fail: what failed together is tried again in halves."""

from __future__ import annotations

from typing import Any


def halves(batch: Any) -> list[Any]:
    """A batch of at least two (a list, an Arrow table, anything with a length and slices) in two parts."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]]
