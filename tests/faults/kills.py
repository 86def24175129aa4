"""A command that is killed again and again on one store, and what must hold after each time.

A `Victim` says how to make a store, which command to kill, and what its table is; `killed` does the rest.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.tools import chance, finish, injected, kill, marked, start

from mlmat.arrow_frames import unpack
from mlmat.store import Store
from mlmat.store.access import journal
from mlmat.store.access.locks import try_lock

#: What never holds in a sound store, whenever one looks: each query gives the rows that should not be there.
UNSOUND = {
    "results without values": """SELECT result_id FROM result SEMI JOIN method USING (method_id)
        WHERE status = 'ok' AND result_id NOT IN (SELECT result_id FROM {values})""",
    "values without results": "SELECT result_id FROM {values} ANTI JOIN result USING (result_id)",
    "produced without structure": "SELECT structure_id FROM produced ANTI JOIN structure USING (structure_id)",
    "produced without result": "SELECT result_id FROM produced ANTI JOIN result USING (result_id)",
    "sources without structure": """SELECT structure_id FROM source ANTI JOIN structure USING (structure_id)
        WHERE structure_id IS NOT NULL""",
    "blocks that count twice": """SELECT path FROM source WHERE current
        GROUP BY path, member, block_index HAVING count(*) > 1""",
    "structures twice": "SELECT structure_id FROM structure GROUP BY ALL HAVING count(*) > 1",
    "results twice": "SELECT result_id FROM result GROUP BY ALL HAVING count(*) > 1",
    "current results twice": """SELECT structure_id FROM current_result
        GROUP BY method_id, structure_id, external_id HAVING count(*) > 1""",
}
#: Seconds in which everything that a killed driver has started must be gone.
OUTLIVE = 30.0


def unsound(con: Any) -> dict[str, int]:
    """What a store holds that no sound store holds, and how often; on one read-only connection, so at one moment."""
    values = " UNION ALL ".join(
        f"SELECT result_id FROM {name}"
        for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        if name.startswith("result_")
    )
    values = f"({values or 'SELECT result_id FROM result LIMIT 0'})"
    found = {what: con.execute(query.format(values=values)).fetchall() for what, query in UNSOUND.items()}
    return {what: len(rows) for what, rows in found.items() if rows}


def assert_sound(store: Store) -> None:
    """Nothing in a store is half there, or there twice."""
    with store.database.read() as con:
        assert unsound(con) == {}


def acknowledged(db: Path) -> set[str]:
    """Blocks and results that must never be gone: those in the store, and results in its journals."""
    if not db.exists():
        return set()
    store = Store.open(db)
    assert_sound(store)
    ids = store.sql("SELECT source_id::VARCHAR AS i FROM source UNION ALL SELECT result_id::VARCHAR FROM result")["i"]
    return set(ids) | {row["result_id"] for row in journalled(store.folder)}


def journalled(folder: Path) -> list[dict[str, Any]]:
    """Rows of `result` in the journals of a store."""
    found: list[dict[str, Any]] = []
    for path in (folder / "journal").glob("*.journal"):
        with path.open("rb") as file:
            for frame in journal.read(file.fileno()):
                found += unpack(frame)["result"].to_pylist()
    return found


def computed(db: Path, method_id: str | None = None) -> set[str]:
    """Structures with a result (of a method), in the store or in a journal."""
    if not db.exists():
        return set()
    store = Store.open(db)
    rows = store.arrow("SELECT structure_id, method_id FROM result").to_pylist() + journalled(store.folder)
    return {row["structure_id"] for row in rows if method_id in (None, row["method_id"])}


@dataclass
class Victim:
    """A command to kill.

    make: puts a store in place; command: the arguments after `mlmat`; table: what must be, at the end, as it is after
    an undisturbed run; moments: what to aim at, beside any moment; most: kills in a row on one store; seen: what a kill
    must not take away (by default blocks and results); check: what else must hold after each kill.
    """

    kind: str
    make: Callable[[Path], object]
    command: Callable[[Path], Sequence[object]]
    table: Callable[[Path], object]
    moments: Sequence[Callable[[Path], bool]] = ()
    most: int = 6
    seen: Callable[[Path], set[str]] = acknowledged
    check: Callable[[Path], None] = lambda db: None


# -- moments to aim at ---------------------------------------------------------------------------


def writing(db: Path) -> bool:
    """Somebody holds the turnstile: a writer is in a transaction, or waits for one."""
    try:
        fd = os.open(db.with_name(db.name + ".d") / "turnstile", os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(fd, 1)
    finally:
        os.close(fd)


def committing(db: Path) -> bool:
    """DuckDB's log lies beside the store: a transaction is on its way into the file."""
    return db.with_name(db.name + ".wal").exists()


def recording(db: Path) -> bool:
    """Results wait in a journal."""
    return journal.waiting(db.with_name(db.name + ".d") / "journal")[0] > 0


def strike(victim: Victim, process: subprocess.Popen[str], db: Path, duration: float, rng: random.Random) -> None:
    """Wait for the moment: any one within the time that the command takes, or one that is aimed at."""
    moment = rng.choice(victim.moments) if victim.moments and rng.random() < 0.4 else None
    until = time.monotonic() + (rng.uniform(0, duration) if moment is None else 2 * duration)
    left = rng.choice((1, 1, 1, 2, 3))
    while time.monotonic() < until and process.poll() is None:
        if moment is not None and moment(db):
            left -= 1
            if left <= 0:
                time.sleep(rng.uniform(0, 0.03))
                return
            while moment(db) and process.poll() is None:
                time.sleep(0.001)
        time.sleep(0.002)


# -- kills ---------------------------------------------------------------------------------------


@dataclass
class Orphans:
    """Watches that nothing outlives its driver for long: one thread for each that was killed."""

    threads: list[threading.Thread] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def watch(self, mark: str) -> None:
        thread = threading.Thread(target=self._wait, args=(mark, time.monotonic()))
        thread.start()
        self.threads.append(thread)

    def _wait(self, mark: str, since: float) -> None:
        while (alive := list(marked(mark))) and time.monotonic() - since < 2 * OUTLIVE:
            time.sleep(0.5)
        self.seconds.append(float("inf") if alive else time.monotonic() - since)

    def longest(self) -> float:
        for thread in self.threads:
            thread.join()
        return max(self.seconds, default=0.0)


@dataclass
class Chain:
    """Kills in a row on one store."""

    victim: Victim
    db: Path
    rng: random.Random
    kills: int = 0
    lost: int = 0
    repeated: int = 0
    known: set[str] = field(default_factory=set)

    def run(self, most: int, duration: float, orphans: Orphans) -> None:
        """Kill up to so many times, or until the command is faster than the killer."""
        for number in range(most):
            mark, done = uuid.uuid4().hex, computed(self.db)
            calls = self.db.with_name(f"calls-{number}")
            process = start(*self.victim.command(self.db), env=environment(mark, calls))
            strike(self.victim, process, self.db, duration, self.rng)
            if not kill(process):
                return
            orphans.watch(mark)
            self.kills += 1
            self.repeated += len(done & called(calls))
            self.victim.check(self.db)
            now = self.victim.seen(self.db)
            self.lost += len(self.known - now)
            self.known |= now

    def end(self, expected: object) -> None:
        """The next command finishes; the table is that of an undisturbed run, and all that was known is there."""
        done, calls = computed(self.db), self.db.with_name("calls-last")
        finish(*self.victim.command(self.db), env=environment("", calls))
        self.repeated += len(done & called(calls))
        self.lost += len(self.known - self.victim.seen(self.db))
        stuck = int(self.victim.table(self.db) != expected)
        if self.kills:
            injected(
                f"driver killed: {self.victim.kind}", self.kills, lost=self.lost, repeated=self.repeated, stuck=stuck
            )


def environment(mark: str, calls: Path) -> dict[str, str]:
    """Of a driver: what its processes are known by, and where its runner notes what it is called for."""
    return {**os.environ, "MLMAT_FAULT_MARK": mark, "MLMAT_FAULT_CALLS": str(calls)}


def called(calls: Path) -> set[str]:
    """Structures that a runner was called for."""
    return set(calls.read_text().split()) if calls.exists() else set()


def asked(*queries: str) -> Callable[[Path], object]:
    """A table that is told by queries; the folder of the store does not count."""

    def table(db: Path) -> object:
        store = Store.open(db)
        return [repr(store.arrow(query).to_pylist()).replace(str(db.parent), "") for query in queries]

    return table


def killed(victim: Victim, kills: int, folder: Path) -> None:
    """Kill a command so many times, several times in a row on each store."""
    rng, orphans = chance("killed", victim.kind), Orphans()
    duration, expected = undisturbed(victim, folder / "undisturbed")
    for number in range(10 + 5 * kills):
        if kills == 0:
            break
        chain = Chain(victim, placed(victim, folder / str(number)), rng)
        chain.run(min(kills, rng.randint(1, victim.most)), duration, orphans)
        chain.end(expected)
        kills -= chain.kills
        if not chain.kills:  # it was measured while the machine had more to do
            duration *= 0.8
    assert kills == 0, "the command is nearly always faster than the killer"
    longest = orphans.longest()
    print(f"{victim.kind}: the last process ended {longest:.1f} s after its driver")
    assert longest < OUTLIVE


def placed(victim: Victim, folder: Path) -> Path:
    """A folder of its own with the store of a victim."""
    folder.mkdir(parents=True)
    db = folder / "s.duckdb"
    victim.make(db)
    return db


def undisturbed(victim: Victim, folder: Path) -> tuple[float, object]:
    """How long the command takes in s, and the table that it makes."""
    db = placed(victim, folder)
    before = time.monotonic()
    finish(*victim.command(db), env=environment("", db.with_name("calls")))
    duration = time.monotonic() - before
    return duration, victim.table(db)
