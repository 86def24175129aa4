"""How long the rest takes: by the work that is done, not by the number of its pieces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hand_made import crystal, salt, stored
from hypothesis import given
from hypothesis import strategies as st

from mlmat.methods.method import ResolvedMethod
from mlmat.progress import Remaining, bar
from mlmat.screen import screen
from mlmat.store import Store


@given(st.lists(st.integers(1, 1_000), min_size=3, max_size=50), st.floats(0, 100), st.floats(0.01, 10))
def test_large_pieces_first_do_not_make_the_rest_look_long(sizes: list[int], start: float, each: float) -> None:
    total, now, work = sum(sizes), start, Remaining(0.0)
    assert work.seconds(now) is None
    for number, size in enumerate(sorted(sizes, reverse=True)):
        now += size * each
        work.reach(work.done + size / total, now)
        left = (1 - work.done) * total * each
        if number:
            assert work.seconds(now) == pytest.approx(left, rel=1e-6, abs=1e-6 * total * each)
        else:
            assert work.seconds(now) == pytest.approx(left * (1 + start / (size * each)), rel=1e-6, abs=1e-6 * total)


def test_the_bar_counts_structures_and_tells_time_by_their_parts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr("mlmat.progress.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with bar("screen", "structure") as start:
        told = start(100)
        for _ in range(4):
            told(1, 0, part=0.2)
    last = capsys.readouterr().err.split("\r")[-1]
    assert "4/100" in last
    assert last.partition("<")[2][:5] < "01:00", last


def test_the_parts_of_a_screen_make_one(store: Store, tmp_path: Path) -> None:
    stored(store, crystal(), salt() * (2, 2, 2), crystal("Al", 4.0, cells=3))
    runner = tmp_path / "toy.py"
    runner.write_text(
        "from mlmat.runner import WrappedAtomsRunner\n\n\nclass Toy(WrappedAtomsRunner):\n    def run(self, atoms):\n"
        "        assert len(atoms) != 3\n        return {'energy': 1.0}\n"
    )
    told: list[Any] = []
    plan = ResolvedMethod(str(runner), {}, store.table_name)
    screen(store, plan, config="threads", progress=lambda total: lambda *a, part=0.0: told.append((total, *a, part)))
    assert {total for total, *_ in told} == {3}
    assert sum(done for _, done, _, _ in told) == 3
    assert max(failed for _, _, failed, _ in told) == 1
    assert sum(part for *_, part in told) == pytest.approx(1)
