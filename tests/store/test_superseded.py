"""Results that an older version computed wrongly: marked by the migration, and where they come after it."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pytest
from hand_made import method, packed, result

import mlmat
from mlmat import arrow_frames
from mlmat.cli._text import show_lines
from mlmat.project import Project
from mlmat.store.schema.superseded import WHY

SLABS = Path(__file__).parents[1] / "old_stores" / "slabs.duckdb.gz"
MARKED = "SELECT result_id::VARCHAR AS r FROM result WHERE superseded IS NOT NULL ORDER BY ALL"
PARTLY = "list_sum(dimension_types::INTEGER[]) IN (1, 2)"


def unpacked(folder: Path) -> Path:
    path = folder / "slabs.duckdb"
    path.write_bytes(gzip.decompress(SLABS.read_bytes()))
    return path


def by_hand(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as con:
        for statement in statements:
            con.execute(statement)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return mlmat.open(unpacked(tmp_path_factory.mktemp("slabs")))


def marked(store: Project) -> list[str]:
    return [str(one) for one in store.sql(MARKED)["r"]]


def test_results_of_partly_periodic_structures_alone_are_marked(old: Project) -> None:
    """Of 28 results 15: the right ones among them, too, and what failed as a singular matrix or took too long."""
    query = f"""
        SELECT {PARTLY} AS partly, status, count(*) AS n, count(superseded) AS marked
        FROM result JOIN structure USING (structure_id) GROUP BY ALL ORDER BY ALL
    """
    found = old.sql(query).set_index(["partly", "status"])
    assert (found.loc[True, "marked"] == found.loc[True, "n"]).all()
    assert (found.loc[False, "marked"] == 0).all()
    assert found.loc[(True, "failed"), "n"] > 0
    assert len(marked(old)) == 15
    assert old.sql("SELECT DISTINCT superseded AS s FROM result WHERE superseded IS NOT NULL")["s"].tolist() == [WHY]


def test_what_a_driver_of_the_older_version_left_is_marked_when_it_comes(old: Project, tmp_path: Path) -> None:
    path = unpacked(tmp_path)
    with duckdb.connect(str(path)) as con:
        ids = "result_id::VARCHAR AS result_id, run_id::VARCHAR AS run_id, source_id::VARCHAR AS source_id"
        table = con.sql(f"SELECT * REPLACE ({ids}) FROM result").to_arrow_table()
        con.execute("DELETE FROM result")
        con.execute("DELETE FROM repeated")
    store = mlmat.open(path)
    assert marked(store) == []
    journal = store.journal("old")
    journal.append(arrow_frames.pack({"result": table}))
    assert store.merge(journal) == table.num_rows
    assert marked(store) == marked(old)
    assert store.sql("FROM repeated ORDER BY ALL").equals(old.sql("FROM repeated ORDER BY ALL"))


def test_what_this_version_computes_of_them_counts(tmp_path: Path) -> None:
    store = mlmat.open(unpacked(tmp_path))
    before = len(marked(store))
    (wire,) = store.sql(f"SELECT structure_id AS s FROM structure WHERE {PARTLY} LIMIT 1")["s"]
    mace = str(store.sql("SELECT method_id AS m FROM method WHERE runner = 'mace' LIMIT 1")["m"][0])
    run = method(store, mace, "mace")
    journal = store.journal("new")
    journal.append(packed([result(wire, mace, energy=-4.0, run_id=run)]))
    store.merge(journal)
    assert len(marked(store)) == before
    current = store.sql(f"SELECT energy FROM current_result WHERE structure_id = '{wire}' AND method_id = '{mace}'")
    assert current["energy"].tolist() == [-4.0]


def test_a_runner_derived_from_ours_is_known_by_its_columns(tmp_path: Path) -> None:
    path = unpacked(tmp_path)
    by_hand(
        path,
        "DROP VIEW mace",
        "DROP VIEW chgnet",
        "UPDATE method SET runner = 'mine' WHERE runner = 'mace'",
        "ALTER TABLE result_mace RENAME TO result_mine",
        # Another one, whose numbers somebody else answers for.
        "UPDATE method SET runner = 'lab' WHERE runner = 'chgnet'",
        "ALTER TABLE result_chgnet RENAME TO result_lab",
        "COMMENT ON COLUMN result_lab.stress IS 'eV/Å³'",
    )
    store = mlmat.open(path)
    query = (
        "SELECT runner, count(*) AS n FROM result JOIN method USING (method_id) WHERE superseded IS NOT NULL GROUP BY 1"
    )
    assert dict(store.sql(query).to_numpy().tolist()) == {"mine": 13}


def test_every_face_of_the_store_leaves_them_out_and_show_says_why(old: Project) -> None:
    wire = str(old.sql("SELECT structure_id AS s FROM source WHERE path LIKE '%/wire_y.extxyz'")["s"][0])
    said = "\n".join(show_lines(old.show(wire)))
    assert "(superseded) by mace" in said
    assert f"counts no more: {WHY}" in said
    assert old.sql(f"SELECT DISTINCT superseded AS s FROM provenance WHERE structure_id = '{wire}'")["s"].tolist() == [
        WHY
    ]
    for view in ("mace", "energies", "ranking", "failures"):
        assert wire not in set(old.reduce(view)["structure_id"]), view
    rows = [(sum(row.pbc), "energy" in row) for row in old.asedb().select()]
    assert {known for periods, known in rows if periods in (1, 2)} == {False}
    assert {known for periods, known in rows if periods in (0, 3)} == {True}
    status = {row["method"]: row["pending"] for row in old.status()["methods"]}
    assert status["mace/mace-64x0e-chgnet float64 relax=none"] == 11


@pytest.mark.slow
def test_computed_again_a_wire_has_one_energy_along_all_axes(tmp_path: Path) -> None:
    store = mlmat.open(unpacked(tmp_path))
    summary = store.screen("mace", config="threads")
    assert (summary.done, summary.failed) == (11, 0)
    query = f"""
        SELECT parse_filename(path) AS file, energy FROM mace JOIN source USING (structure_id)
        JOIN structure USING (structure_id) WHERE {PARTLY}
    """
    energies = dict(store.sql(query).to_numpy().tolist())
    assert len(energies) == 11
    for name in ("wire_y", "wire_z", "wire_tilted"):
        if f"{name}.extxyz" in energies:
            assert energies[f"{name}.extxyz"] == pytest.approx(-4.00966, abs=5e-6)
    assert store.screen("mace", config="threads").done == 0
    assert [check for check in store.violations() if check[1]] == []
