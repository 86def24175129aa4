"""From frames to tables: each result once, typed columns that lose nothing."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hand_made import crystal, merge, method, packed, record, result, stored

from mlmat import arrow_frames
from mlmat.materials.structure import structure_id
from mlmat.store import Store
from mlmat.store.tables.columns import runner_name, widened


@pytest.fixture(scope="module")
def begun(empty_store_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with method m and one structure, to be copied."""
    begun = Store(shutil.copy(empty_store_file, tmp_path_factory.mktemp("begun") / "b.duckdb"))
    method(begun, "m")
    stored(begun, crystal())
    return begun


@pytest.fixture
def one(store: Store, begun: Store) -> str:
    """The id of the structure in `store`."""
    shutil.copy(begun.path, store.path)
    return structure_id(crystal())


def values(store: Store, runner: str = "toy") -> list[dict[str, Any]]:
    """The rows of a runner's table, oldest first."""
    return store.arrow(f"SELECT * EXCLUDE (result_id) FROM result_{runner} ORDER BY result_id").to_pylist()


def types(store: Store, relation: str = "result_toy") -> dict[str, str]:
    found = store.sql(f"DESCRIBE {relation}")
    return dict(zip(found["column_name"], found["column_type"], strict=True))


def test_the_same_frame_again_changes_nothing(store: Store, one: str) -> None:
    parent = result(one)
    twice = packed([parent], [{"x": 1.0}], produced=[(parent, crystal(a=3.7))])
    assert merge(store, twice, twice) == 1
    assert merge(store, twice) == 0
    assert merge(store, packed([result(one)], [{"x": "text"}]), twice) == 1
    counts = [len(store.sql(f"FROM {table}")) for table in ("result", "result_toy", "produced", "structure")]
    assert counts == [2, 2, 1, 2]


def test_the_order_of_frames_does_not_matter(store: Store, one: str) -> None:
    first, second = result(one, energy=-1.0), result(one, energy=-2.0)
    merge(store, packed([second], [{"x": 2}]), packed([first], [{"x": 1}]))
    assert store.reduce("toy")["x"].tolist() == [2]
    assert store.sql("FROM current_result")["energy"].tolist() == [-2.0]


def test_frames_without_results_are_harmless(store: Store, one: str) -> None:
    assert merge(store, arrow_frames.pack({})) == 0
    assert merge(store, packed([result(one, status="failed")])) == 1


PAIRS: list[tuple[Any, Any, str, list[Any]]] = [
    (1, 1.5, "DOUBLE", [1.0, 1.5]),
    (1.5, 1, "DOUBLE", [1.5, 1.0]),
    (1, 2**40, "BIGINT", [1, 2**40]),
    (1, "text", "VARCHAR", ["1", "text"]),
    (True, 1, "VARCHAR", ["true", "1"]),
    ("text", [1.0], "VARCHAR", ["text", "[1.0]"]),
    ([1.0, 2.0], [1], "DOUBLE[]", [[1.0, 2.0], [1.0]]),
    ([1], [1.5], "DOUBLE[]", [[1.0], [1.5]]),
    ([], [1.5], "DOUBLE[]", [[], [1.5]]),
    ([[1.0]], [[1], [2]], "DOUBLE[][]", [[[1.0]], [[1.0], [2.0]]]),
    ([1.0], [[2.0]], "VARCHAR[]", [["1.0"], ["[2.0]"]]),
    (None, 3, "BIGINT", [None, 3]),
    (3, None, "BIGINT", [3, None]),
    ("é ' \" 日本", "\N{SNOWMAN}", "VARCHAR", ["é ' \" 日本", "\N{SNOWMAN}"]),
]


@pytest.mark.parametrize("together", [True, False], ids=["one merge", "two merges"])
def test_inferred_columns_widen_without_loss(store: Store, one: str, together: bool) -> None:
    frames = [packed([result(one)], [{f"x{i}": pair[k] for i, pair in enumerate(PAIRS)}]) for k in (0, 1)]
    for some in [frames] if together else [[f] for f in frames]:
        merge(store, *some)
    kinds, kept = types(store), values(store)
    for i, (_, _, kind, expected) in enumerate(PAIRS):
        assert (i, kinds[f"x{i}"]) == (i, kind)
        assert [row[f"x{i}"] for row in kept] == expected


@pytest.mark.parametrize(("first", "second"), [(1, "text"), ([1], 2.5), (True, 3)])
def test_a_column_of_mixed_kinds_alone(store: Store, one: str, first: Any, second: Any) -> None:
    assert merge(store, packed([result(one)], [{"x": first}]), packed([result(one)], [{"x": second}])) == 2
    assert len({str(row["x"]) for row in values(store)}) == 2


def test_declared_types_stand_from_the_first_row(store: Store, one: str) -> None:
    declared = {"x": "DOUBLE -- eV, it's a gap", "forces": "DOUBLE[3][] -- eV/Å", "never": "BIGINT", "ok": "BOOLEAN"}
    record(store, result(one), values=[{"x": 1, "forces": [[1, 2, 3]], "ok": True}], declared=declared)
    found = types(store)
    assert {name: found[name] for name in declared} == {
        "x": "DOUBLE", "forces": "DOUBLE[3][]", "never": "BIGINT", "ok": "BOOLEAN",
    }  # fmt: skip
    assert values(store) == [{"x": 1.0, "forces": [[1.0, 2.0, 3.0]], "ok": True, "never": None}]
    comments = store.sql("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'toy'")
    assert dict(zip(comments["column_name"], comments["comment"], strict=True))["x"] == "eV, it's a gap"


def test_arrays_of_another_fixed_shape_fit(store: Store, one: str) -> None:
    record(store, result(one), values=[{"d": [1.0, 2.0, 3.0]}], declared={"d": "DOUBLE[3]"})
    record(store, result(one), values=[{"d": [1.0]}], declared={"d": "DOUBLE[1] -- e·Å"})
    assert types(store)["d"] == "DOUBLE[]"
    assert [row["d"] for row in values(store)] == [[1.0, 2.0, 3.0], [1.0]]


def test_new_columns_and_new_comments_reach_the_view(store: Store, one: str) -> None:
    def comment(name: str) -> str:
        found = store.sql(f"SELECT comment FROM duckdb_columns() WHERE table_name = 'toy' AND column_name = '{name}'")
        return str(found["comment"][0])

    record(store, result(one), values=[{"x": 1.0}])
    assert "no unit" in comment("x")
    record(store, result(one), values=[{"x": 1.0, "y": "new"}], declared={"x": "DOUBLE -- GPa"})
    assert comment("x") == "GPa"
    assert comment("energy_per_atom") == "Energy per atom in eV"
    assert store.reduce("toy")["y"].tolist() == ["new"]
    record(store, result(one), values=[{"x": 1.0}])
    assert comment("x") == "GPa"


def test_names_that_differ_in_case_only_are_one_column(store: Store, one: str) -> None:
    record(store, result(one), values=[{"Gap": 1.0}])
    record(store, result(one), result(one), values=[{"GAP": 2.0}, {"gap": 3}])
    merge(store, packed([result(one)], [{"New": 4}]), packed([result(one)], [{"NEW": 5}], declared={"new": "DOUBLE"}))
    assert [row["Gap"] for row in values(store)] == [1.0, 2.0, 3.0, None, None]
    assert [row["New"] for row in values(store)] == [None, None, None, 4.0, 5.0]


def test_a_column_of_the_runner_hides_the_one_of_the_view(store: Store, one: str) -> None:
    record(store, result(one), values=[{"Formula": "mine", "select": 1, 'a "b" c': 2, "seconds": 9}])
    found = store.reduce("toy")
    assert found["Formula"].tolist() == ["mine"]
    assert found['a "b" c'].tolist() == [2]
    assert found["seconds"].tolist() == [9]
    assert "formula" not in found.columns


def test_null_only_columns_wait_for_a_value(store: Store, one: str) -> None:
    row = result(one)
    table = pa.table({"result_id": [row["result_id"]], "x": pa.nulls(1)})
    merge(store, arrow_frames.pack({"result": pa.Table.from_pylist([row]), "values:toy": table}))
    assert "x" not in types(store)
    record(store, result(one), values=[{"x": [1.0]}])
    assert types(store)["x"] == "DOUBLE[]"


def test_the_view_has_current_ok_results_only(store: Store) -> None:
    a, b = stored(store, crystal(a=3.5), crystal("Ag", a=4.1, cells=2))
    method(store, "m")
    record(store, result(a, energy=-2.0), values=[{"x": 1}])
    record(store, result(a, energy=-4.0), result(b, energy=-6.0), values=[{"x": 2}, {"x": 3}])
    record(store, result(b, status="failed"))
    found = store.reduce("toy").sort_values("x")
    assert found["x"].tolist() == [2, 3]
    assert found["energy_per_atom"].tolist() == [-4.0, -3.0]
    assert found["formula"].tolist() == ["Cu", "Ag"]


def test_a_frame_that_cannot_be_merged_stops_nobody_and_is_kept(store: Store, one: str) -> None:
    bad = store.journal("bad")
    bad.append(arrow_frames.pack({"result": pa.table({"result_id": ["no uuid"], "status": ["ok"]})}))
    bad.close()
    good = store.journal("good")
    good.append(packed([result(one)]))
    good.close()
    with pytest.warns(UserWarning, match="are kept in"):
        store.execute("SELECT 1")
    assert len(store.sql("FROM result")) == 1
    assert (store.folder / "journal" / f"bad.{store._identity}.refused").stat().st_size > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.execute("SELECT 1")


def test_types_widen_alike_from_both_sides() -> None:
    kinds = ["INTEGER", "BIGINT", "UBIGINT", "DOUBLE", "FLOAT", "VARCHAR", "BOOLEAN", '"NULL"', "DOUBLE[]", "DOUBLE[3]",
             'BIGINT[]', '"NULL"[]', "DOUBLE[3][]", "DOUBLE[][]"]  # fmt: skip
    for a in kinds:
        assert widened(a, a) == a
        for b in kinds:
            assert widened(a, b) == widened(b, a), (a, b)
            assert widened(widened(a, b), b) == widened(a, b)
    assert widened("UBIGINT", "BIGINT") == "HUGEINT"


@pytest.mark.parametrize(
    ("name", "view"), [("mace", "mace"), ("My Runner!", "my_runner"), ("2d", "runner_2d"), ("…", "runner"), ("é", "é")]
)
def test_names_of_runners_as_names_of_views(name: str, view: str) -> None:
    assert runner_name(name) == view


def test_numpy_arrays_come_back_as_they_were(store: Store, one: str) -> None:
    forces = np.random.default_rng(1).normal(size=(4, 3))
    record(store, result(one), values=[{"forces": forces.tolist()}], declared={"forces": "DOUBLE[3][] -- eV/Å"})
    assert np.array_equal(np.stack(store.reduce("toy")["forces"][0]), forces)
