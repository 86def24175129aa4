"""Whose journal it is: a store takes in its own results and those of its copies, never those of another store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hand_made import crystal, method, packed, result, stored

from mlmat.errors import StoreError
from mlmat.store import Journal, Store, open_store


def left_behind(store: Store, name: str = "dead") -> Path:
    """A journal with one result whose owner is dead."""
    method(store, "m")
    journal = store.journal(name)
    journal.append(packed([result(stored(store, crystal())[0])]))
    journal.close()
    return journal.path


def test_a_new_store_in_the_same_place_does_not_take_in_the_results_of_the_old_one(
    store: Store, tmp_path: Path
) -> None:
    path = left_behind(store)
    store.path.rename(tmp_path / "backup")
    new = open_store(store.path, create=True)
    new.execute("SELECT 1")
    assert len(new.sql("FROM result")) == 0
    assert (new.status()["of_others"], new.status()["journals"]) == ([str(path)], 0)
    shutil.copy(tmp_path / "backup", store.path)
    back = open_store(store.path)
    back.execute("SELECT 1")
    assert len(back.sql("FROM result")) == 1
    assert not path.exists()


def test_a_journal_that_names_no_store_belongs_to_the_one_that_is_there(store: Store) -> None:
    path = left_behind(store)
    path.rename(path.with_name("dead.journal"))
    store.execute("SELECT 1")
    assert len(store.sql("FROM result")) == 1


def test_an_open_store_notices_that_another_one_lies_in_its_place(store: Store, tmp_path: Path) -> None:
    store.sql("SELECT 1")
    other = open_store(tmp_path / "other.duckdb", create=True)
    other.path.replace(store.path)
    before = store.path.read_bytes()
    for use in (lambda: store.execute("SELECT 1"), lambda: store.sql("SELECT 1"), lambda: left_behind(store)):
        with pytest.raises(StoreError, match="another store lies now where"):
            use()
    assert store.path.read_bytes() == before


def test_an_open_store_that_is_gone_is_not_made_again(store: Store) -> None:
    store.sql("SELECT 1")
    store.path.unlink()
    for use in (lambda: store.execute("SELECT 1"), lambda: store.sql("SELECT 1")):
        with pytest.raises(StoreError, match=r"the store is gone.*put it back"):
            use()
    assert not store.path.exists()


def test_a_journal_whose_file_is_gone_takes_nothing_and_is_written_again_with_what_it_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j")
    journal.append(b"first")
    journal.path.unlink()
    with pytest.raises(StoreError, match="deleted or moved under this run"):
        journal.append(b"second")
    assert list(journal.frames()) == [b"first"]
    journal.close()
    again = Journal(tmp_path, "j")
    assert list(again.frames()) == [b"first"]
    os.close(again._fd)


def test_ids_sort_after_those_of_the_store_whatever_the_clock_says(store: Store) -> None:
    from mlmat import provenance

    # A run of the year 2100, as a computer whose clock was wrong would have written it.
    future = f"{4_102_444_800_000:012x}"
    run = provenance.new_run("screen") | {"run_id": f"{future[:8]}-{future[8:]}-7fff-8000-000000000000"}
    store.start_run(run)
    open_store(store.path)
    before = provenance._last
    try:
        later = provenance.new_run("screen")
        assert later["run_id"] > run["run_id"]
        store.start_run(later)
        assert store.sql("SELECT run_id::VARCHAR AS i FROM run ORDER BY run_id DESC LIMIT 1")["i"][0] == later["run_id"]
    finally:
        provenance._last = min(before, provenance.time.time_ns() // 1_000_000 << 12)
