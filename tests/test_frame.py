"""Frames: several tables in one block of bytes."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mlmat import arrow_frames

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
columns = st.sampled_from([
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.string(), st.text(st.characters(exclude_categories=["Cs"]))),
    (pa.bool_(), st.booleans()),
    (pa.list_(pa.list_(pa.float64())), st.lists(st.lists(st.floats(allow_nan=False), max_size=3), max_size=3)),
])  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 5))
    made = {}
    for name in draw(st.lists(names, max_size=4, unique=True)):
        kind, values = draw(columns)
        made[name] = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
    return pa.table(made).replace_schema_metadata({"unit": "eV"} if draw(st.booleans()) else None)


@given(st.dictionaries(names, tables(), max_size=4), st.dictionaries(st.sampled_from("abc"), names | st.integers()))
def test_a_frame_gives_back_its_tables(content: dict[str, pa.Table], meta: dict[str, object]) -> None:
    packed = arrow_frames.pack(content, **meta)
    assert arrow_frames.meta_of(packed) == meta
    found = arrow_frames.unpack(packed)
    assert list(found) == list(content)
    for name, table in content.items():
        assert found[name].equals(table, check_metadata=True)
