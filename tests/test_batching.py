"""Batches in parts: every structure keeps its own atoms and cell."""

from __future__ import annotations

import pyarrow as pa
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from mlmat import arrow_frames
from mlmat.materials.structure import from_row, structure_id, to_row
from mlmat.screen import _queue
from mlmat.screen._queue import Batch, BatchQueue, longest_first

ROWS = [
    to_row(Atoms("Cu" * (i % 3 + 1), [[0, 0, k] for k in range(i % 3 + 1)], cell=[3 + i, 4, 5], pbc=True))
    for i in range(24)
]


@pytest.fixture(scope="module")
def geometry(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What the store hands out: types as they are there."""
    from mlmat.store import open_store

    store = open_store(tmp_path_factory.mktemp("batches") / "s.duckdb", create=True)
    store.add_sources(None, pa.Table.from_pylist(ROWS))
    return store.geometry([row["structure_id"] for row in ROWS])


def assert_each_is_itself(batch: Batch) -> None:
    rows = arrow_frames.from_ipc(arrow_frames.to_ipc(batch.geometry)).to_pylist()
    assert [row["structure_id"] for row in rows] == batch.ids
    assert [structure_id(from_row(row)) for row in rows] == batch.ids
    assert [row["nsites"] for row in rows] == batch.sites


@given(st.data())
def test_parts_of_parts(geometry: pa.Table, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 20))
    n = data.draw(st.integers(2, len(ROWS) - first))
    table = geometry.slice(first, n)
    batch = Batch(table["structure_id"].to_pylist(), table["nsites"].to_pylist(), table)
    assert_each_is_itself(batch)
    while len(batch.ids) > 1:
        start = data.draw(st.integers(0, len(batch.ids) - 1))
        batch = batch.part(batch.ids[start : data.draw(st.integers(start + 1, len(batch.ids)))])
        assert_each_is_itself(batch)
        some = data.draw(st.lists(st.sampled_from(batch.ids), min_size=1, unique=True))
        assert_each_is_itself(batch.part(some))
        for half in batch.halves() if len(batch.ids) > 1 else ():
            assert_each_is_itself(half)
        if len(batch.ids) > 1:
            batch = batch.halves()[data.draw(st.integers(0, 1))]


@given(st.lists(st.integers(1, 9), max_size=25))
def test_longest_first_within_what_is_read_ahead(sites: list[int]) -> None:
    window, _queue.AHEAD = _queue.AHEAD, 10
    try:
        table = _pending(sites)
        ordered = longest_first(table)
    finally:
        _queue.AHEAD = window
    for at in range(0, len(sites), 10):
        part, given_part = ordered.slice(at, 10), table.slice(at, 10)
        assert part["nsites"].to_pylist() == sorted(sites[at : at + 10], reverse=True)
        assert sorted(part["structure_id"].to_pylist()) == sorted(given_part["structure_id"].to_pylist())
    assert all(sites[int(i)] == n for i, n in zip(*ordered.to_pydict().values(), strict=True))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=24), st.integers(1, 4), st.integers(10, 400))
def test_batches_shrink_towards_the_end_and_hold_everything_once(sites: list[int], workers: int, atoms: int) -> None:
    feed = BatchQueue(_Geometry(), _pending(sites), atoms / 10, workers, 4.0)  # type: ignore[arg-type]
    feed.atoms_per_batch = 1e9
    left, seen = sum(sites), []
    while feed:
        batch = feed.next(quiet=True)
        assert batch is not None
        assert sum(batch.sites) - batch.sites[-1] < max(1.0, atoms / 10, left / (2 * workers))
        left -= sum(batch.sites)
        seen += batch.ids
    assert sorted(seen) == sorted(_pending(sites)["structure_id"].to_pylist())


def _pending(sites: list[int]) -> pa.Table:
    return pa.table({"structure_id": [str(i) for i in range(len(sites))], "nsites": pa.array(sites, pa.int32())})


class _Geometry:
    """The part of a store that a feed reads."""

    def geometry(self, ids: list[str]) -> pa.Table:
        return pa.table({"structure_id": ids})
