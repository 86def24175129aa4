"""What test_isolation_stream lets processes yield."""

from __future__ import annotations

import time
from collections.abc import Iterator

from isolated_calls import call


def count(items: list[str]) -> Iterator[str]:
    """Each item, or what happens instead."""
    for item in items:
        yield call(item)


def slowly(number: int) -> Iterator[int]:
    """Numbers, each long before the time limit, all together long after it."""
    for i in range(number):
        time.sleep(0.4)
        yield i
