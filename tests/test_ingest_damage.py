"""Files and processes that go wrong in the middle of an ingest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_cifs import cif, everything, kill_an_ingest, ledger, make_folder, outcomes, run, written

import mlmat.ingest
from mlmat.ingest import find_files
from mlmat.provenance import clean
from mlmat.store import Store, open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


def bad_reader(path: str, limits: object) -> object:
    """`mlmat.ingest.read_file`, but for files with these names (see the test below)."""
    from isolated_calls import call

    call(Path(path).stem)
    return mlmat.ingest.read_file(path, limits)  # type: ignore[arg-type]


def test_a_file_that_takes_its_process_along_harms_no_other(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("segfault", "spin", "eat", "raise"):
        (folder / f"{name}.cif").write_text(cif())
    original = mlmat.ingest.isolated_map

    def map_badly(_function: str, *arguments: Any, **options: Any) -> Any:
        return original("test_ingest_damage:bad_reader", *arguments, **options)

    monkeypatch.setattr("mlmat.ingest.isolated_map", map_badly)
    run(store, folder, processes=2, time_limit=2.0)
    rows = {Path(row["path"]).name: row for row in ledger(store)}
    assert rows["segfault.cif"]["reason"] == "reading it crashed its process (SIGSEGV)"
    assert rows["spin.cif"]["reason"] == "reading it took longer than 2 s"
    assert rows["eat.cif"]["reason"] == "reading it needs more than 6 GB of memory"
    assert rows["raise.cif"]["reason"] == "reading it raised ValueError: two lines"
    assert {row["outcome"] for row in ledger(store)} == {"stored", "duplicate", "disordered", "rejected", "unreadable"}
    assert len(ledger(store)) == 11
    assert run(store, folder).unchanged == 10, "nobody waits for them a second time"
    monkeypatch.undo()
    run(store, folder, again=True)
    assert outcomes(store)["spin.cif one"] == "duplicate"


def test_names_that_are_no_utf8(store: Store, tmp_path: Path) -> None:
    files = [os.fsencode(tmp_path) + b"/caf\xe9.cif", os.fsencode(tmp_path) + b"/caf\xe8.cif"]
    for i, name in enumerate(files):
        with open(name, "w") as file:  # noqa: PTH123
            file.write(cif(4.0 + i))
    report = run(store, tmp_path)
    assert dict(report.outcomes) == {"stored": 2}
    assert [Path(row["path"]).name for row in ledger(store)] == [r"caf\xe8.cif", r"caf\xe9.cif"]
    assert run(store, tmp_path).unchanged == 2
    assert clean("ordinary ☃") == "ordinary ☃"


@pytest.mark.timeout(60)
def test_pipes_links_and_loops(store: Store, folder: Path) -> None:
    os.mkfifo(folder / "pipe.cif")
    (folder / "deep" / "loop").symlink_to(folder)
    (folder / "self.cif").symlink_to(folder / "self.cif")
    (folder / "dangling.cif").symlink_to(folder / "nowhere")
    (folder / "link.cif").symlink_to(folder / "a.cif")
    (folder / "empty.cif").touch()
    run(store, folder, folder / "pipe.cif", time_limit=20)
    found = {Path(row["path"]).name: (row["outcome"], row["reason"]) for row in ledger(store)}
    assert found["pipe.cif"] == ("unreadable", "not a regular file")
    assert found["dangling.cif"] == ("unreadable", "No such file or directory")
    assert found["self.cif"][0] == "unreadable"
    assert found["link.cif"][0] == "duplicate"
    assert found["empty.cif"][0] == "unreadable"
    assert len(ledger(store)) == 12
    before = everything(store)
    assert run(store, folder).outcomes == {}
    assert everything(store) == before


def test_files_that_vanish_or_cannot_be_opened_are_tried_again(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_files([folder])
    text = (folder / "a.cif").read_text()
    (folder / "a.cif").unlink()
    monkeypatch.setattr("mlmat.ingest.find_files", lambda *_: found)
    run(store, folder)
    assert outcomes(store)["a.cif"] == "unreadable"
    assert "No such file" in str(ledger(store)[0]["reason"])
    (folder / "a.cif").write_text(text)
    report = run(store, folder)
    assert (report.unchanged, dict(report.outcomes)) == (5, {"duplicate": 1})


def test_a_file_without_permission_is_read_once_it_has_it(store: Store, folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything; the same way through the ledger is tested by a file that vanishes")
    (folder / "a.cif").chmod(0)
    run(store, folder)
    assert outcomes(store)["a.cif"] == "unreadable"
    (folder / "a.cif").chmod(0o600)
    run(store, folder)
    assert outcomes(store)["a.cif one"] in {"stored", "duplicate"}


def test_ctrl_c_keeps_what_was_written_and_says_stopped(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlmat.ingest.FLUSH_FILES", 2)

    def interrupted(_total: int) -> Any:
        done: list[int] = []

        def told(_count: int) -> None:
            done.append(1)
            if len(done) == 4:
                raise KeyboardInterrupt

        return told

    with pytest.raises(KeyboardInterrupt):
        run(store, folder, progress=interrupted)
    assert store.sql("SELECT outcome FROM run")["outcome"].tolist() == ["stopped"]
    assert run(store, folder).unchanged == 2
    assert len(ledger(store)) == 7


def test_a_killed_ingest_goes_on_where_it_was(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for i in range(240):
        (files / f"{i:03}.cif").write_text(cif(4 + i % 160 / 100) if i % 50 else "data_x\nloop_\n")
    undisturbed = open_store(tmp_path / "undisturbed.duckdb", create=True)
    run(undisturbed, files, processes=2)
    killed = Store(tmp_path / "killed.duckdb")
    kill_an_ingest(files, killed, flush=20, seconds=40)
    assert 0 < written(killed) < 240
    subprocess.run([sys.executable, "-m", "mlmat", "ingest", files, "--db", killed.path], check=True,
                   capture_output=True)  # fmt: skip
    assert ledger(killed) == ledger(undisturbed)
    assert sorted(killed.sql("FROM structure")["structure_id"]) == sorted(
        undisturbed.sql("FROM structure")["structure_id"]
    )
