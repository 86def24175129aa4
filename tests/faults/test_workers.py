"""Workers, managers and their children that die, and runners that misbehave in every way: a structure at most pays."""

from __future__ import annotations

import os
import random
import socket
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from faults.tools import chance, counted, finish, injected, marked, start, until

from mlmat.store import Store, open_store

STRUCTURES = 71
pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

#: HTEX that notices a lost manager soon and brings a new block at once.
CLUSTER = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider
from mlmat import parsl_config
from mlmat.parsl_config._programs import interchange_command, manager_command

def config(folder):
    executor = HighThroughputExecutor(
        label="quick", address="127.0.0.1", loopback_address="127.0.0.1", max_workers_per_node=WORKERS,
        cores_per_worker=0.5, heartbeat_period=1, heartbeat_threshold=3, block_error_handler=False,
        interchange_launch_cmd=interchange_command(), launch_cmd=manager_command(same_host=True),
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, launcher=SimpleLauncher(),
                               worker_init=parsl_config.worker_init(1)),
    )
    return Config(executors=[executor], run_dir=str(folder), strategy="simple", strategy_period=1,
                  initialize_logging=False, retries=0, usage_tracking=0)
"""
SLOW = """
import os, time
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version, columns, batch_atoms = "slow", "1", {"energy": "DOUBLE -- eV"}, 20

    def run(self, atoms):
        fd = os.open(CALLS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(fd, b".")
        os.close(fd)
        time.sleep(0.25)
        return {"energy": -float(atoms.numbers.sum())}
"""
MISBEHAVES = """
import ctypes, os, subprocess, sys, time
import numpy as np
from mlmat.runner import WrappedAtomsRunner
from mlmat.materials.structure import structure_id

class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__("two arguments, of which pickle knows one")
        self.handle = open(os.devnull)
    def __reduce__(self):
        raise TypeError("cannot be pickled")

class Liar(dict):
    def items(self):
        raise RuntimeError("these are not your items")

def hang():
    ctypes.PyDLL(None).sleep(1000)

def fork_and_leave():
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
    os._exit(7)

def recurse():
    return recurse()

ENERGY = {"energy": 1.0, "forces": [[0.0, 0.0, 0.0]]}
DEEDS = {
    "killed": lambda: os.kill(os.getpid(), 9),
    "terminated": lambda: os.kill(os.getpid(), 15),
    "segfault": lambda: ctypes.string_at(0),
    "abort": lambda: os.abort(),
    "os._exit": lambda: os._exit(0),
    "forked": fork_and_leave,
    "hang in C": hang,
    "hang in Python": lambda: time.sleep(1000),
    "hang in a program": lambda: subprocess.run(["sleep", "1000"]),
    "sys.exit": lambda: sys.exit("enough"),
    "KeyboardInterrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
    "unpicklable": lambda: (_ for _ in ()).throw(Unpicklable(1, 2)),
    "recursion": recurse,
    "memory": lambda: bytearray(20 << 30),
    "NaN": lambda: {**ENERGY, "energy": float("nan")},
    "infinite": lambda: {**ENERGY, "energy": np.float32("inf")},
    "shape": lambda: {**ENERGY, "forces": [[0.0, 0.0]]},
    "ragged": lambda: {**ENERGY, "forces": [[0.0, 0.0, 0.0], [1.0]]},
    "type": lambda: {**ENERGY, "energy": "minus one"},
    "NaN inside": lambda: {**ENERGY, "forces": [[0.0, 0.0, float("nan")]]},
    "missing": lambda: {"energy": 1.0},
    "nothing": lambda: None,
    "a list": lambda: [1, 2, 3],
    "a liar": lambda: Liar(ENERGY),
    "complex": lambda: {**ENERGY, "x": np.array([1j])},
    "a column of the store": lambda: {**ENERGY, "a\\x00b": 1},
    "100 MB": lambda: {**ENERGY, "x": "y" * 100_000_000},
    "100 MB of numbers": lambda: {**ENERGY, "x": np.zeros(12_500_000)},
}
NAMES = sorted(DEEDS)

class Runner(WrappedAtomsRunner):
    name, version = "misbehaves", "1"
    columns = {"energy": "DOUBLE -- eV", "forces": "DOUBLE[3][] -- eV/Å"}
    batch_atoms = 100

    def __init__(self, files=(), deeds=""):
        super().__init__(files)
        self.deeds = dict(pair.split("=") for pair in deeds.split(";") if pair)

    def run(self, atoms):
        deed = self.deeds.get(structure_id(atoms)[:12])
        return DEEDS[deed]() if deed else ENERGY
"""
#: What the row of each says: class, and a part of the message.
SAID = {
    "killed": ("WorkerLost", "SIGKILL"),
    "terminated": ("WorkerLost", "SIGTERM"),
    "segfault": ("WorkerLost", "SIGSEGV"),
    "abort": ("WorkerLost", "SIGABRT"),
    "os._exit": ("WorkerLost", "exit code 0"),
    "forked": ("WorkerLost", "exit code 7"),
    "hang in C": ("TimeLimit", "took longer than 3 s"),
    "hang in Python": ("TimeLimit", "took longer than 3 s"),
    "hang in a program": ("TimeLimit", "took longer than 3 s"),
    "sys.exit": ("SystemExit", "enough"),
    "KeyboardInterrupt": ("WorkerLost", "SIGINT"),
    "unpicklable": ("Unpicklable", "two arguments"),
    "recursion": ("RecursionError", "maximum recursion depth"),
    "memory": ("MemoryError", "needs more than 8 GB"),
    "NaN": ("BadRow", "energy"),
    "infinite": ("BadRow", "energy"),
    "shape": ("BadRow", "forces"),
    "ragged": ("BadRow", "forces"),
    "type": ("BadRow", "energy"),
    "NaN inside": ("BadRow", "forces: not finite"),
    "missing": ("BadRow", "forces: declared but not in the row"),
    "nothing": ("BadRow", "must return a mapping"),
    "a list": ("BadRow", "must return a mapping"),
    "a liar": ("BadRow", "these are not your items"),
    "complex": ("BadRow", "column x"),
    "a column of the store": ("BadRow", "column names must be printable"),
    "100 MB": ("BadRow", "100 MB"),
    "100 MB of numbers": ("BadRow", "100 MB"),
}
#: What would take the driver along, or never end, in its own threads.
NEEDS_A_PROCESS = {name for name, (kind, _) in SAID.items() if kind in ("WorkerLost", "TimeLimit")} | {"memory"}


@pytest.fixture
def store(ingested: Path, tmp_path: Path) -> Store:
    """The shipped crystals in a store of this test's own."""
    db = tmp_path / "s.duckdb"
    db.write_bytes(ingested.read_bytes())
    return open_store(db)


def cluster(store: Store, workers: int = 2) -> Path:
    path = store.path.with_name("cluster.py")
    path.write_text(CLUSTER.replace("WORKERS", str(workers)))
    return path


def screen(store: Store, runner: str, text: str, *more: object) -> tuple[object, ...]:
    path = store.path.with_name(f"{runner}.py")
    path.write_text(text)
    return ("screen", "--runner", path, "--db", store.path, *more)


def pieces(mark: str, kind: str) -> list[psutil.Process]:
    """The children, workers or managers of a screen that compute just now."""
    found = []
    for pid in marked(mark):
        with suppress(psutil.Error, IndexError):
            process = psutil.Process(pid)
            if "mlmat.worker.inside" in process.cmdline():
                found.append([process, *process.parents()][["child", "worker", "manager"].index(kind)])
    return found


def strike(mark: str, kind: str, source: random.Random) -> bool:
    """Kill one at random."""
    victims = pieces(mark, kind)
    with suppress(psutil.Error, IndexError):
        source.choice(victims).kill()
        return True
    return False


@pytest.mark.parametrize(("kind", "kills"), [("child", 5), ("worker", 4), ("manager", 4)])
def test_processes_that_are_killed_cost_no_structure(store: Store, kind: str, kills: int) -> None:
    """An operator, a walltime or the out-of-memory killer: none is the fault of a structure."""
    calls = store.path.with_name("calls")
    command = screen(store, "slow", SLOW.replace("CALLS", repr(str(calls))), "--config", cluster(store))
    mark, source = f"{os.getpid()}-{kind}", chance(kind)
    process = start(*command, mark=mark)
    struck = 0
    while struck < kills and process.poll() is None:
        until(lambda: pieces(mark, kind) or process.poll() is not None, seconds=60)
        time.sleep(source.uniform(0.3, 1.5))
        struck += strike(mark, kind, source)
        time.sleep(1)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert counted(store, "current_result WHERE status = 'ok'") == STRUCTURES
    assert counted(store, "result") == STRUCTURES
    until(lambda: not list(marked(mark)), seconds=30)
    assert struck >= 2
    # What had not come home when a process died is computed again: a batch for each, not the whole screen.
    assert calls.stat().st_size < STRUCTURES + struck * 40
    injected(f"{kind} killed", struck, lost=STRUCTURES - counted(store, "current_result"))


def misbehaving(store: Store, names: list[str]) -> dict[str, str]:
    """A deed for some structures, by the beginning of their ids."""
    ids = store.sql("SELECT structure_id FROM structure ORDER BY structure_id")["structure_id"].tolist()
    return dict(zip((i[:12] for i in chance("deeds").sample(ids, len(names))), names, strict=True))


def assert_each_failed_as_it_should(store: Store, deeds: dict[str, str]) -> None:
    failed = store.sql("SELECT * FROM current_result WHERE status = 'failed'")
    rows = {deeds.get(row.structure_id[:12]): row for row in failed.itertuples()}
    assert set(rows) == set(deeds.values())
    wrong = {
        name: (row.error_class, row.error_message)
        for name, row in rows.items()
        if row.error_class != SAID[name][0] or SAID[name][1] not in row.error_message
    }
    assert wrong == {}
    assert {row.host for row in rows.values()} == {socket.gethostname()}
    assert counted(store, "current_result WHERE status = 'ok' AND energy = 1.0") == STRUCTURES - len(deeds)
    assert counted(store, "result") == STRUCTURES


def test_runners_that_misbehave_in_worker_processes(store: Store) -> None:
    deeds = misbehaving(store, sorted(SAID))
    said = ";".join(f"{i}={name}" for i, name in deeds.items())
    limits = ("--time-limit", 3, "--memory-limit", 8)
    command = screen(store, "misbehaves", MISBEHAVES, "--set", f"deeds={said}", *limits)
    process = start(*command, mark=f"{os.getpid()}-misbehaves")
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert f"{len(deeds)} failed" in out
    assert_each_failed_as_it_should(store, deeds)
    until(lambda: not list(marked(f"{os.getpid()}-misbehaves")), seconds=30)
    for name in deeds.values():
        injected(f"runner: {name}")


def test_runners_that_misbehave_in_threads(store: Store) -> None:
    deeds = misbehaving(store, sorted(set(SAID) - NEEDS_A_PROCESS))
    said = ";".join(f"{i}={name}" for i, name in deeds.items())
    out = finish(*screen(store, "misbehaves", MISBEHAVES, "--set", f"deeds={said}", "--config", "threads"))
    assert f"{len(deeds)} failed" in out
    assert_each_failed_as_it_should(store, deeds)
    for name in deeds.values():
        injected(f"runner: {name}")


POISON = """
import os, psutil, signal
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version, columns, batch_atoms = "poison", "1", {"energy": "DOUBLE -- eV"}, 40

    def run(self, atoms):
        if atoms.get_chemical_formula() in ("Si8", "Mg4O4"):
            child, worker, manager = psutil.Process(), *psutil.Process().parents()[:2]
            manager.kill()
            worker.kill()
            child.kill()
        return {"energy": 1.0}
"""


def test_structures_that_take_their_manager_along_fail_in_the_end_and_nobody_else_does(store: Store) -> None:
    process = start(*screen(store, "poison", POISON, "--config", cluster(store)))
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert "69 ok, 2 failed" in out
    failed = store.reduce("failures")
    assert Counter(failed["formula"]) == {"MgO": 1, "Si": 1}
    assert set(failed["error_class"]) == {"WorkerLost"}
    assert counted(store, "result") == STRUCTURES
    injected("structure that kills its node's manager", 2)
