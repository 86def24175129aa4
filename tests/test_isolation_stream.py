"""Generators in processes that may crash or hang."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlmat.processes.isolation import Crashed, isolated_stream


def stream(*items: str, time_limit: float = 20.0) -> list[Any]:
    return list(isolated_stream("isolated_streams:count", list(items), time_limit=time_limit))


def test_items_come_in_order_and_end() -> None:
    assert stream(*"abc" * 500) == list("ABC" * 500)
    assert stream() == []
    assert len(stream("large", "large")[1]) == 5_000_000


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("segfault", "crashed its process (SIGSEGV)"),
        ("exit", "crashed its process (exit code 3)"),
        ("raise", "raised ValueError: two lines"),
        ("eat", "needs more than 6 GB of memory"),
    ],
)
def test_what_goes_wrong_is_the_last_item(item: str, reason: str) -> None:
    found = stream("a", "slow", item, "b")
    assert found[-1] == Crashed(reason)
    assert found[0] == "A"
    assert "B" not in found


def test_the_time_limit_is_for_each_item() -> None:
    found = list(isolated_stream("isolated_streams:slowly", 5, time_limit=2.0))
    assert found == [0, 1, 2, 3, 4]
    assert stream("a", "slow", "spin", time_limit=2.0) == ["A", "SLOW", Crashed("took longer than 2 s")]


def test_a_slow_taker_is_waited_for() -> None:
    found = []
    for item in isolated_stream("isolated_streams:count", ["large"] * 30, time_limit=2.0):
        time.sleep(0.2)
        found.append(item)
    assert len(found) == 30
