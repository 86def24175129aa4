"""Rows: whatever `run` returns becomes typed columns without loss, or one clear line."""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum

import numpy as np
import pyarrow as pa
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlmat.errors import UsageError
from mlmat.methods.columns import arrow_types, declaration, values_table
from mlmat.worker.rows import BadRow, _fitting, checked, flat, plain


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Tensor:
    """What torch's tensors look like from outside; importing torch for this would take seconds."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.ndim = self.values.ndim

    def detach(self):
        return self

    def item(self):
        return self.values.item()

    def tolist(self):
        return self.values.tolist()


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.datetimes(),
    st.datetimes(timezones=st.just(UTC)), st.sampled_from([Colour.RED, Level.HIGH]),
    hnp.arrays(st.sampled_from(["f2", "f4", "f8", "g", "i1", "i8", "u8", "?", "U3", "M8[ns]", "M8[D]"]),
               hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2)),
)  # fmt: skip
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
names = st.text(min_size=1, max_size=8) | st.sampled_from(["energy", "Energy", "status", "result_id", "x"])
nested = st.recursive(
    st.dictionaries(names, values, max_size=4), lambda inner: st.dictionaries(names, inner | values, max_size=3)
)
garbage = st.one_of(
    st.none(), st.binary(), st.sets(st.integers()), st.complex_numbers(), st.just(object()),
    st.dictionaries(st.integers(), st.integers(), min_size=1)
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(nested | st.dictionaries(names, garbage | values, max_size=3) | garbage, max_size=6))
def test_any_rows_become_a_table_or_bad_rows(rows):
    good, lines = [], []
    for row in rows:
        try:
            good.append(checked(row, {}))
        except BadRow as error:
            lines.append(str(error))
    assert not any("\n" in line for line in lines)
    table = values_table([str(i) for i in range(len(good))], good, {})
    assert table.num_rows == len(good)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    lower = [name.lower() for name in table.column_names]
    assert len(set(lower)) == len(lower)


@settings(deadline=None)
@given(st.lists(values.filter(lambda v: not isinstance(v, np.ndarray)), min_size=1, max_size=6))
def test_nothing_is_lost_in_a_column_of_anything(found):
    try:
        rows = [{"x": plain(value, "x")} for value in found]
    except BadRow:
        return
    kept = values_table([str(i) for i in range(len(rows))], rows, {}).to_pydict().get("x", [None] * len(rows))
    for row, back in zip(rows, kept, strict=True):
        value = row["x"]
        assert same(value, back) or back == str(value), (value, back)


def same(value, back) -> bool:
    if isinstance(value, list):
        return isinstance(back, list) and len(value) == len(back) and all(map(same, value, back))
    if isinstance(value, float) and math.isnan(value):
        return isinstance(back, float) and math.isnan(back)
    return value == back and isinstance(value, bool) == isinstance(back, bool)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.float32(0.5), 0.5), (np.float64(0.1), 0.1), (np.float16(0.5), 0.5), (np.longdouble(0.5), 0.5),
        (np.int8(-3), -3), (np.uint64(2**64 - 1), 2**64 - 1), (np.bool_(True), True), (np.str_("a"), "a"),
        (np.array(3.0), 3.0), (np.array([[1, 2]]), [[1, 2]]), (np.array([0.5], "g"), [0.5]),
        (np.array(["a", None], object), ["a", None]), (np.ma.array([1.0, 2.0], mask=[0, 1]), [1.0, None]),
        (np.datetime64("2026-01-02T03:04:05", "ns"), datetime(2026, 1, 2, 3, 4, 5)),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 2, 1)),
        ((1, (2,)), [1, [2]]), (Tensor(0.5), 0.5), (Tensor([1, 2]), [1, 2]), ("a\udc80", "a\\udc80"), (2**80, 2**80),
    ],
)  # fmt: skip
def test_plain_values(value, wanted):
    found = plain(value, "x")
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"bytes", "a bytes cannot be stored"), ({1, 2}, "a set"), (object(), "a object"), (1j, "a complex"),
        (np.complex128(1j), "complex128"), (np.clongdouble(1j), "complex"), ([{"a": 1}], "a dict"),
        (np.timedelta64(1, "ns"), "timedelta64"), (np.zeros(1, [("a", "f8")]), "cannot be stored"),
        ([bulk("Cu")], "a list of structures"), (lambda: 1, "a function"), (float, "a type"),
    ],
)  # fmt: skip
def test_values_that_no_column_holds(value, says):
    with pytest.raises(BadRow, match=rf"^column x: .*{says}"):
        plain(value, "x")


def test_mappings_are_flattened():
    row = {"a": {"b": {"c": 1}, "d": OrderedDict(e=2)}, "f": np.float64(3), "empty": {}}
    assert flat(row) == {"a_b_c": 1, "a_d_e": 2, "f": 3.0}
    assert flat(1.5) == {"value": 1.5}
    assert flat(np.array([1.0, 2.0])) == {"value": [1.0, 2.0]}


@pytest.mark.parametrize("row", [None, [], [1], (1, 2), {1}, frozenset()])
def test_what_is_no_row(row):
    with pytest.raises(BadRow, match="run must return a mapping of column to value"):
        flat(row)


@pytest.mark.parametrize(
    "row",
    [{"Gap": 1, "gap": 2}, {"a": {"b": 1}, "a_b": 2}, {"status": 1, "STATUS_": 2}, {"a": 1, " a": 2}],
)
def test_two_values_for_one_column(row):
    with pytest.raises(BadRow, match="two values for one column"):
        flat(row)


@pytest.mark.parametrize("name", [1, None, "", "  ", "a\0b", "a\nb", ("a",), "\udc80"])
def test_names_that_no_column_can_have(name):
    with pytest.raises(BadRow, match="column names must be printable text"):
        flat({name: 1})


def test_names_of_the_store_are_stepped_aside():
    assert flat({"status": "x", "Result_ID": 1}) == {"status_": "x", "Result_ID_": 1}
    assert checked({"Energy": 1, "FORCES": [[0, 0, 0]]}, {"forces": "DOUBLE[3][] -- eV/Å"}) == {
        "energy": 1.0,
        "forces": [[0, 0, 0]],
    }


@pytest.mark.parametrize(
    "energy", [math.nan, math.inf, -math.inf, "1.0", True, [1.0], 10**400, np.float64("nan"), np.array([1.0])]
)
def test_an_energy_that_is_none(energy):
    with pytest.raises(BadRow, match=r"^column energy: "):
        checked({"energy": energy}, {})


def test_energy_is_a_float_and_may_be_missing():
    assert checked({"energy": np.int32(-3)}, {}) == {"energy": -3.0}
    assert checked({"energy": None, "converged": np.bool_(True)}, {}) == {"energy": None, "converged": True}
    with pytest.raises(BadRow, match=r"^column converged: "):
        checked({"converged": 1}, {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DOUBLE", "1.0"), ("DOUBLE", math.nan), ("DOUBLE", True), ("DOUBLE", [1.0]), ("DOUBLE[]", 1.0),
        ("DOUBLE[3]", [1.0, 2.0]), ("DOUBLE[3][]", [[1.0, 2.0]]), ("DOUBLE[3][]", [[0.0, 0.0, math.inf]]),
        ("INTEGER", 3.5), ("INTEGER", 2**31), ("INTEGER", True), ("INTEGER", "3"), ("BIGINT[]", [1, 2.5]),
        ("BIGINT", 2**63), ("BOOLEAN", 1), ("BOOLEAN", "yes"), ("VARCHAR", 3), ("VARCHAR[]", ["a", 1]),
        ("TIMESTAMP", 1), ("TIMESTAMP", "2026-01-01"), ("STRUCTURE", "Cu"), ("STRUCTURE", 1), ("DOUBLE", bulk("Cu")),
    ],
)  # fmt: skip
def test_a_declared_column_takes_nothing_else(kind, value):
    with pytest.raises(BadRow, match=r"^column x: "):
        checked({"x": value}, {"x": f"{kind} -- unit"})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DOUBLE", 3), ("DOUBLE", np.float32(0.5)), ("FLOAT", 0.5), ("INTEGER", 3.0), ("BIGINT", np.int64(7)),
        ("DOUBLE[3][]", np.zeros((0, 3))), ("DOUBLE[3][]", np.ones((2, 3))), ("DOUBLE[]", [1.0, None]),
        ("double[]", []),
        ("BOOLEAN", False), ("VARCHAR", ""), ("TIMESTAMP", datetime(2026, 1, 1)), ("STRUCTURE", bulk("Cu")),
        ("DOUBLE", None), ("VARCHAR[]", ["a"]),
    ],
)  # fmt: skip
def test_a_declared_column_takes_its_kind(kind, value):
    declared = {"x": f"{kind} -- unit"}
    row = checked({"x": value}, declared)
    if kind != "STRUCTURE":
        table = values_table(["1"], [row], declared)
        assert table.schema.field("x").type == arrow_types(declared)["x"]


KINDS = ["DOUBLE", "DOUBLE[]", "DOUBLE[3]", "DOUBLE[3][]", "FLOAT", "INTEGER", "BIGINT[]", "BOOLEAN", "VARCHAR[]"]
triples = st.lists(st.lists(st.floats(), min_size=3, max_size=3), max_size=3)


@settings(deadline=None)
@given(st.sampled_from([*KINDS, "VARCHAR", "TIMESTAMP", "STRUCTURE"]), values | st.floats() | triples)
def test_what_certainly_fits_fits(kind, value):
    column = declaration((("x", kind),)).columns["x"]
    try:
        found = plain(value, "x")
    except BadRow:
        return
    if found is not None and column.certainly_holds(found):
        assert _fitting("x", found, column.kind) == found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DOUBLE -- eV", 0.5), ("double[3][]", np.ones((4, 3))), ("DOUBLE[6]", [0.0] * 6), ("DOUBLE[]", np.ones(2)),
        ("DOUBLE[2][][3]", np.ones((3, 1, 2))), ("BOOLEAN", True), ("VARCHAR", "text"), ("VARCHAR[]", ["a", "b"]),
    ],
)  # fmt: skip
def test_what_runners_return_is_taken_without_a_closer_look(kind, value):
    assert declaration((("x", kind),)).columns["x"].certainly_holds(plain(value, "x"))


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"x": "REAL -- eV"}, "unknown type 'REAL'"), ({"x": ""}, "unknown type"), ({"x": "DOUBLE[3"}, "unknown type"),
        ({"x": "STRUCTURE[]"}, "unknown type"), ({"status": "VARCHAR"}, "the store has a column of this name"),
        ({"x": "DOUBLE", "X": "DOUBLE"}, "declared twice"),
    ],
)  # fmt: skip
def test_declarations_that_cannot_be(declared, says):
    with pytest.raises(UsageError, match=says):
        arrow_types(declared)


def columns(*found, declared=None):
    table = values_table([str(i) for i in range(len(found))], [{"x": v} for v in found], declared or {})
    return table.schema.field("x").type, table["x"].to_pylist()


def test_kinds_that_mix_become_text():
    assert columns(1, 2.5) == (pa.float64(), [1.0, 2.5])
    assert columns(1, "a") == (pa.string(), ["1", "a"])
    assert columns(True, 1) == (pa.string(), ["True", "1"])
    assert columns([1.5, True], [1.0])[0] == pa.string()
    assert columns([1], 2, None) == (pa.string(), ["[1]", "2", None])
    assert columns(datetime(2026, 1, 1), 5)[0] == pa.string()
    assert columns(2**70, 1) == (pa.string(), [str(2**70), "1"])
    assert columns(2**53 + 1, 0.5) == (pa.string(), [str(2**53 + 1), "0.5"])


def test_columns_have_types_that_a_database_has():
    assert columns([], None) == (pa.list_(pa.float64()), [[], None])
    assert columns([[]], [])[0] == pa.list_(pa.list_(pa.float64()))
    assert columns([1], []) == (pa.list_(pa.int64()), [[1], []])
    assert "x" not in values_table(["0"], [{"x": None}], {}).column_names
    assert columns(None, declared={"x": "DOUBLE"}) == (pa.float64(), [None])


def test_names_that_differ_in_case_only_are_one_column():
    table = values_table(["0", "1"], [{"Gap": 1.0}, {"gap": 2.0}], {})
    assert table["Gap"].to_pylist() == [1.0, 2.0]
    assert table.column_names == ["result_id", "Gap"]
