"""Who may open the store file when, and what is said to those who may not. Real processes throughout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest
from hand_made import by_hand

from mlmat.errors import StoreError, StoreLocked
from mlmat.store import Store, open_store


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_slow_query_draws_nothing_on_standard_output(store: Store) -> None:
    assert store.sql("SELECT current_setting('enable_progress_bar') AS bar")["bar"].tolist() == [False]


READER = """
import sys, time
from mlmat.store import Store
store, waits = Store(sys.argv[1]), []
store.sql("SELECT 1")
print("ready", flush=True); input()
end = time.monotonic() + 5
while time.monotonic() < end:
    start = time.monotonic(); store.sql("SELECT count(*) FROM run"); waits.append(time.monotonic() - start)
print(max(waits), len(waits))
"""


@pytest.mark.slow
def test_ten_polling_readers_and_a_busy_writer_never_wait_long(store: Store) -> None:
    """Ten processes that poll without pause, and one that writes every 50 ms, for five seconds."""
    store.execute("CREATE TABLE note (name VARCHAR)")
    readers = [start(READER, store.path) for _ in range(10)]
    assert [said(reader) for reader in readers] == ["ready"] * 10
    for reader in readers:
        tell(reader)
    waits, until = [], time.monotonic() + 5
    while time.monotonic() < until:
        begin = time.monotonic()
        store.execute("INSERT INTO note VALUES ('busy')")
        waits.append(time.monotonic() - begin)
        time.sleep(0.05)
    longest = [float(said(reader).split()[0]) for reader in readers]
    for reader in readers:
        reader.communicate()
    print(f"writer: {len(waits)} writes, longest {max(waits):.2f} s; readers: longest {max(longest):.2f} s")
    # Twelve processes share the cores here, and more of a busy machine: 2 s are promised, and measured with the faults.
    assert max(longest) < 4
    assert max(waits) < 8


HOLDER = """
import duckdb, sys
con = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read"); con.execute("SELECT 1").fetchall()
print("held", flush=True); input(); con.close(); print("left", flush=True); input()
"""


REFUSED = """
import sys
from mlmat.errors import StoreLocked
from mlmat.store import Store
try:
    Store(sys.argv[1]).database.write(1.0).__enter__()
except StoreLocked as error:
    print(error)
"""


def test_a_reader_who_stays_stops_no_other_reader_and_is_named_to_writers(store: Store) -> None:
    store.execute("SELECT 1")
    holder = start(HOLDER, store.path, "read")
    assert said(holder) == "held"
    writer = start(REFUSED, store.path)
    while writer.poll() is None:
        begin = time.monotonic()
        store.sql("SELECT 1")
        assert time.monotonic() - begin < 15  # a writer that did not step back would keep it for a minute
    refused = writer.communicate()[0]
    assert f"process {holder.pid} (python" in refused
    assert refused.count("\n") == 1
    threading.Timer(1.0, tell, [holder]).start()
    store.execute("SELECT 1")
    assert said(holder) == "left"
    holder.communicate("\n")


def test_a_writer_who_stays_is_named_to_readers(store: Store) -> None:
    holder = start(HOLDER, store.path, "write")
    assert said(holder) == "held"
    with pytest.raises(StoreLocked, match=str(holder.pid)), store.database.read(timeout=0.2):
        pass
    holder.communicate("\n\n")
    assert len(store.sql("SELECT 1")) == 1


def test_a_writer_that_is_killed_leaves_nothing_behind(store: Store) -> None:
    code = """
import os, signal, sys
from mlmat.store import Store
with Store(sys.argv[1])._writing() as con:
    con.execute("INSERT INTO mlmat_schema (version, name) SELECT -1, repeat('x', 1000) FROM range(20000)")
    print("inserted", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    by_hand(store, "INSERT INTO mlmat_schema (version, name) VALUES (0, 'committed')")
    killed = start(code, store.path)
    assert said(killed) == "inserted"
    assert killed.wait() == -signal.SIGKILL
    assert store.sql("SELECT name FROM mlmat_schema WHERE version < 1")["name"].tolist() == ["committed"]
    store.execute("SELECT 1")


def test_an_exception_rolls_back(store: Store) -> None:
    before = len(store.sql("FROM mlmat_schema"))

    def fail() -> None:
        with store._writing() as con:
            con.execute("DELETE FROM mlmat_schema")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(store.sql("FROM mlmat_schema")) == before > 0


def test_threads_of_a_process_take_turns(store: Store) -> None:
    store.execute("CREATE TABLE note (name VARCHAR)")
    errors: list[Exception] = []

    def use(k: int) -> None:
        try:
            for _ in range(5):
                Store(store.path).execute(f"INSERT INTO note VALUES ('{k}')")
                store.sql("FROM note")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=[k]) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.sql("FROM note")) == 20


@pytest.mark.parametrize("folder", ["plain", "blocks with a lock", "café ☃"])
def test_a_missing_store_is_said_at_once(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    begin = time.monotonic()
    with pytest.raises(StoreError, match="there is no such store"):
        open_store(tmp_path / folder / "x.duckdb")
    assert time.monotonic() - begin < 20  # nothing is waited for: that would be a minute
    assert list((tmp_path / folder).iterdir()) == []


def a_text_file(path: Path) -> str:
    path.write_text("a,b\n1,2\n" * 2000)
    return "not a DuckDB database"


def an_empty_file(path: Path) -> str:
    path.touch()
    return "empty file"


def a_folder(path: Path) -> str:
    path.mkdir()
    return "this is a folder"


def another_database(path: Path) -> str:
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE mine AS SELECT 1 AS a")
    return "not an mlmat store"


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("make", [a_text_file, an_empty_file, a_folder, another_database])
def test_what_is_no_store_is_refused_in_one_line_and_left_alone(tmp_path: Path, make: object, create: bool) -> None:
    path = tmp_path / "x.duckdb"
    expected = make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=expected) as error:
        open_store(path, create=create)
    assert "\n" not in str(error.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_missing_parent_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; make it first"):
        open_store(tmp_path / "no" / "x.duckdb", create=True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_on_a_read_only_disk_can_be_read(store: Store, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        store.path.chmod(0o444)
        tmp_path.chmod(0o555)
    else:
        mount = subprocess.run(["mount", "--bind", "-o", "ro", tmp_path, tmp_path], capture_output=True, check=False)
        if mount.returncode:
            pytest.skip("root may write everywhere, and this machine lets nobody mount a folder read-only")
    try:
        assert len(open_store(store.path).reduce("ranking")) == 0
        with pytest.raises((StoreError, OSError)):
            store.execute("SELECT 1")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", tmp_path], check=True)
        tmp_path.chmod(0o755)


def test_two_processes_that_make_the_same_store(tmp_path: Path) -> None:
    code = "import sys; from mlmat.store import open_store as o; print(len(o(sys.argv[1], create=True).reductions()))"
    makers = [start(code, tmp_path / "new.duckdb") for _ in range(3)]
    assert len({said(maker) for maker in makers} - {"0"}) == 1
    for maker in makers:
        maker.communicate()
        assert maker.returncode == 0
