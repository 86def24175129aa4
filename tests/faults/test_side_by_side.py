"""Two screens, an ingest and ten readers at once on one store; and one of the writers is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.kills import assert_sound, called, computed, environment
from faults.many import RUNNER, store_of, write_files
from faults.tools import chance, counted, finish, injected, kill, seed, start, until

from mlmat.store import Store

STRUCTURES, FILES, READERS = 400, 3_500, 9
#: Seconds that a reader may wait, and that the three writers may take together.
PATIENCE, ENOUGH = 2.0, 240.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


class Writers:
    """Three commands on one store, each with a list of what its runner was called for."""

    def __init__(self, db: Path, files: Path) -> None:
        self.db = db
        both = ("screen", "--runner", RUNNER, "--db", db, "--where", "path LIKE '%/many.cif'", "--set")
        self.commands = {
            "threads": (*both, "scale=1.0", "--config", "threads", "--set", "seconds=0.05"),
            "local": (*both, "scale=2.0", "--config", "local", "--set", "seconds=0.03"),
            "ingest": ("ingest", files, "--db", db),
        }
        self.calls: dict[str, list[Path]] = {name: [] for name in self.commands}
        self.processes = {name: self.start(name) for name in self.commands}

    def start(self, name: str) -> subprocess.Popen[str]:
        self.calls[name].append(self.db.with_name(f"calls-{name}-{len(self.calls[name])}"))
        return start(*self.commands[name], env=environment(uuid.uuid4().hex, self.calls[name][-1]))

    def work_until(self, name: str, part: float) -> None:
        """Wait until a screen was at so many of its structures, or the ingest has written something."""
        store = Store.open(self.db)
        if name == "ingest":
            until(lambda: counted(store, "source") > STRUCTURES, seconds=ENOUGH)
            time.sleep(part)
        else:
            until(lambda: len(called(self.calls[name][0])) > part * STRUCTURES, seconds=ENOUGH)

    def kill_and_start_again(self, name: str) -> int:
        """What is called for again although it had a result, in the store or in the journal."""
        assert kill(self.processes[name])
        done = computed(self.db, self.method(name)) if name != "ingest" else set()
        self.processes[name] = self.start(name)
        self.wait(name)
        return len(done & called(self.calls[name][-1]))

    def method(self, name: str) -> str:
        """The id of a screen's method."""
        scale = {"threads": "1.0", "local": "2.0"}[name]
        return str(
            Store.open(self.db).sql(f"SELECT method_id FROM method WHERE settings['scale'] = '{scale}'").iat[0, 0]
        )

    def wait(self, name: str) -> None:
        _, err = self.processes[name].communicate(timeout=ENOUGH)
        assert self.processes[name].returncode == 0, err


@contextmanager
def readers(db: Path) -> Iterator[list[dict[str, Any]]]:
    """Ten processes that ask all along, one of them `mlmat sql` time and again; afterwards, what the others saw."""
    stop, seen = db.with_name("stop"), []
    command = [sys.executable, str(Path(__file__).with_name("reader.py")), str(db), str(stop)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(READERS)]
    with ThreadPoolExecutor() as pool:
        answers = pool.submit(asked_by_command, db, stop)
        try:
            yield seen
        finally:
            stop.touch()
            said = [process.communicate(timeout=60)[0] for process in processes]
    seen += map(json.loads, said)
    injected("question asked beside three writers", sum(len(one["waits"]) for one in seen) + answers.result())


def asked_by_command(db: Path, stop: Path) -> int:
    times = 0
    while not stop.exists():
        finish("sql", "SELECT count(*) FROM result", "--db", db)
        times += 1
        time.sleep(1)
    return times


def second(writers: Writers) -> None:
    """Another screen of a method that is at work is told by whom, and changes nothing."""
    process = start(*writers.commands["threads"])
    _, err = process.communicate(timeout=60)
    stuck = process.returncode != 1 or f"process {writers.processes['threads'].pid}" not in err
    injected("second screen of a method at work", stuck=int(stuck))


def test_three_writers_and_ten_readers(tmp_path: Path) -> None:
    rng, db = chance("beside"), store_of(STRUCTURES, tmp_path)
    victim = ("threads", "local", "ingest")[seed() % 3]
    write_files(tmp_path / "cifs", FILES)
    with readers(db) as seen:
        writers = Writers(db, tmp_path / "cifs")
        until(lambda: Store.open(db).drivers(), every=0.02)
        second(writers)
        writers.work_until(victim, rng.uniform(0.02, 0.8))
        repeated = writers.kill_and_start_again(victim)
        for name in writers.processes:
            writers.wait(name)
    assert [one["problems"] for one in seen if one["problems"]] == []
    assert_complete(db, writers, victim)
    injected(f"driver killed beside others ({victim})", repeated=repeated)
    # On cores that others use, everybody waits longer, also for those who hold the store.
    longest = {max(one["waits"]): one["slower"] for one in seen}
    print("longest waits in s of each reader, and how many times slower it was than alone:", longest)
    assert [wait for wait, slower in longest.items() if wait > PATIENCE * slower] == []


def assert_complete(db: Path, writers: Writers, victim: str) -> None:
    """Exactly one result for each structure and method, and every file in the ledger; nothing called for twice."""
    store = Store.open(db)
    assert_sound(store)
    assert counted(store, "source WHERE current AND path LIKE '%/cifs/%'") == FILES
    for name in ("threads", "local"):
        ids = store.sql(f"SELECT structure_id AS i FROM result WHERE method_id = '{writers.method(name)}'")[
            "i"
        ].tolist()
        assert len(ids) == len(set(ids)) == STRUCTURES
        if name != victim:
            assert max(Counter(writers.calls[name][0].read_text().split()).values()) == 1
