"""A screen as a process: stopped, killed, and started again; with real HTEX workers."""

from __future__ import annotations

import os
import pty
import signal
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest
from faults.tools import counted, finish, start, until
from flows.screens import assert_each_has_one_result, hold, journal_bytes, screen

from mlmat.store import Store

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("config", ["local", pytest.param("threads", marks=pytest.mark.faults)])
def test_stopped_by_ctrl_c_and_started_again(store: Store, config: str) -> None:
    slow = (*screen(store, "slow.py", "--config", config), "--set", "seconds=0.3")
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


@pytest.mark.faults
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
    relaxing = ("--set", "relax=cell", "--set", "fmax=1e-12", "--set", "max_steps=30", "--where", "nsites <= 8")
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


@pytest.mark.faults
def test_a_terminal_that_is_lost_stops_the_screen_cleanly(store: Store) -> None:
    arguments = [*screen(store, "slow.py"), "--set", "seconds=0.3"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "mlmat", *map(str, arguments)])
    drained = threading.Thread(target=_read_all, args=(terminal,), daemon=True)
    drained.start()
    until(lambda: counted(store, "result") > 5)
    children = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGHUP)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert store.sql("SELECT outcome FROM run WHERE command = 'screen'")["outcome"].tolist() == ["stopped"]
    until(lambda: not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE], seconds=20)
    finish(*arguments)
    assert counted(store, "result") == 71
    assert_each_has_one_result(store, 71)


def _read_all(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass
