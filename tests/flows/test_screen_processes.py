"""A screen as a process: stopped, killed, watched, and beside others; with real HTEX workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from faults.tools import CRYSTALS, SLOW, counted, finish, start, until

from mlmat.store import Store, open_store

DEADLY = """
import ctypes, os
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version = "deadly", "1"
    def run(self, atoms):
        formula = atoms.get_chemical_formula()
        if formula == "Si8":
            os.kill(os.getpid(), 9)
        if formula == "Mg4O4":
            ctypes.string_at(0)
        return {"energy": 1.0}
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the 71 shipped crystals, and runner files beside it."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "deadly.py").write_text(DEADLY)
    db = tmp_path / "s.duckdb"
    finish("ingest", CRYSTALS, "--db", db)
    return open_store(db)


def screen(store: Store, runner: str = "slow.py", *more: object) -> tuple[object, ...]:
    return ("screen", "--runner", store.path.parent / runner, "--db", store.path, *more)


def assert_each_has_one_result(store: Store, structures: int) -> None:
    assert counted(store, "current_result") == structures
    assert counted(store, "(SELECT DISTINCT structure_id FROM result)") == structures


@pytest.mark.parametrize("config", ["local", "threads"])
def test_stopped_by_ctrl_c_and_started_again(store: Store, config: str) -> None:
    slow = (*screen(store, "slow.py", "--config", config), "--set", "seconds=0.6")
    process = start(*slow)
    until(lambda: counted(store, "result") > 5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "still pending" in out
    recorded = set(store.sql("SELECT result_id::VARCHAR AS i FROM result")["i"])
    assert 5 < len(recorded) < 71
    finish(*slow)
    assert recorded <= set(store.sql("SELECT result_id::VARCHAR AS i FROM result")["i"])
    assert counted(store, "result") == 71
    assert_each_has_one_result(store, 71)
    assert "nothing to do" in finish(*slow)


def test_killed_driver_loses_nothing_that_was_recorded(store: Store) -> None:
    process = start(*screen(store))
    until(lambda: counted(store, "result") > 5)
    recorded = set(store.sql("SELECT result_id::VARCHAR AS i FROM result")["i"])
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert recorded <= set(store.sql("SELECT result_id::VARCHAR AS i FROM result")["i"])
    finish(*screen(store))
    assert_each_has_one_result(store, 71)
    assert counted(store, "result") == 71
    assert recorded <= set(store.sql("SELECT result_id::VARCHAR AS i FROM result")["i"])
    until(lambda: not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE], seconds=30)


def hold(store: Store) -> subprocess.Popen[str]:
    """A process that keeps the store open for reading, as a forgotten notebook does."""
    code = (
        "import duckdb, sys, time; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print('in', flush=True); time.sleep(99)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def journal_bytes(store: Store) -> int:
    return sum(f.stat().st_size for f in (store.folder / "journal").glob("*.journal"))


def test_what_a_killed_driver_left_in_its_journal_is_not_computed_again(store: Store) -> None:
    process = start(*screen(store, "slow.py", "--set", "seconds=0.05", "--config", "threads"))
    until(lambda: counted(store, "run WHERE command = 'screen'") == 1)
    holder = hold(store)
    until(lambda: journal_bytes(store) > 0)
    process.kill()
    process.communicate()
    holder.kill()
    holder.wait()
    assert store.status()["journal_bytes"] > 0
    before = counted(store, "result")
    finish(*screen(store, "slow.py", "--set", "seconds=0.05", "--config", "threads"))
    assert counted(store, "result") == 71 > before
    assert counted(store, "(SELECT DISTINCT run_id FROM result)") == 2
    assert store.status()["journal_bytes"] == 0


def test_a_screen_that_ends_while_the_store_is_held_leaves_its_results_to_the_next_command(store: Store) -> None:
    arguments = screen(store, "slow.py", "--set", "seconds=0.02", "--config", "threads")
    process = start(*arguments)
    until(lambda: counted(store, "run WHERE command = 'screen'") == 1)
    holder = hold(store)
    out, err = process.communicate(timeout=90)
    holder.kill()
    holder.wait()
    assert process.returncode == 0, err
    assert "71 ok" in out
    assert "journal" in out
    assert "nothing to do" in finish(*arguments)
    assert counted(store, "result") == 71


def test_questions_are_answered_while_a_screen_runs(store: Store) -> None:
    process = start(*screen(store, "slow.py", "--set", "seconds=0.3"))
    until(lambda: counted(store, "result") > 0)
    waits = []
    while process.poll() is None and len(waits) < 40:
        before = time.monotonic()
        counted(store, "result")
        waits.append(time.monotonic() - before)
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert max(waits) < 2


def test_second_screen_of_the_method_is_told_who_is_at_work(store: Store) -> None:
    process = start(*screen(store))
    until(store.drivers)
    second = start(*screen(store))
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"process {process.pid}" in err
    assert "Traceback" not in err
    assert "at work" in finish("status", "--db", store.path)
    other = finish(*screen(store, "slow.py", "--set", "seconds=0.0", "--config", "threads"))
    assert "71 ok" in other
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_reader_who_stays_does_not_stop_the_screen(store: Store) -> None:
    process = start(*screen(store, "slow.py", "--set", "seconds=0.05", "--config", "threads"))
    until(lambda: counted(store, "run WHERE command = 'screen'") == 1)
    holder = hold(store)
    until(lambda: journal_bytes(store) > 0, seconds=15)
    before = time.monotonic()
    assert store.status()["journal_bytes"] > 0
    assert time.monotonic() - before < 2
    holder.kill()
    holder.wait()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "71 ok" in out
    assert_each_has_one_result(store, 71)


def test_structures_that_kill_their_worker_fail_alone(store: Store) -> None:
    out = finish(*screen(store, "deadly.py"))
    assert "69 ok, 2 failed" in out
    failed = store.reduce("failures")
    assert sorted(failed["formula"]) == ["MgO", "Si"]
    assert set(failed["error_class"]) == {"WorkerLost"}
    assert_each_has_one_result(store, 71)


def test_worker_environment(store: Store) -> None:
    (store.path.parent / "env.py").write_text(
        "import os\nfrom mlmat.runner import WrappedAtomsRunner\n"
        "class Runner(WrappedAtomsRunner):\n"
        "    def run(self, atoms):\n"
        "        return {'threads': int(os.environ['OMP_NUM_THREADS']), 'worker': os.getpid()}\n"
    )
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    process = start(*screen(store, "env.py", "--limit", 30), env=environment)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    seen = store.reduce("env")
    assert set(seen["threads"]) == {1}


def test_a_second_ctrl_c_ends_at_once_and_keeps_what_came_back(store: Store) -> None:
    process = start(*screen(store, "slow.py", "--set", "seconds=5", "--config", "threads"))
    until(lambda: counted(store, "run WHERE command = 'screen'") == 1)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - before < 20
    assert process.returncode == 130, err
    assert "stopping" in err
    assert store.sql("SELECT outcome FROM run WHERE command = 'screen'")["outcome"].tolist() == ["stopped"]


def test_a_dead_interchange_ends_the_screen_with_a_word(store: Store) -> None:
    process = start(*screen(store, "slow.py"))
    until(lambda: counted(store, "result") > 0)
    (interchange,) = [c for c in psutil.Process(process.pid).children() if "interchange" in " ".join(c.cmdline())]
    interchange.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interchange has died" in err
    assert "Traceback" not in err


def test_mace_on_workers_stopped_and_started_again(store: Store) -> None:
    # An fmax that nothing reaches: every structure takes all its steps, so that there is something left to stop.
    relaxing = ("--set", "relax=cell", "--set", "fmax=1e-12", "--set", "max_steps=60", "--where", "nsites <= 8")
    arguments = ("screen", "--runner", "mace", *relaxing, "--db", store.path)
    structures = counted(store, "structure WHERE nsites <= 8")
    process = start(*arguments)
    until(lambda: journal_bytes(store) > 0 or counted(store, "result") > 0, seconds=120)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 130, err
    recorded = counted(store, "result")
    finish(*arguments)
    assert counted(store, "result") == structures > recorded
    assert_each_has_one_result(store, structures)
    found = store.reduce("mace")
    assert found["energy_per_atom"].notna().all()
    assert found["relaxed"].str.len().min() == 20
