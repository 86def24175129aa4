"""Stores that earlier versions wrote: `fixtures/store-NNNN.duckdb.gz`, one for each schema version that there was."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from subprocess import CalledProcessError

import pytest

import mlmat
from mlmat.errors import StoreError
from mlmat.imports import import_results
from mlmat.ingest import ingest
from mlmat.store.access.connection import Database
from mlmat.store.mend import copies
from mlmat.store.schema import migrations

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("store-*.duckdb.gz"))


def unpacked(fixture: Path, folder: Path) -> Path:
    path = folder / fixture.stem
    path.write_bytes(gzip.decompress(fixture.read_bytes()))
    return path


def test_there_is_a_store_of_every_earlier_version() -> None:
    assert [int(fixture.name[6:10]) for fixture in FIXTURES] == list(range(1, migrations.newest()))


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_an_old_store_opens_with_all_that_is_in_it(fixture: Path, tmp_path: Path) -> None:
    path = unpacked(fixture, tmp_path)
    store = mlmat.open(path)
    ranking = store.reduce("ranking")
    assert sorted(ranking[ranking["method"] == "emt"]["formula"]) == ["Al", "AlN"]
    assert store.sql("SELECT 1 FROM structure WHERE NOT formula_is(formula, chemical_formula_reduced)").empty
    assert not store.sql("SELECT formula FROM structure UNION ALL SELECT formula FROM entry")["formula"].isna().any()
    outcomes = store.sql("SELECT DISTINCT outcome FROM source WHERE outcome <> 'duplicate' ORDER BY ALL")["outcome"]
    assert outcomes.tolist() == ["stored", "unreadable"]
    assert [check for check in store.violations() if check[1]] == []
    assert store.sql("SELECT max(version) AS v FROM mlmat_schema")["v"][0] == migrations.newest()
    assert store.screen("mlmat.example_runner", config="threads").done == 0
    (tmp_path / "new.cif").write_text((Path(__file__).parents[2] / "examples/crystals/MgO.cif").read_text())
    assert ingest(store, [tmp_path / "new.cif"]).outcomes == {"stored": 1}


def test_results_of_every_kind_outlive_their_migration(tmp_path: Path) -> None:
    """Store 2 has two runners, a failure, a relaxed structure and two results that came with a file."""
    store = mlmat.open(unpacked(FIXTURES[1], tmp_path))
    phase = store.sql(
        "SELECT method, external_id, formula, energy, nsites FROM phase ORDER BY method, external_id, energy"
    )
    assert phase[phase.method == "imported/dft.extxyz"][["external_id", "energy"]].values.tolist() == [
        ["0", -29.5], ["1", -29.25]
    ]  # fmt: skip
    assert phase[phase.method == "quick"][["formula", "energy", "nsites"]].values.tolist() == [["Al", -16.0, 4.0]]
    assert len(phase[phase.method == "emt"]) == 2
    assert store.reduce("failures")["error_message"].tolist() == ["no nitrides"]
    assert store.sql("SELECT DISTINCT correction FROM result")["correction"].isna().all()
    (tmp_path / "e.csv").write_text("id,formula,energy\na,Al4,-15\n")
    assert import_results(store, tmp_path / "e.csv", "PBE").outcomes == {"imported": 1}
    assert len(store.reduce("phase")) == 6


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)
def test_a_migration_keeps_a_copy_that_opens(fixture: Path, tmp_path: Path) -> None:
    path = unpacked(fixture, tmp_path)
    before = path.read_bytes()
    mlmat.open(path)
    copy = tmp_path / f"{path.name}.schema-{int(fixture.name[6:10])}"
    assert copy.read_bytes() == before
    assert mlmat.open(copy).sql("SELECT count(*) AS n FROM source")["n"][0] >= 3


def test_without_room_for_a_copy_nothing_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = unpacked(FIXTURES[0], tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise CalledProcessError(1, "cp", stderr="cp: no room")

    with monkeypatch.context() as patch:
        patch.setattr(copies, "_copy", full)
        with pytest.raises(StoreError, match="no copy of it could be made first"):
            mlmat.open(path)
    assert path.read_bytes() == before
    assert mlmat.open(path).sql("SELECT count(*) AS n FROM structure")["n"][0] == 2


def test_nobody_gets_the_store_while_the_copy_is_made(tmp_path: Path) -> None:
    path = unpacked(FIXTURES[0], tmp_path)
    code = "import duckdb, sys; duckdb.connect(sys.argv[1], read_only=True)"
    with Database(path).write():
        migrations._keep(path, 1)
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "Could not set lock" in other.stderr


def test_a_copy_of_another_state_is_never_overwritten(tmp_path: Path) -> None:
    path = unpacked(FIXTURES[0], tmp_path)
    earlier = tmp_path / f"{path.name}.schema-1"
    earlier.write_bytes(b"precious")
    before = path.read_bytes()
    mlmat.open(path)
    assert earlier.read_bytes() == b"precious"
    assert (tmp_path / f"{path.name}.schema-1-2").read_bytes() == before
