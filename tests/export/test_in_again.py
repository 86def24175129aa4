"""Export, then `mlmat ingest`: every format that ingest reads gives the same structures and the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from click.testing import CliRunner, Result
from crystals import Made, fill

from mlmat.cli import main
from mlmat.export import ExportSelection, export
from mlmat.store import Store, open_store

#: What carries results comes in with them; a CIF and a table of CIF text give the structure, and the rest as words.
WITH_RESULTS = ("a.db", "a.json", "a.extxyz", "a.jsonl")
WITHOUT = ("cifs", "all.cif")


def mlmat(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def many() -> list[Made]:
    rng = np.random.default_rng(3)
    found = []
    for i, name in enumerate(["Al", "Cu", "Ni", "NaCl"]):
        atoms = bulk(name, "rocksalt" if name == "NaCl" else "fcc", a=3.9 + 0.7 * (name == "NaCl")) * (1, 1, 1 + i % 2)
        atoms.rattle(0.05, seed=i)
        found.append(Made(atoms, -3.25 * (i + 1), rng.normal(size=(len(atoms), 3)), rng.normal(size=6), f"word {i}"))
    return found


@pytest.mark.slow
def test_every_format_comes_in_again(store: Store, tmp_path: Path, many: list[Made]) -> None:
    ids = set(fill(store, many))
    for name in (*WITH_RESULTS, *WITHOUT):
        export(store, str(tmp_path / name))
    db = tmp_path / "again.duckdb"
    done = mlmat("ingest", *[tmp_path / name for name in (*WITH_RESULTS, *WITHOUT)], "--db", db)
    assert done.exit_code == 0, done.output
    again = open_store(db)
    assert set(again.sql("SELECT structure_id FROM structure")["structure_id"]) == ids
    assert set(again.sql("SELECT DISTINCT outcome FROM source")["outcome"]) == {"stored", "duplicate"}
    query = (
        "SELECT method, r.structure_id, r.energy, v.forces, v.stress FROM result AS r JOIN method USING (method_id) "
        "JOIN result_imported AS v USING (result_id)"
    )
    rows = again.arrow(query).to_pylist()
    assert len(rows) == len(WITH_RESULTS) * len(many)
    by_id = {made.id: made for made in many}
    for row in rows:
        made = by_id[row["structure_id"]]
        assert row["energy"] == pytest.approx(made.energy, abs=1e-9)
        np.testing.assert_allclose(row["forces"], made.forces, rtol=0, atol=1e-9)
        np.testing.assert_allclose(row["stress"], made.stress, rtol=0, atol=1e-9)
    words = again.sql("SELECT DISTINCT text FROM key_value WHERE key IN ('note', '_mlmat_note')")["text"]
    assert set(words) == {made.note for made in many}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_tables_come_in_again_by_their_column_of_cif_text(
    store: Store, tmp_path: Path, many: list[Made], name: str
) -> None:
    ids = set(fill(store, many))
    export(store, str(tmp_path / name))
    db = tmp_path / "again.duckdb"
    done = mlmat("ingest", tmp_path / name, "--column", "cif", "--db", db)
    assert done.exit_code == 0, done.output
    again = open_store(db)
    assert set(again.sql("SELECT structure_id FROM source WHERE outcome = 'stored'")["structure_id"]) == ids
    energies = again.sql("SELECT structure_id, number FROM key_value WHERE key = 'energy'")
    assert dict(energies.to_numpy().tolist()) == {made.id: made.energy for made in many}


@pytest.mark.slow
def test_what_a_file_said_goes_out_again_but_not_the_results_of_another_method(
    store: Store, tmp_path: Path, many: list[Made]
) -> None:
    import ase.db

    fill(store, many)
    export(store, str(tmp_path / "a.db"))
    db = tmp_path / "again.duckdb"
    assert mlmat("ingest", tmp_path / "a.db", "--db", db).exit_code == 0
    again = open_store(db)
    export(again, str(tmp_path / "b.db"), ExportSelection(order="energy DESC"))
    rows = list(ase.db.connect(tmp_path / "b.db").select())
    assert [row.energy for row in rows] == [made.energy for made in many]
    assert [row.note for row in rows] == [made.note for made in many]
    assert {row.method for row in rows} == set(again.sql("SELECT method FROM method")["method"])
