"""Batches in parts: every structure keeps its own atoms and cell."""

from __future__ import annotations

import pyarrow as pa
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from mlmat import frame
from mlmat.batching import Batch
from mlmat.structure import from_row, structure_id, to_row

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
    rows = frame.from_ipc(frame.to_ipc(batch.geometry)).to_pylist()
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
