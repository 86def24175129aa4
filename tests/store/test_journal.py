"""The journal: what was whole stays, comes back once, and belongs to one process at a time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest
from hand_made import crystal, merge, method, packed, result, stored
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlmat.store import Journal, Store, open_store
from mlmat.store.access import journal as journals

HEAD = 12


class JournalAndStore(RuleBasedStateMachine):
    """A driver that appends, merges and dies, a disk that damages, and others who take over."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(Path(self.folder.name) / "s.duckdb", create=True)
        method(self.store, "m")
        self.structure = stored(self.store, crystal())[0]
        self.waiting: list[tuple[str, int]] = []  # result and size of its record, in the order of the file
        self.expected: set[str] = set()
        self.maybe: set[str] = set()
        self.journal: Journal | None = self.store.journal("one")

    def path(self) -> Path:
        return self.store.folder / "journal" / f"one.{self.store._identity}.journal"

    def own(self) -> Journal:
        if self.journal is None:
            self.journal = self.store.journal("one")
        return self.journal

    @rule(rows=st.integers(1, 3))
    def append(self, rows: int) -> None:
        for _ in range(rows):
            row = result(self.structure)
            record = packed([row], [{"x": 1.0}])
            self.own().append(record)
            self.waiting.append((row["result_id"], len(record) + HEAD))

    @rule()
    def merge(self) -> None:
        self.store.merge(self.own())
        self.expected |= {name for name, _ in self.waiting}
        self.waiting = []

    @rule()
    def merge_without_clear(self) -> None:
        """As if killed between the commit and the clear."""
        with self.store._writing() as con:
            from mlmat.store.tables.results import merge

            merge(con, self.own().frames(), self.store._described)
        self.expected |= {name for name, _ in self.waiting}

    @rule()
    def crash(self) -> None:
        if self.journal is not None:
            os.close(self.journal._fd)
            self.journal = None

    @rule()
    def another_writes(self) -> None:
        """Any writing call takes in what a dead driver left, and leaves alone what a living one holds."""
        self.store.execute("SELECT 1")
        if self.journal is None:
            self.expected |= {name for name, _ in self.waiting}
            self.waiting = []
            assert not self.path().exists()

    @rule(where=st.floats(0, 1))
    def truncate(self, where: float) -> None:
        """A dead driver's file is cut short at any byte."""
        if not self._damageable():
            return
        at = int(where * self.path().stat().st_size)
        os.truncate(self.path(), at)
        self._lost(at, 10**12)

    @rule(where=st.floats(0, 1), bit=st.integers(0, 7))
    def flip(self, where: float, bit: int) -> None:
        if not self._damageable():
            return
        data = bytearray(self.path().read_bytes())
        at = min(int(where * len(data)), len(data) - 1)
        data[at] ^= 1 << bit
        self.path().write_bytes(data)
        self._lost(at, at + 1)

    def _damageable(self) -> bool:
        # Only where the file is just the records that the model knows.
        size = sum(size for _, size in self.waiting)
        return self.journal is None and bool(self.waiting) and self.path().stat().st_size == size

    def _lost(self, start: int, end: int) -> None:
        at, kept = 0, []
        for name, size in self.waiting:
            if at + size <= start or at >= end:
                kept.append((name, size))
            at += size
        self.waiting = kept

    @invariant()
    def every_whole_result_is_there_once(self) -> None:
        found = self.store.sql("SELECT result_id::VARCHAR AS id FROM result")["id"].tolist()
        assert sorted(found) == sorted(self.expected)
        if self.expected:
            assert len(self.store.sql("FROM result_toy")) == len(self.expected)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.crash()
            self.another_writes()
            self.every_whole_result_is_there_once()
            self.folder.cleanup()


JournalAndStore.TestCase.settings = settings(max_examples=5, stateful_step_count=12, deadline=None)
TestJournalAndStore = JournalAndStore.TestCase


@pytest.mark.parametrize("seed", range(40))
def test_one_flipped_bit_costs_one_frame(tmp_path: Path, seed: int) -> None:
    frames = [bytes([i]) * (7 * i) + b"MLJ1" * (i % 2) for i in range(8)]
    journal = Journal(tmp_path, "j")
    for frame in frames:
        journal.append(frame)
    os.close(journal._fd)
    data = bytearray(journal.path.read_bytes())
    at = zlib.crc32(b"%d" % seed) % (len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    journal.path.write_bytes(data)
    again = Journal(tmp_path, "j")
    kept = list(again.frames())
    assert len(kept) >= len(frames) - 1
    assert [f for f in frames if f in kept] == kept
    assert (tmp_path / "j.damaged").read_bytes() == data
    again.append(b"after")
    assert list(again.frames()) == [*kept, b"after"]
    again.close()


def test_every_truncation_keeps_the_frames_before_it(tmp_path: Path) -> None:
    frames = [b"a" * 5, b"", b"b" * 9]
    journal = Journal(tmp_path, "j")
    for frame in frames:
        journal.append(frame)
    whole = journal.path.read_bytes()
    journal.clear()
    journal.close()
    for size in range(len(whole) + 1):
        (tmp_path / "t.journal").write_bytes(whole[:size])
        cut = Journal(tmp_path, "t")
        expected = [f for i, f in enumerate(frames) if sum(HEAD + len(g) for g in frames[: i + 1]) <= size]
        assert list(cut.frames()) == expected
        cut.append(b"next")
        assert list(cut.frames()) == [*expected, b"next"]
        cut.clear()
        cut.close()


def test_a_living_owner_keeps_its_journal_and_a_dead_one_loses_it(store: Store) -> None:
    method(store, "m")
    frame = store.folder / "frame"
    frame.write_bytes(packed([result(stored(store, crystal())[0])]))
    code = (
        "import sys, pathlib, time; from mlmat.store import Store\n"
        "j = Store(sys.argv[1]).journal('theirs'); j.append(pathlib.Path(sys.argv[2]).read_bytes())\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, store.path, frame], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    assert owner.stdout.readline() == "ready\n"
    with pytest.raises(BlockingIOError):
        store.journal("theirs")
    store.execute("SELECT 1")
    assert len(store.sql("FROM result")) == 0
    assert store.status()["journals"] == 1
    assert store.status()["journal_bytes"] == frame.stat().st_size + HEAD
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    store.execute("SELECT 1")
    assert len(store.sql("FROM result")) == 1
    assert store.status()["journal_bytes"] == 0


def test_a_full_disk_costs_the_new_frame_only(tmp_path: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
from mlmat.errors import StoreError
from mlmat.store import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, {resource.RLIM_INFINITY}))
journal = Journal(Path(sys.argv[1]), "j")
journal.append(b"a" * 2000)
journal.append(b"b" * 2000)
try:
    journal.append(b"c" * 2000)
except StoreError as error:
    print("File too large" in str(error), "make room" in str(error), len(journal))
journal.append(b"d" * 500)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == f"True True {2 * (2000 + HEAD)}\n"
    journal = Journal(tmp_path, "j")
    assert list(journal.frames()) == [b"a" * 2000, b"b" * 2000, b"d" * 500]
    journal.clear()
    journal.close()


def test_an_empty_journal_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "j")
    assert len(journal) == 0
    journal.close()
    assert list(tmp_path.iterdir()) == []
    assert journals.waiting(tmp_path) == (0, 0)
    assert journals.adopt(tmp_path, None) == []


def test_merging_while_the_store_is_held_keeps_the_frames(store: Store) -> None:
    method(store, "m")
    row = result(stored(store, crystal())[0])
    journal = store.journal("mine")
    journal.append(packed([row]))
    size = len(journal)
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('held', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, store.path], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    from mlmat.errors import StoreLocked

    with pytest.raises(StoreLocked, match=str(holder.pid)):
        store.merge(journal, timeout=0.2)
    assert len(journal) == size
    holder.communicate("\n")
    assert store.merge(journal) == 1
    assert merge(store) == 0
    journal.close()
