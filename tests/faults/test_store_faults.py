"""What happens to the store and the disk under it: held, full, read-only, gone, replaced, damaged, of another time."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
from faults.kills import journalled
from faults.rooms import Room
from faults.tools import CRYSTALS, SLOW, chance, counted, finish, injected, start, until

from mlmat.store import Store, open_store
from mlmat.store.schema import migrations

HERE = Path(__file__)
FIXTURE = HERE.parents[1] / "store" / "fixtures" / "store-0001.duckdb.gz"
#: Seconds that the notebook stays.
HOLD = float(os.environ.get("MLMAT_FAULT_HOLD", "25"))


@pytest.fixture
def db(ingested: Path, tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    return Path(shutil.copy(ingested, tmp_path / "s.duckdb"))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "small", "8m")
    yield made
    made.close()


def screen(db: Path, seconds: float, folder: Path | None = None) -> tuple[object, ...]:
    runner = (folder or db.parent) / "slow.py"
    return ("screen", "--runner", runner, "--set", f"seconds={seconds}", "--config", "threads", "--db", db)


def refused(process: subprocess.Popen[str], *words: str, code: int = 1) -> str:
    """The one line (beside those of progress) that a command which failed has said."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if line.startswith("mlmat: ")]
    assert all(word in said[-1] for word in words), err
    return out


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ids(store: Store) -> set[str]:
    return set(store.sql("SELECT result_id::VARCHAR AS i FROM result")["i"])


def waiting(db: Path) -> set[str]:
    return {row["result_id"] for row in journalled(db.with_name(db.name + ".d"))}


def assert_complete(db: Path, kind: str, kept: set[str]) -> None:
    """Each of the 71 crystals has exactly one result, and what was safe is among them."""
    store = open_store(db)
    structures = counted(store, "(SELECT DISTINCT structure_id FROM result)")
    results = counted(store, "result")
    injected(kind, lost=len(kept - ids(store)), repeated=results - structures, stuck=71 - structures)


# -- held by others ------------------------------------------------------------------------------

HOLDER = """
import duckdb, sys
con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read"); con.execute("SELECT 1").fetchall()
print("held", flush=True); input()
"""


def hold(db: Path, how: str = "read") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(db), how]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.faults
def test_a_notebook_that_holds_the_store_stops_nothing_and_is_named(db: Path) -> None:
    store = open_store(db)
    process = start(*screen(db, 4 * HOLD / 71))
    until(lambda: counted(store, "run WHERE command = 'screen'") == 1)
    holder = hold(db)
    until(lambda: waiting(db))
    end, sizes, said = time.monotonic() + HOLD, [len(waiting(db))], ""
    while time.monotonic() < end:
        time.sleep(HOLD / 4)
        sizes.append(len(waiting(db)))
        said = finish("status", "--db", db)
        assert f"held by     process {holder.pid} (python" in said
        assert f"of results wait for process {holder.pid} (python" in said
        assert f"by process {process.pid} on" in said
    assert sizes == sorted(set(sizes)), "the screen stood still"
    kept = waiting(db)
    holder.communicate("\n")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"waiting: {db}: process {holder.pid}" in err
    assert err.count("waiting: ") == 1
    assert "held by" not in finish("status", "--db", db)
    assert_complete(db, "store held by a reader", kept)


def test_status_says_what_it_can_while_somebody_holds_the_store_for_writing(db: Path) -> None:
    holder = hold(db, "write")
    out = refused(start("status", "--db", db), f"process {holder.pid} (python", "holds the store open")
    assert f"held by     process {holder.pid} (python" in out
    holder.communicate("\n")
    assert "71 from files" in finish("status", "--db", db)
    injected("store held by a writer")


# -- no room -------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize(
    ("size", "words"),
    [("100k", "No space left on device"), ("600k", "could not be made"), ("900k", "No space left on device")],
)
def test_an_ingest_without_room_says_so_and_goes_on_when_there_is(tmp_path: Path, size: str, words: str) -> None:
    room = Room(tmp_path / "small", size)
    db = room.path / "s.duckdb"
    refused(room.mlmat("ingest", CRYSTALS, "--db", db), str(db), words, "make room")
    room.grow("50m")
    out, err = room.mlmat("ingest", CRYSTALS, "--db", db).communicate()
    assert "71 blocks ingested" in out, err
    assert counted(open_store(room.brought_out("s.duckdb", tmp_path / "out")), "source") == 71
    room.close()
    injected("disk full: ingest")


@pytest.mark.faults
def test_a_screen_on_a_disk_that_fills_up_keeps_what_it_has_and_goes_on_when_there_is_room(
    ingested: Path, room: Room, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    shutil.copy(ingested, room.inside / "s.duckdb")
    command = screen(room.path / "s.duckdb", 0.3, tmp_path)

    def safe() -> set[str]:
        out = room.brought_out("s.duckdb", tmp_path / "out")
        return waiting(out) | ids(open_store(out))

    process = room.mlmat(*command)
    until(lambda: waiting(room.inside / "s.duckdb"))
    room.fill()
    refused(process, "No space left on device", "make room")
    kept = safe()
    assert kept
    refused(room.mlmat(*command), "No space left on device")
    assert kept <= safe()
    room.empty()
    _, err = room.mlmat(*command).communicate()
    assert "100%" in err
    assert_complete(room.brought_out("s.duckdb", tmp_path / "out"), "disk full: screen", kept)


@pytest.mark.faults
@pytest.mark.parametrize("room_for", ["nothing", "the copy"])
def test_a_migration_without_room_leaves_the_old_store_as_it_was(room: Room, room_for: str) -> None:
    db, seen = room.path / "s.duckdb", room.inside / "s.duckdb"
    seen.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    before, size = sha(seen), seen.stat().st_size
    room.grow(f"{(2 if room_for == 'the copy' else 1) * size // 1024 + 20}k")
    refused(room.mlmat("reduce", "ranking", "--db", db), str(db), "No space left")
    with suppress(FileNotFoundError):
        assert seen.with_name("s.duckdb.wal").stat().st_size < size
    assert sha(seen) == before
    room.grow("50m")
    out, err = room.mlmat("reduce", "ranking", "--db", db).communicate()
    assert "AlN" in out, err
    assert sha(room.inside / "s.duckdb.schema-1") == before
    injected("disk full: migration")


def test_an_ingest_beyond_the_limit_of_file_sizes_is_refused_in_one_line_and_goes_on_later(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    few = sorted(CRYSTALS.glob("*.cif"))[:20]
    limited = ["prlimit", "--fsize=400000", sys.executable, "-m", "mlmat", "ingest", *few, "--db", db]
    process = subprocess.Popen(map(str, limited), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    refused(process, str(db), "could not be made", "make room")
    assert not db.exists()
    assert "20 blocks ingested" in finish("ingest", *few, "--db", db)
    injected("disk full: limit of file sizes")


# -- read-only -----------------------------------------------------------------------------------


@pytest.mark.faults
def test_a_read_only_store_answers_and_says_in_one_line_that_it_cannot_be_written(db: Path) -> None:
    before = sha(db)
    room = Room(db.parent, None)
    for question in (("status",), ("reduce", "ranking"), ("sql", "SELECT count(*) FROM structure"), ("reductions",)):
        out, err = room.mlmat(*question, "--db", db).communicate()
        assert (out, err) == (finish(*question, "--db", db), "")
    for change in (("ingest", CRYSTALS, "--again"), ("sql", "--write", "DELETE FROM structure"), screen(db, 0)[:-2]):
        refused(room.mlmat(*change, "--db", db), "Read-only file system", "work on a copy")
    refused(room.mlmat("ingest", CRYSTALS, "--db", db.parent / "new.duckdb"), "Read-only file system")
    room.close()
    assert sha(db) == before
    injected("read-only store", 4)


# -- gone or replaced under a running screen -----------------------------------------------------


def other_store(folder: Path) -> Path:
    path = folder / "other.duckdb"
    finish("ingest", CRYSTALS / "MgO.cif", "--db", path)
    return path


@pytest.mark.faults
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_screen_whose_store_goes_away_ends_and_its_results_go_into_the_store_when_it_is_back(
    db: Path, tmp_path: Path, how: str
) -> None:
    backup, other = tmp_path / "backup", other_store(tmp_path) if how == "replaced" else None
    shutil.copy(db, backup)
    process = start(*screen(db, 0.25))
    until(lambda: waiting(db))
    if how == "deleted":
        db.unlink()
    elif how == "moved":
        db.rename(backup)
    else:
        assert other
        shutil.copy(other, tmp_path / "new")
        (tmp_path / "new").replace(db)
    refused(process, str(db), "the store is gone" if how != "replaced" else "another store", "journal")
    assert db.exists() == (how == "replaced")
    kept = waiting(db)
    assert kept
    if other:
        assert sha(db) == sha(other)
        finish("sql", "--write", "SELECT 1", "--db", db)
        assert counted(open_store(db), "result") == 0
        assert "results of another store" in finish("status", "--db", db)
    shutil.copy(backup, db)
    finish("sql", "--write", "SELECT 1", "--db", db)
    assert kept <= ids(open_store(db))
    finish(*screen(db, 0.25))
    assert_complete(db, f"store {how} under a screen", kept)
    assert counted(open_store(db), "slow") == 71


@pytest.mark.faults
@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_screen_whose_folder_goes_away_ends_and_loses_nothing(db: Path, tmp_path: Path, how: str) -> None:
    process = start(*screen(db, 0.2))
    until(lambda: waiting(db))
    kept = waiting(db)
    folder = tmp_path / "s.duckdb.d"
    if how == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")
    refused(process, "the journal was deleted or moved under this run; start it again")
    finish(*screen(db, 0.2))
    assert_complete(db, f"folder beside the store {how} under a screen", kept)


# -- the clock -----------------------------------------------------------------------------------

LATER = """
import sys, time, datetime
real, shift = time.time_ns, int(sys.argv.pop(1))
time.time_ns = lambda: real() + shift * 10**9
from mlmat import provenance
now = provenance.now
provenance.now = lambda: now() + datetime.timedelta(seconds=shift)
from mlmat.cli import main
main()
"""
FAILING = """
from pathlib import Path
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version = "failing", "1"
    def run(self, atoms):
        raise ValueError(Path(__file__).with_name("word").read_text())
"""
YEAR = 365 * 86_400


@pytest.mark.faults
def test_after_the_clock_was_set_back_the_later_command_still_counts(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    crystal = Path(shutil.copy(CRYSTALS / "MgO.cif", tmp_path))
    db = tmp_path / "s.duckdb"
    failing = ("screen", "--runner", tmp_path / "failing.py", "--config", "threads", "--retry-failed", "--db", db)

    def at(shift: int, *arguments: object) -> str:
        command = [sys.executable, "-c", LATER, str(shift), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    os.utime(crystal, (time.time() + 2 * YEAR,) * 2)
    at(YEAR, "ingest", crystal, "--db", db)
    for number, shift in enumerate((YEAR, 0, -YEAR)):
        (tmp_path / "word").write_text(f"word {number}")
        assert "1 failed" in at(shift, *failing)
        store = open_store(db)
        assert store.reduce("failures")["error_message"].tolist() == [f"word {number}"]
    assert "nothing new" in at(-YEAR, "ingest", crystal, "--db", db)
    assert counted(store, "result") == 3
    os.utime(crystal, (1.0, 1.0))
    at(-YEAR, "ingest", crystal, "--db", db)
    assert counted(store, "source WHERE current") == 1
    injected("clock set back", 3)


# -- damage --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def computed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same store with results."""
    folder = tmp_path_factory.mktemp("computed")
    db = Path(shutil.copy(ingested, folder / "s.duckdb"))
    (folder / "slow.py").write_text(SLOW)
    finish(*screen(db, 0))
    (folder / "ranking.csv").write_text(finish("reduce", "ranking", "--format", "csv", "--db", db))
    return db


def cut(data: bytes, where: float, _: bytes) -> bytes:
    return data[: int(len(data) * where)]


def zeros_in_the_header(data: bytes, where: float, _: bytes) -> bytes:
    at = int(where * 3) * 4096
    return data[:at] + bytes(4096) + data[at + 4096 :]


def garbage(data: bytes, where: float, noise: bytes) -> bytes:
    at = int(len(data) * where)
    return data[:at] + noise + data[at + len(noise) :]


@pytest.mark.faults
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("harm", [cut, zeros_in_the_header, garbage])
def test_a_damaged_store_gives_the_right_answer_or_none(
    computed: Path, tmp_path: Path, harm: object, number: int
) -> None:
    rng, db = chance(harm, number), tmp_path / "s.duckdb"
    damaged = harm(computed.read_bytes(), rng.random(), rng.randbytes(rng.choice([1, 100, 20_000])))  # type: ignore[operator]
    db.write_bytes(damaged)
    process = start("reduce", "ranking", "--format", "csv", "--db", db)
    out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        assert out == computed.with_name("ranking.csv").read_text()
    else:
        assert process.returncode == 1, err
        assert err.startswith(f"mlmat: {db}: ")
        assert err.count("\n") == 1
        assert "damaged" in err or "not a DuckDB database" in err or "an empty file" in err
        assert out == ""
    assert db.read_bytes() == damaged
    injected("damaged store file")


def test_a_store_that_was_cut_short_is_not_written_to(computed: Path, tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    shutil.copy(computed, db)
    with duckdb.connect(str(db), read_only=True) as con:
        (size,) = con.execute("SELECT 3 * 4096 + used_blocks * block_size FROM pragma_database_size()").fetchall()[0]
    os.truncate(db, size - 1)
    (tmp_path / "s.duckdb.schema-1").touch()
    before = sha(db)
    refused(start("sql", "--write", "SELECT 1", "--db", db), "cut short", f"there is {db}.schema-1")
    assert sha(db) == before
    assert not (tmp_path / "s.duckdb.wal").exists()
    injected("damaged store file")


KILLED_AFTER_COMMIT = """
import duckdb, os, sys
con = duckdb.connect(sys.argv[1])
for number in range(8):
    con.execute("INSERT INTO mlmat_schema (version, name) SELECT -?, repeat('x', 500) FROM range(20)", [number])
os._exit(0)
"""


@pytest.mark.faults
def test_a_log_that_was_cut_or_damaged_gives_whole_transactions_or_a_word(computed: Path, tmp_path: Path) -> None:
    store = Path(shutil.copy(computed, tmp_path / "base"))
    subprocess.run([sys.executable, "-c", KILLED_AFTER_COMMIT, store], check=True)
    whole, log = store.read_bytes(), (tmp_path / "base.wal").read_bytes()
    rng = chance("log")
    for number in range(12):
        db = tmp_path / f"{number}.duckdb"
        db.write_bytes(whole)
        at = rng.randrange(len(log))
        harmed = log[:at] if number % 2 else log[:at] + bytes([log[at] ^ 1 << rng.randrange(8)]) + log[at + 1 :]
        (tmp_path / f"{number}.duckdb.wal").write_bytes(harmed)
        query = "SELECT count(*) FROM mlmat_schema WHERE version < 0 GROUP BY version ORDER BY version DESC"
        process = start("sql", query, "--format", "csv", "--db", db)
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            assert set(out.split()[1:]) <= {"20"}
        else:
            assert process.returncode == 1
            assert "damaged" in err
            assert ".wal" in err
            assert err.count("\n") == 1
        assert db.read_bytes() == whole
        assert (tmp_path / f"{number}.duckdb.wal").read_bytes() == harmed
    injected("damaged log of DuckDB", 12)


@pytest.mark.faults
def test_a_journal_with_garbage_in_it_gives_up_one_record_and_says_so(db: Path) -> None:
    rng = chance("journal")
    process = start(*screen(db, 0.1))
    store = open_store(db)
    until(lambda: counted(store, "run WHERE command = 'screen'") == 1)
    holder = hold(db)
    until(lambda: len(waiting(db)) > 20)
    process.kill()
    process.communicate()
    holder.communicate("\n")
    (journal,) = (db.parent / "s.duckdb.d" / "journal").glob("*.journal")
    data, before = journal.read_bytes(), waiting(db)
    at = rng.randrange(len(data) // 4, len(data) // 2)
    journal.write_bytes(data[:at] + rng.randbytes(20) + data[at + 20 :])
    after = waiting(db)
    finish(*screen(db, 0.1))
    assert "damaged" in finish("status", "--db", db)
    assert 0 < len(before) - len(after) < 0.5 * len(before)
    assert_complete(db, "journal damaged in the middle", after)


def test_a_log_without_its_store_is_not_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "s.duckdb.wal").write_bytes(b"changes")
    refused(start("ingest", CRYSTALS / "MgO.cif", "--db", tmp_path / "s.duckdb"), "s.duckdb.wal", "put it back")
    assert [path.name for path in tmp_path.glob("s.duckdb*") if path.is_file()] == ["s.duckdb.wal"]
    assert (tmp_path / "s.duckdb.wal").read_bytes() == b"changes"
    injected("log without its store")


# -- migrations ----------------------------------------------------------------------------------


def test_two_processes_migrate_a_store_once(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    db.write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    before = sha(db)
    both = [start("reduce", "ranking", "--db", db) for _ in range(3)]
    assert all("AlN" in process.communicate(timeout=60)[0] for process in both)
    assert [path.name for path in tmp_path.glob("*.schema-*")] == ["s.duckdb.schema-1"]
    assert sha(tmp_path / "s.duckdb.schema-1") == before
    with duckdb.connect(str(db), read_only=True) as con:
        versions = con.execute("SELECT list(version ORDER BY version) FROM mlmat_schema").fetchone()
    assert versions == (list(range(1, migrations.newest() + 1)),)
    injected("two migrations at once")
