"""What the system tells, by /proc, and by psutil as where there is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlmat.errors import UsageError
from mlmat.parsl_config import make_config
from mlmat.processes import child, machine
from mlmat.screen import _limits
from mlmat.store.access import locks, mounts


@pytest.fixture(params=["proc", "psutil"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to know."""
    if request.param == "psutil":
        monkeypatch.setattr(machine, "PROC", Path("/there/is/none"))
        assert not machine.has_proc()
    elif not machine.has_proc():
        pytest.skip("no /proc here")


@pytest.fixture
def other() -> subprocess.Popen[bytes]:
    """A process with a mark in its environment."""
    sleeper = subprocess.Popen(["sleep", "60"], env={**os.environ, "MLMAT_MARK": "here"})
    time.sleep(0.1)  # until it is no longer a copy of this one
    yield sleeper
    sleeper.kill()
    sleeper.wait()


@pytest.mark.usefixtures("ways")
def test_a_process_is_known_until_it_is_dead(other: subprocess.Popen[bytes]) -> None:
    pid = other.pid
    born = machine.born(pid)
    assert born is not None
    assert machine.born(pid) == born
    assert machine.parent_of(pid) == os.getpid()
    assert machine.name_of(pid) == "sleep"
    assert locks.process(pid) == f"process {pid} (sleep)"
    assert abs((machine.began(pid) or 0) - time.time()) < 30
    assert pid in machine.with_variable("MLMAT_MARK", "here")
    assert pid not in machine.with_variable("MLMAT_MARK", "elsewhere")
    other.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while machine.born(pid) is not None:  # it stays, dead, until somebody asks how it ended
        assert time.monotonic() < deadline
        time.sleep(0.01)
    other.wait()
    assert machine.born(pid) is machine.began(pid) is machine.parent_of(pid) is machine.name_of(pid) is None
    assert locks.process(pid) == f"process {pid}"


@pytest.mark.usefixtures("ways")
def test_memory_and_cores() -> None:
    assert 10_000_000 < machine.memory() < 10**15
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


def test_cores_where_no_process_is_bound_to_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.cores() == os.cpu_count()


def test_mounts_without_the_kernels_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import psutil

    class Mount:
        mountpoint, fstype = str(tmp_path / "a disk"), "nfs"

    monkeypatch.setattr(mounts, "TABLE", tmp_path / "none")
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [Mount])
    assert mounts.network(tmp_path / "a disk" / "x.duckdb") == "nfs"
    assert mounts.network(tmp_path / "x.duckdb") is None


def test_a_limit_that_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(child, "LIMITS_MEMORY", False)
    config = make_config("local", tmp_path)
    with pytest.raises(UsageError, match="--memory-limit holds on Linux only"):
        _limits(config, None, 2.0)
    assert _limits(config, 3.0, None) == {"time_limit": 3.0, "memory_limit": None}


def test_a_child_ends_with_its_parent_without_the_signal() -> None:
    inner = "import ctypes, os, time; ctypes.CDLL = lambda name: object(); from mlmat.processes import child; "
    inner += "print(os.getpid(), flush=True); child.end_with_parent(); time.sleep(60)"
    outer = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {inner!r}]); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while machine.born(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
