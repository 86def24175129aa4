"""Containers on their way into the store: what becomes of every member, again, changed, killed, hostile."""

from __future__ import annotations

import os
import signal
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hand_made_containers import NAMES, SIZES, make, make_csv, make_tar, make_zip
from small_cifs import cif, everything, kill_an_ingest, run

from mlmat.errors import StoreLocked
from mlmat.ingest import ingest
from mlmat.store import Store, open_store

LEDGER = """
    SELECT path, member, block, outcome, reason, structure_id, file_sha256, file_mtime_ns FROM source
    WHERE current ORDER BY path, member, block_index
"""


def ledger(store: Store) -> list[dict[str, Any]]:
    return store.arrow(LEDGER).to_pylist()  # type: ignore[no-any-return]


def members(store: Store) -> dict[str | None, str]:
    return {row["member"]: row["outcome"] for row in ledger(store)}


def test_every_kind_of_container_is_read_once(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    columns = {make(name, folder)[1] for name in NAMES if name != "a.jsonl"}
    (folder / "plain.csv").unlink()
    assert columns == {None, "cif"}
    report = run(store, folder, column="cif")
    assert (report.files, report.members, report.problems) == (12, 36, [])
    assert report.other == 6, "the README in each archive"
    assert set(report.outcomes) == {"stored", "duplicate"}
    volumes = store.sql("SELECT DISTINCT round(volume, 3) AS v FROM structure ORDER BY v")["v"].tolist()
    assert volumes == [round(size**3, 3) for size in SIZES]
    said = store.sql("SELECT reason FROM source WHERE outcome = 'duplicate' AND path LIKE '%a.tar'")["reason"]
    assert f"same structure as {folder}/a.csv!mp-4.0 [one]" in said.tolist()
    before = everything(store)
    again = run(store, folder, column="cif")
    assert (again.unchanged, again.members, again.outcomes) == (12, 0, {})
    assert everything(store) == before


def test_json_lines_of_optimade(store: Store, tmp_path: Path) -> None:
    path, _ = make("a.jsonl", tmp_path)
    run(store, path)
    assert members(store) == {f"mp-{size}": "stored" for size in SIZES}
    gaps = store.sql("SELECT number FROM key_value ORDER BY number")["number"].tolist()
    assert gaps == list(SIZES)


def parsers(store: Store) -> set[str]:
    found = store.sql("SELECT DISTINCT parser FROM source WHERE current")["parser"]
    return {text.rpartition(", ")[2] for text in found}


@pytest.mark.parametrize("name", ["a.csv", "table.jsonl", "a.parquet"])
def test_another_column_is_another_reading(store: Store, tmp_path: Path, name: str) -> None:
    path, _ = make(name, tmp_path)
    for column in (None, "gap", "id"):
        report = run(store, path, column=column)
        assert set(report.outcomes) == {"unreadable"}
        assert len(report.refused) == 1
    report = run(store, path, column="cif")
    assert (dict(report.outcomes), report.refused) == ({"stored": 3}, [])
    assert parsers(store) == {"column cif"}
    before = everything(store)
    for column in ("cif", None):
        assert run(store, path, column=column).unchanged == 1
    assert everything(store) == before


def test_a_column_with_structures_is_superseded_by_another(store: Store, tmp_path: Path) -> None:
    path = make_csv(tmp_path / "t.csv", [{"id": "x", "cif": cif(), "relaxed": cif(4.1)}])
    for column in ("cif", "relaxed"):
        assert dict(run(store, path, column=column).outcomes) == {"stored": 1}
        assert parsers(store) == {f"column {column}"}
    assert store.pending("m").num_rows == 1


def test_lines_that_are_structures_stay_when_tables_are_read_beside_them(store: Store, tmp_path: Path) -> None:
    make("a.jsonl", tmp_path)
    run(store, tmp_path)
    before = everything(store)
    make_csv(tmp_path / "t.csv", [{"id": "x", "cif": cif()}])
    assert dict(run(store, tmp_path, column="cif").outcomes) == {"stored": 1}
    assert [row for row in everything(store)[0] if "jsonl" in row["path"]] == before[0]


def test_a_changed_archive_keeps_what_it_still_has(store: Store, tmp_path: Path) -> None:
    files = {"a.cif": cif(4.0), "b.cif": cif(4.1), "c.cif": cif(4.2)}
    path = make_zip(tmp_path / "x.zip", files)
    run(store, path)
    before = {row["member"]: row for row in ledger(store)}
    make_zip(path, {"a.cif": cif(4.0), "b.cif": cif(4.5), "d.cif": cif(4.2)})
    os.utime(path, ns=(7, 7))
    report = run(store, path)
    assert (report.unchanged_members, dict(report.outcomes)) == (1, {"stored": 2})
    after = {row["member"]: row for row in ledger(store)}
    assert set(after) == {"a.cif", "b.cif", "d.cif"}
    assert {row["file_mtime_ns"] for row in after.values()} == {7}
    assert after["a.cif"] == before["a.cif"] | {"file_mtime_ns": 7}
    assert after["d.cif"]["outcome"] == "stored", "who had this structure first has it no more"
    assert store.pending("m").num_rows == 3
    os.utime(path, ns=(8, 8))
    assert (run(store, path).unchanged_members, run(store, path).unchanged) == (3, 1)
    make_zip(path, {})
    assert run(store, path).problems == [f"{path}: nothing in it that a reader takes"]
    assert members(store) == {None: "unreadable"}
    assert run(store, path).unchanged == 1
    assert store.pending("m").num_rows == 0


def test_bad_archives_and_members_are_rows_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    files = {"ok.cif": cif(), "../up.cif": cif(4.1), "bad.cif": "no CIF", "in.zip": b"PK", "ok.cif.gz": b"\x1f\x8bno"}
    make_zip(tmp_path / "a.zip", files)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("ok.cif", cif(4.4))
    whole = make_tar(tmp_path / "b.tar", {f"{i}.cif": cif(5 + i) for i in range(9)}).read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[:4000])
    (tmp_path / "c.zip").write_bytes(b"PK and then nothing")
    (tmp_path / "d.db").write_bytes(b"SQLite format 3\0" + b"?" * 2000)
    report = run(store, tmp_path)
    rows = {(Path(row["path"]).name, row["member"]): (row["outcome"], row["reason"]) for row in ledger(store)}
    assert rows["a.zip", "ok.cif"][0] == "stored"
    assert rows["a.zip", "ok.cif#2"][0] == "stored"
    assert rows["a.zip", "../up.cif"][0] == "rejected"
    assert rows["a.zip", "in.zip"] == ("rejected", "an archive inside an archive is not opened: unpack it first")
    assert rows["a.zip", "bad.cif"][0] == "unreadable"
    assert rows["a.zip", "ok.cif.gz"][1].startswith("broken gzip data")
    assert rows["b.tar", "0.cif"][0] == "stored"
    assert rows["b.tar", None][1].startswith("broken tar archive")
    assert rows["c.zip", None][1] == "broken zip archive: File is not a zip file"
    assert "not an ase.db" in rows["d.db", None][1]
    assert len(report.problems) == 3
    assert run(store, tmp_path).unchanged == 4, "what is broken is not tried again before it changes"


def test_a_container_or_member_that_takes_its_process_along(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_zip(tmp_path / "a.zip", {"a.cif": cif(), "segfault.cif": cif(4.1), "z.cif": cif(4.2)})
    import mlmat.ingest

    original = mlmat.ingest.isolated_map
    monkeypatch.setattr(
        "mlmat.ingest.isolated_map", lambda _name, *a, **k: original("test_ingest_containers:read_badly", *a, **k)
    )
    run(store, tmp_path)
    found = {row["member"]: row["reason"] for row in ledger(store)}
    assert found == {"a.cif": None, "segfault.cif": "reading it crashed its process (SIGSEGV)", "z.cif": None}
    monkeypatch.undo()
    assert run(store, tmp_path).unchanged == 1

    stream = mlmat.ingest._work.isolated_stream
    monkeypatch.setattr(
        "mlmat.ingest._work.isolated_stream",
        lambda _name, *a, **k: stream("test_ingest_containers:bad_stream", *a, **k),
    )
    report = run(store, tmp_path, again=True)
    assert report.problems == [f"{tmp_path}/a.zip: reading it crashed its process (SIGSEGV)"]
    was = {"a.cif": "stored", "segfault.cif": "unreadable", "z.cif": "stored"}
    assert members(store) == was | {None: "unreadable"}, "what was not seen this time is not gone"
    monkeypatch.undo()
    assert run(store, tmp_path).unchanged_members == 2
    assert members(store) == was | {"segfault.cif": "stored"}


def read_badly(item: Any, limits: Any) -> Any:
    """`mlmat.ingest.read_item`, but for members with these names."""
    from isolated_calls import call

    from mlmat.ingest import read_item

    call(Path(item.name).stem)
    return read_item(item, limits)


def bad_stream(path: str, column: str | None, limits: Any) -> Any:
    """The first member, and then a crash."""
    import time

    from mlmat.container import Member
    from mlmat.ingest._members import stream

    yield next(one for one in stream(path, column, limits) if isinstance(one, Member))
    time.sleep(0.3)
    yield next(stream(path, column, limits))
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_killed_ingest_of_an_archive_is_completed(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", {f"{i:04}.cif": cif(4 + i % 2_000 / 1000) for i in range(3_000)})
    store = Store(tmp_path / "killed.duckdb")
    kill_an_ingest(path, store, flush=100, seconds=60)
    before = store.sql("SELECT source_id FROM source")["source_id"].tolist()
    assert 0 < len(before) < 3_000
    report = run(store, path, processes=2)
    assert (report.unchanged, report.unchanged_members) == (0, len(before)), "read again, added only once"
    assert dict(report.outcomes).get("stored", 0) + dict(report.outcomes).get("duplicate", 0) == 3_000 - len(before)
    assert len(store.sql("FROM source")) == len(ledger(store)) == 3_000
    assert len(store.sql("FROM structure")) == 2_000
    assert store.sql("SELECT outcome, count(*) AS n FROM source GROUP BY ALL ORDER BY ALL")["n"].tolist() == [
        1_000,
        2_000,
    ]
    assert set(before) <= set(store.sql("SELECT source_id FROM source WHERE current")["source_id"])
    assert run(store, path).unchanged == 1


def test_an_archive_replaced_while_half_read_holds_nothing_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "s.duckdb", create=True)
    path = make_zip(tmp_path / "x.zip", {f"{i}.cif": cif(4 + i / 100) for i in range(40)})

    def stopped(_total: int) -> Any:
        done: list[int] = []

        def told(count: int, **_: int) -> None:
            done.extend([1] * count)
            if len(done) == 30:
                raise KeyboardInterrupt

        return told

    monkeypatch.setattr("mlmat.ingest.FLUSH_FILES", 5)
    with pytest.raises(KeyboardInterrupt):
        run(store, path, progress=stopped)
    assert 0 < len(ledger(store)) < 40
    make_zip(path, {"new.cif": cif(6.0), "0.cif": cif(4.0)})
    run(store, path)
    assert members(store) == {"0.cif": "stored", "new.cif": "stored"}


def old_db(path: Path) -> None:
    from ase.build import bulk
    from ase.db import connect

    with connect(path) as db:
        for metal in ("Al", "Cu", "Ni"):
            db.write(bulk(metal))


def test_what_keeps_a_container_from_being_read_for_a_while_costs_nothing(tmp_path: Path) -> None:
    """A database that somebody writes to just now: its rows stay, and it is tried again."""
    path = tmp_path / "old.db"
    old_db(path)
    store = open_store(tmp_path / "x.duckdb", create=True)
    assert ingest(store, [path]).outcomes == {"stored": 3}
    os.utime(path, ns=(1, 1))
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    ingest(store, [path])
    holder.rollback()
    holder.close()
    current = "SELECT count(*) AS n FROM source WHERE current AND outcome = 'stored'"
    assert store.sql(current)["n"][0] == 3
    report = ingest(store, [path])
    assert (report.unchanged, report.unchanged_members) == (0, 3)
    assert ingest(store, [path]).unchanged == 1
    assert store.sql(current)["n"][0] == 3
    assert store.sql("SELECT count(*) AS n FROM source WHERE current")["n"][0] == 3


def test_one_ingest_at_a_time_reads_containers(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old_db(path)
    store = open_store(tmp_path / "x.duckdb", create=True)
    busy = pytest.raises(StoreLocked, match="by process 1 on here; let it finish")
    with store.archive_reader("process 1 on here"), busy:
        ingest(store, [path])
    assert ingest(store, [path]).outcomes == {"stored": 3}
