"""Reductions over rows in memory. Those over a store are SQL views, one file each in `schemas/views`.

A reduction is any object with `reduce(rows)`; a store's are run by `Store.reduce(name)` and `mlmat reduce NAME`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


class Frame:
    """The plainest reduction: the rows as they are, in a DataFrame."""

    def reduce(self, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
        """One line per row, one column per key."""
        import pandas as pd

        return pd.DataFrame(list(rows))
