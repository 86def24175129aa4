"""From paths to rows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_cifs import cif, everything, ledger, make_folder, outcomes, run

from mlmat.errors import ReadError
from mlmat.ingest import find_files
from mlmat.store import Store, open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def test_every_block_of_every_file_has_a_row_with_its_outcome(store: Store, folder: Path) -> None:
    told: list[int] = []
    report = run(store, folder, progress=lambda total: told.append(-total) or told.append)
    found = outcomes(store)
    assert found["a.cif one"] == "stored"
    assert (found["b.cif one"], found["b.cif two"]) == ("stored", "duplicate")
    assert found["e.cif.gz one"] == "stored"
    assert found["half.cif one"] == "disordered"
    assert found["c.cif x"] == "unreadable"
    assert found["d.CIF one"] == "rejected"
    assert dict(report.outcomes) == {"stored": 3, "duplicate": 1, "disordered": 1, "unreadable": 1, "rejected": 1}
    assert (report.files, report.unchanged, report.other) == (6, 0, 1)
    assert told == [-6, *[1] * 6]
    kept = store.sql("SELECT content FROM source WHERE path LIKE '%b.cif' ORDER BY block_index")["content"]
    assert "".join(kept) == (folder / "b.cif").read_text()
    assert store.sql("SELECT outcome FROM run")["outcome"].tolist() == ["finished"]
    for row in ledger(store):
        assert row["reason"] or row["outcome"] == "stored"


def test_again_changes_nothing_and_says_so(store: Store, folder: Path) -> None:
    run(store, folder)
    before = everything(store)
    for options in ({}, {"again": True}):
        report = run(store, folder, **options)
        assert (report.files, report.unchanged, dict(report.outcomes)) == (6, 6, {})
        assert everything(store) == before


def test_a_touched_file_keeps_its_rows(store: Store, folder: Path) -> None:
    run(store, folder)
    before = ledger(store)
    os.utime(folder / "b.cif", ns=(5, 5))
    for _ in range(2):
        report = run(store, folder)
        assert (report.unchanged, dict(report.outcomes)) == (6, {})
    assert ledger(store) == before
    times = store.sql("SELECT DISTINCT file_mtime_ns AS t FROM source WHERE path LIKE '%b.cif'")["t"]
    assert times.tolist() == [5]


def test_a_changed_file_supersedes_its_rows(store: Store, folder: Path) -> None:
    run(store, folder)
    (folder / "b.cif").write_text(cif(4.4, "Ag", "only"))
    report = run(store, folder)
    assert (report.unchanged, dict(report.outcomes)) == (5, {"stored": 1})
    found = store.sql("SELECT block, current FROM source WHERE path LIKE '%b.cif' ORDER BY source_id")
    assert list(found.itertuples(index=False, name=None)) == [("one", False), ("two", False), ("only", True)]
    formulas = store.sql("SELECT chemical_formula_reduced AS f, volume FROM structure")
    assert len(formulas) == 4, "what was computed stays"
    assert store.pending("m").num_rows == 3


def test_a_structure_stays_pending_while_another_file_has_it(store: Store, folder: Path) -> None:
    run(store, folder)
    (folder / "a.cif").write_text(cif(4.5))
    run(store, folder)
    assert store.pending("m").num_rows == 4
    assert outcomes(store)["b.cif two"] == "stored"
    assert len(store.reduce("duplicates")) == 0


def test_other_limits_make_other_outcomes(store: Store, folder: Path) -> None:
    from mlmat.reader import Limits

    run(store, folder / "a.cif", limits=Limits(max_sites=0))
    assert outcomes(store) == {"a.cif one": "rejected"}
    assert run(store, folder / "a.cif").unchanged == 1
    run(store, folder / "a.cif", again=True)
    assert outcomes(store) == {"a.cif one": "stored"}


def test_duplicates_are_found_across_calls(store: Store, folder: Path) -> None:
    run(store, folder / "a.cif")
    report = run(store, folder)
    assert report.unchanged == 1
    found = store.sql("SELECT reason FROM source WHERE outcome = 'duplicate'")["reason"].tolist()
    assert found == [f"same structure as {folder}/a.cif [one]"]


def test_the_same_is_stored_whichever_process_is_first(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for i in range(40):
        # The first of each pair takes its process much longer.
        text = cif(4 + i % 20 / 100) + (" # slow\n" * 20_000 if i < 20 else "")
        (files / f"{i:02}.cif").write_text(text)
    for processes in (1, 3):
        store = open_store(tmp_path / f"{processes}.duckdb", create=True)
        run(store, files, processes=processes)
        assert [row["outcome"] for row in ledger(store)] == ["stored"] * 20 + ["duplicate"] * 20


def test_patterns_names_and_order(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names = [Path(p).name for p in find_files(["[ab].cif", "a.cif", "deep", "notes.txt", "**/*.gz"]).files]
    assert names == ["a.cif", "b.cif", "d.CIF", "e.cif.gz", "half.cif", "notes.txt"]
    (folder / "odd[1].cif").write_text(cif())
    assert [Path(p).name for p in find_files(["odd[1].cif"]).files] == ["odd[1].cif"]
    run(store, "notes.txt")
    assert "the content is none of what is read here" in ledger(store)[0]["reason"]


def test_a_wrong_path_stops_before_anything_is_read(store: Store, folder: Path) -> None:
    for wrong in ("nothing.cif", "*.xyz"):
        with pytest.raises(ReadError, match="no such file or folder"):
            run(store, folder, folder / wrong)
    assert ledger(store) == []
    assert len(store.sql("FROM run")) == 0


def test_no_files_at_all(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = run(store, tmp_path / "empty")
    assert (report.files, report.unchanged, dict(report.outcomes)) == (0, 0, {})


@pytest.mark.shared
@pytest.mark.slow
def test_shared_demo_crystals_are_all_stored(store: Store, shared: Path) -> None:
    report = run(store, shared / "data" / "demo", processes=2)
    assert report.files > 0
    assert set(report.outcomes) <= {"stored", "duplicate"}
