"""The ledger over whole sets of real and hand-made files, through the command."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlmat.cli import main
from mlmat.store import Store, open_store

pytestmark = pytest.mark.shared
ALLOWED = {
    "ok": {"stored", "duplicate"},
    "ok_warn": {"stored", "duplicate"},
    "ok_two": {"stored", "duplicate"},
    "reject": {"rejected", "unreadable"},
    "flag": {"flagged"},
    "disordered": {"disordered"},
    "duplicate": {"duplicate"},
    "duplicate_structure": {"stored", "duplicate"},
    "ok_too_big": {"stored", "rejected"},
}


@pytest.fixture(scope="module")
def made(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("made")
    with tarfile.open(shared / "data" / "made.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    db = folder / "s.duckdb"
    assert CliRunner().invoke(main, ["ingest", str(folder / "made"), "--db", str(db)]).exit_code == 0
    return open_store(db), list(csv.DictReader((shared / "data" / "made_manifest.csv").open()))


def test_hand_made_files_end_as_expected(made: tuple[Store, list[dict[str, str]]]) -> None:
    store, manifest = made
    ledger = store.sql("SELECT parse_filename(path) AS file, outcome, reason FROM source")
    wrong = []
    for row in manifest:
        outcomes = set(ledger.loc[ledger["file"] == row["file"], "outcome"])
        allowed = ALLOWED.get(row["expect"], {"stored", "duplicate", "rejected", "unreadable"})
        if not outcomes or not outcomes <= allowed:
            wrong.append((row["file"], row["expect"], outcomes))
    assert not wrong


def test_every_refusal_has_a_reason_and_every_file_a_row(made: tuple[Store, list[dict[str, str]]]) -> None:
    store, manifest = made
    ledger = store.sql("SELECT parse_filename(path) AS file, outcome, reason FROM source")
    assert set(ledger["file"]) == {row["file"] for row in manifest}
    refused = ledger[ledger["outcome"] != "stored"]
    assert refused["reason"].str.len().min() > 5
    assert not refused["reason"].str.contains(r"[\x00-\x1f]").any()


def test_two_structures_of_one_file_and_the_primitive_cell(made: tuple[Store, list[dict[str, str]]]) -> None:
    store, _ = made
    two = store.sql(
        "SELECT block, structure_id FROM source WHERE path LIKE '%m07_two_structures%' ORDER BY block_index"
    )
    assert two["structure_id"].nunique() == 2
    primitive = store.sql("SELECT outcome FROM source WHERE path LIKE '%m47_same_crystal_primitive%'")
    assert primitive["outcome"].tolist() == ["stored"]


def test_the_large_cell_is_not_screened(made: tuple[Store, list[dict[str, str]]]) -> None:
    store, _ = made
    pending = store.pending("no_method")
    assert max(pending["nsites"].to_pylist()) < 10_000
