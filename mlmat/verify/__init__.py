"""Is what the store says still true? Results are computed again, hashes compared, orphans looked for.

Nothing is changed: each check says how much was looked at, what is wrong, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.verify._check import Check
from mlmat.verify._files import leftovers, sources, structures, tables
from mlmat.verify._recompute import recompute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlmat.store import Store

__all__ = ["Check", "verify"]


def verify(
    store: Store,
    *,
    sample: int | None = 10,
    method: str | None = None,
    tolerance: float | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[Check]:
    """Every check with its outcome, as it is done.

    sample: results of each method that are computed again (0: none, None: all); method: of this one only; tolerance:
    see `mlmat.verify._compare`; say is told what is going on. Raises UsageError for a method that is not there.
    """
    yield from tables(store)
    yield structures(store)
    yield from sources(store)
    yield from leftovers(store)
    yield from recompute(store, sample, store.find_method(method) if method else None, tolerance, say)
