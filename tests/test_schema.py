"""The SQL files: migrations, views, comments."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest
from hand_made import by_hand, crystal, method, packed, record, result, stored

from mlmat.errors import StoreTooNew
from mlmat.store import Store, open_store
from mlmat.store.schema import migrations

TABLES = "SELECT table_name, comment FROM duckdb_tables() WHERE NOT internal ORDER BY ALL"
COLUMNS = """
    SELECT table_name, column_index, column_name, data_type, is_nullable, column_default, comment
    FROM duckdb_columns() WHERE NOT internal AND table_name IN (SELECT table_name FROM duckdb_tables()) ORDER BY ALL
"""


def test_tables_sql_is_what_all_migrations_make() -> None:
    migrated, whole = duckdb.connect(), duckdb.connect()
    for _, file in migrations.migrations():
        migrated.execute(file.read_text())
    whole.execute((migrations.folder() / "tables.sql").read_text())
    for query in (TABLES, COLUMNS):
        assert migrated.execute(query).fetchall() == whole.execute(query).fetchall()


def test_migrations_are_numbered_without_gaps_and_say_what_they_do() -> None:
    numbers = [number for number, _ in migrations.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
    for _, file in migrations.migrations():
        assert file.stem[4] == "_"
        assert file.stem[5:].replace("_", "").isalnum()
        assert file.read_text().startswith("--")


def test_every_file_of_views_makes_the_view_of_its_name(store: Store) -> None:
    assert {name for name, _ in store.reductions()} == set(migrations.views())
    for name, meaning in store.reductions():
        assert meaning
        assert len(store.reduce(name)) == 0
    for sql in migrations.views().values():
        assert sql.startswith("--")


def test_every_column_of_every_table_and_view_has_a_comment(store: Store) -> None:
    ids = stored(store, crystal())
    method(store, "m")
    record(store, result(ids[0], energy=-1.0), values=[{"forces": [[0.0, 0.0, 0.0]], "undeclared": 1}],
           declared={"forces": "DOUBLE[3][] -- eV/Å"})  # fmt: skip
    missing = store.sql("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL")
    assert missing.to_dict("records") == []


def test_dimensions_stand_in_the_comments(store: Store) -> None:
    units = {"energy": "eV", "energy_per_atom": "eV", "energy_above_best": "eV", "mean_difference": "eV/atom",
             "mae": "eV/atom", "rmse": "eV/atom", "volume": "Å³", "volume_per_atom": "Å³", "density": "g/cm³",
             "lattice_vectors": "Å", "cartesian_site_positions": "Å", "space_group_symprec": "Å",
             "initial_magnetic_moments": "µB", "initial_charges": " e,", "seconds": " s", "file_size": "bytes",
             "file_mtime_ns": "ns"}  # fmt: skip
    found = store.sql("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
    seen = set()
    for row in found.itertuples():
        if row.column_name in units:
            seen.add(row.column_name)
            assert units[row.column_name] in row.comment, (row.table_name, row.column_name)
    assert seen == set(units)


def test_a_store_of_a_newer_mlmat_is_refused_in_one_line(store: Store) -> None:
    by_hand(store, "INSERT INTO mlmat_schema (version, name) VALUES (9999, 'future')")
    with pytest.raises(StoreTooNew, match="newer mlmat") as error:
        open_store(store.path)
    assert "\n" not in str(error.value)


def test_a_store_with_older_views_is_brought_up_by_the_next_writer(store: Store) -> None:
    ids = stored(store, crystal())
    method(store, "m")
    record(store, result(ids[0], energy=-1.0), values=[{"gap": 1.0}], declared={"gap": "DOUBLE -- eV"})
    by_hand(store, "CREATE OR REPLACE VIEW ranking AS SELECT 1 AS old")
    by_hand(store, "CREATE OR REPLACE VIEW toy AS SELECT 1 AS old")
    by_hand(store, "DROP VIEW failures")
    by_hand(store, "COMMENT ON TABLE mlmat_schema IS 'views of before'")
    before = store.path.stat().st_mtime_ns
    again = open_store(store.path)
    assert again.reduce("ranking")["old"].tolist() == [1]
    assert store.path.stat().st_mtime_ns == before, "readers take the views as they are"
    again.end_run("018f0000-0000-7000-8000-000000000000", "finished")
    assert "energy_per_atom" in again.reduce("ranking").columns
    assert again.reduce("toy")["gap"].tolist() == [1.0]
    assert len(again.reduce("failures")) == 0
    assert again.sql("SELECT count(*) AS n FROM mlmat_schema")["n"].tolist() == [migrations.newest()]


def test_opening_a_store_that_is_up_to_date_writes_nothing(store: Store) -> None:
    before = store.path.stat().st_mtime_ns
    open_store(store.path)
    open_store(store.path, create=True)
    assert store.path.stat().st_mtime_ns == before


def test_a_new_store_can_be_made_where_a_deleted_one_left_its_folder(store: Store, tmp_path: Path) -> None:
    ids = stored(store, crystal())
    method(store, "m")
    journal = store.journal("left")
    journal.append(packed([result(ids[0], energy=-1.0)]))
    journal.close()
    store.path.unlink()
    again = open_store(store.path, create=True)
    assert again.sql("SELECT count(*) AS n FROM source")["n"].tolist() == [0]
    stored(again, crystal())
    assert len(again.sql("FROM result")) == 0, "they belong to another store"
    assert again.status()["of_others"] == [str(journal.path)]


def test_an_interrupted_creation_is_completed(empty_store_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.duckdb"
    duckdb.connect(str(path)).close()
    assert len(open_store(path).reduce("ranking")) == 0
    shutil.copy(empty_store_file, tmp_path / "copy.duckdb")
    assert len(open_store(tmp_path / "copy.duckdb").reduce("ranking")) == 0
