"""Where an export goes: whole or not at all, and never over what is not its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from crystals import LABEL
from hand_made import crystal, method, record, result, salt, stored

from mlmat.cli import main
from mlmat.errors import UsageError
from mlmat.export import ExportSelection, export
from mlmat.store import Store

TARGETS = ["out", "out.cif", "out.db", "out.json", "out.extxyz", "out.csv", "out.parquet", "out.jsonl"]


@pytest.fixture
def place(store: Store, tmp_path: Path) -> tuple[Store, Path]:
    """A store with two structures, and an empty folder."""
    ids = stored(store, crystal(), salt())
    method(store, "m", label=LABEL)
    record(store, *(result(one, energy=-1.0) for one in ids))
    folder = tmp_path / "place"
    folder.mkdir()
    return store, folder


def content(path: Path) -> dict[str, bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_there_is_replaced_only_when_asked(place: tuple[Store, Path], name: str) -> None:
    store, folder = place
    target = folder / name
    export(store, str(target))
    before = content(target)
    with pytest.raises(UsageError, match="--overwrite replaces"):
        export(store, str(target), ExportSelection(limit=1))
    assert content(target) == before
    export(store, str(target), ExportSelection(limit=1), overwrite=True)
    assert content(target) != before
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("name", TARGETS)
def test_an_interrupt_leaves_nothing_and_the_old_one_as_it_was(place: tuple[Store, Path], name: str) -> None:
    store, folder = place

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    def progress(_total: int) -> Callable[[int], None]:
        return stop

    with pytest.raises(KeyboardInterrupt):
        export(store, str(folder / name), progress=progress)
    assert list(folder.iterdir()) == []
    export(store, str(folder / name), ExportSelection(limit=1))
    before = content(folder / name)
    with pytest.raises(KeyboardInterrupt):
        export(store, str(folder / name), overwrite=True, progress=progress)
    assert content(folder / name) == before
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("foreign", ["notes.txt", "mine.cif", "sub/x.cif"])
def test_a_folder_with_other_files_is_never_replaced(place: tuple[Store, Path], foreign: str) -> None:
    store, folder = place
    export(store, f"{folder}/out/")
    (folder / "out" / foreign).parent.mkdir(exist_ok=True)
    (folder / "out" / foreign).write_text("data_mine\n")
    with pytest.raises(UsageError, match="which no export wrote"):
        export(store, f"{folder}/out/", overwrite=True)
    assert (folder / "out" / foreign).read_text() == "data_mine\n"


def test_an_empty_folder_is_filled(place: tuple[Store, Path]) -> None:
    store, folder = place
    (folder / "out.d").mkdir()
    export(store, str(folder / "out.d"))
    assert len(list((folder / "out.d").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [("no/such/a.db", "there is no folder"), ("a.docx", "no format has the suffix"), ("taken/", "taken is a file")],
)
def test_targets_that_cannot_be(place: tuple[Store, Path], name: str, text: str) -> None:
    store, folder = place
    (folder / "taken").touch()
    with pytest.raises(UsageError, match=text):
        export(store, f"{folder}/{name}")


def test_a_folder_that_cannot_be_written_is_said_in_one_line(place: tuple[Store, Path]) -> None:
    store, folder = place
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    folder.chmod(0o500)
    found = mlmat("export", folder / "a.db", "--db", store.path)
    assert found.exit_code == 1
    assert len(found.stderr.splitlines()) == 1


def mlmat(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_says_what_it_wrote(place: tuple[Store, Path]) -> None:
    store, folder = place
    done = mlmat("export", f"{folder}/best/", "--where", "rank = 1", "--limit", 10, "--db", store.path)
    assert done.exit_code == 0
    assert done.stdout == f"2 structures with results of {LABEL} written to {folder}/best/\n"
    alone = mlmat("export", folder / "a.csv", "--method", "none", "--limit", 1, "--db", store.path)
    assert alone.stdout == f"1 structure written to {folder}/a.csv\n"


def test_the_command_says_what_is_wrong(place: tuple[Store, Path]) -> None:
    store, folder = place
    nothing = mlmat("export", folder / "a.db", "--where", "rank = 7", "--db", store.path)
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith(f"mlmat: nothing to write to {folder}/a.db: ")
    wrong = mlmat("export", folder / "a.docx", "--db", store.path)
    assert wrong.exit_code == 2
    missing = mlmat("export", folder / "a.db", "--db", folder / "no.duckdb")
    assert missing.exit_code == 1
    assert "no such store" in missing.stderr
