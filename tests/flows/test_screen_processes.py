"""A screen as a process: watched, beside others, and with structures that end their workers; with real HTEX workers."""

from __future__ import annotations

import os
import signal
import time

import pytest
from faults.tools import counted, finish, start, until
from flows.screens import assert_each_has_one_result, hold, journal_bytes, screen

from mlmat.store import Store

pytestmark = pytest.mark.slow


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
    assert time.monotonic() - before < 20  # it waits for nobody: that would be a minute
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
