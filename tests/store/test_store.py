"""The object that notebooks hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from hand_made import add, block, by_hand, crystal, method, record, result, salt, stored

import mlmat
from mlmat.errors import QueryError, StoreError, StoreLocked
from mlmat.store import Store
from mlmat.store.tables.columns import empty_like, insert


def others_can_write(store: Store) -> bool:
    """Whether another process gets the file at once, without waiting."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).close()"
    return subprocess.run([sys.executable, "-c", code, store.path], capture_output=True, check=False).returncode == 0


def test_no_call_keeps_the_file(store: Store) -> None:
    ids = stored(store, *(crystal(a=3.5 + i / 1000) for i in range(3)))
    opened = mlmat.open(store.path)
    kept = [
        opened.sql("SELECT * FROM structure"), opened.arrow("SELECT 1 AS a"), opened.reduce("ranking"),
        opened.atoms(ids[0]), opened.show(ids[0]), opened.status(), opened.execute("SELECT 1"),
    ]  # fmt: skip
    iteration = opened.structures()
    next(iteration)
    assert others_can_write(store)
    assert len(list(iteration)) == 2
    with pytest.raises(QueryError):
        opened.sql("SELECT nothing")
    assert others_can_write(store)
    assert len(kept) == 7


def test_an_iteration_goes_on_while_others_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmat.store._reading.CHUNK", 2)
    ids = stored(store, *(crystal(a=3.5 + i / 1000) for i in range(5)))
    iteration = store.structures()
    first = next(iteration)
    add(store, block("/new.cif", salt()))
    assert sorted([first.info["structure_id"], *(a.info["structure_id"] for a in iteration)]) == sorted(ids)


def test_structures_come_in_the_order_in_which_the_store_got_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        i for n in (3, 1, 2) for i in stored(store, *(crystal("Cu", 3.5 + k / 10).repeat((n, 1, 1)) for k in range(3)))
    ]
    for chunk in (2, 20_000):
        monkeypatch.setattr("mlmat.store._reading.CHUNK", chunk)
        assert [atoms.info["structure_id"] for atoms in store.structures()] == ids
        assert [len(atoms) for atoms in store.structures("nsites < 3")] == [1, 1, 1, 2, 2, 2]


def test_text_that_looks_like_a_missing_value_is_text(store: Store) -> None:
    stored(store, bulk("NaN", "rocksalt", a=5.0))
    formula = store.sql("SELECT chemical_formula FROM source UNION ALL SELECT 'NaN'")["chemical_formula"]
    assert formula.tolist() == ["NaN", "NaN"]
    assert not formula.isna().any()
    missing = store.sql("SELECT * FROM (VALUES ('NaN', 1), (NULL, NULL)) AS t(text, number)")
    assert missing["text"].isna().tolist() == [False, True]
    assert missing["number"].isna().tolist() == [False, True]


def test_queries_do_not_see_the_callers_variables(store: Store) -> None:
    frame = pd.DataFrame({"a": [1]})
    with pytest.raises(QueryError, match="frame"):
        store.sql("SELECT * FROM frame")
    assert len(frame) == 1
    assert store.sql("SELECT $a + $b AS n", {"a": 1, "b": 2})["n"].tolist() == [3]


@pytest.mark.parametrize(
    "query", ["", "SELEC 1", "SELECT\n\n nothing\nFROM structure", "SELECT 1/'a'", "DELETE FROM structure",
              "CREATE TABLE t (a INT)", "-- nothing", "SELECT 1; DELETE FROM structure"],
)  # fmt: skip
def test_a_query_that_cannot_be_read_is_one_line(store: Store, query: str) -> None:
    for ask in (store.sql, store.arrow):
        with pytest.raises(QueryError) as error:
            ask(query)
        assert "\n" not in str(error.value)
        assert str(error.value)


def test_execute_writes_or_changes_nothing(store: Store) -> None:
    store.execute("CREATE TABLE note AS SELECT 'a' AS name")
    assert store.execute("UPDATE note SET name = 'x'").iloc[0, 0] == 1
    with pytest.raises(QueryError):
        store.execute("UPDATE note SET name = 'y'; SELECT nothing")
    assert set(store.sql("SELECT name FROM note")["name"]) == {"x"}


def test_atoms_come_back_as_they_were_by_id_or_its_beginning(store: Store) -> None:
    atoms = salt() * (2, 1, 1)
    atoms.rattle(0.05)
    atoms.set_initial_magnetic_moments([1.0, 0, -1, 0])
    (full,) = stored(store, atoms)
    for name in (full, full[:6], full.upper()):
        found = store.atoms(name)
        assert np.array_equal(found.positions, atoms.positions)
        assert found.get_initial_magnetic_moments().tolist() == [1.0, 0, -1, 0]
        assert found.info["structure_id"] == full


@pytest.mark.parametrize(
    ("name", "message"),
    [("ffffffffff", "no structure"), *((name, "not a structure id") for name in ("", "Cu", "'; --"))],
)
def test_unknown_ids(store: Store, name: str, message: str) -> None:
    for ask in (store.atoms, store.show):
        with pytest.raises(StoreError, match=message):
            ask(name)


def test_an_ambiguous_beginning_is_refused(store: Store) -> None:
    (first,) = stored(store, crystal())
    by_hand(store, f"INSERT INTO structure BY NAME SELECT * REPLACE ('{first[:6]}' AS structure_id) FROM structure")
    with pytest.raises(StoreError, match="several structures begin with"):
        store.atoms(first[:4])
    with pytest.raises(StoreError, match="4"):
        store.atoms(first[:3])


def test_reduce_knows_its_names(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no reduction 'structure'; there are: .*ranking"):
        store.reduce("structure")
    with pytest.raises(StoreError, match="no reduction"):
        store.reduce('ranking"; DROP TABLE run; --')


def test_show_tells_the_story_of_a_structure(store: Store) -> None:
    add(store, block("/a.cif", crystal()), block("/b.cif", crystal(), warnings=["odd"]))
    method(store, "m", label="a method")
    name = block("", crystal())["structure_id"]
    record(store, result(name, status="failed"), result(name, energy=-1.0))
    shown = store.show(name[:8])
    assert [row["path"] for row in shown["sources"]] == ["/a.cif", "/b.cif"]
    assert list(shown["sources"][1]["warnings"]) == ["odd"]
    assert [(row["status"], bool(row["is_current"])) for row in shown["results"]] == [("failed", False), ("ok", True)]
    assert shown["results"][0]["traceback"] == "…"


def test_status_counts(store: Store) -> None:
    rows = [block("/a.cif", crystal()), block("/b.cif", crystal()), block("/c.cif", salt()),
            block("/d.cif", None, "rejected", reason="no")]  # fmt: skip
    add(store, *rows)
    method(store, "m", label="a method")
    record(store, result(rows[0]["structure_id"], status="failed"))
    status = store.status()
    assert {row["outcome"]: row["blocks"] for row in status["outcomes"]} == {"stored": 2, "duplicate": 1, "rejected": 1}
    assert status["structures"] == [{"structures": 2, "screenable": 2}]
    (row,) = status["methods"]
    assert (row["method"], row["ok"], row["failed"], row["pending"]) == ("a method", 0, 1, 1)
    assert status["failures"][0]["error_class"] == "ValueError"
    assert status["drivers"] == []


def test_one_driver_for_each_method(store: Store) -> None:
    code = (
        "import sys; from mlmat.store import Store\n"
        "with Store(sys.argv[1]).driver('m', 'process 1 on here'): print('in', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    assert other.stdout.readline() == "in\n"
    with pytest.raises(StoreLocked, match="process 1 on here"), store.driver("m", "me"):
        pass
    with store.driver("n", "me too"):
        assert sorted(store.status()["drivers"]) == ["me too", "process 1 on here"]
    other.kill()
    other.communicate()
    assert store.drivers() == []
    with store.driver("m", "me"):
        assert store.drivers() == ["me"]


def test_the_folder_beside_the_store_has_its_name(tmp_path: Path) -> None:
    assert Store(tmp_path / "a.duckdb").folder == tmp_path / "a.duckdb.d"


def test_more_rows_than_a_row_group_are_there_in_the_transaction_that_writes_them(store: Store) -> None:
    """DuckDB 2.0.0 hides them behind an insert of no rows, of which a CREATE TABLE AS without rows is one."""
    import pyarrow as pa

    with store._writing() as con:
        empty_like(con, "many", "mlmat_schema")
        con.register("new", pa.table({"version": range(150_000), "name": ["x"] * 150_000}))
        insert(con, "many", "new")
        assert len(con.execute("SELECT name FROM many").fetchall()) == 150_000
