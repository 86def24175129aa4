"""Runs that are watched from another process, die, are stopped, and are understood afterwards."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.rooms import Room
from faults.tools import CRYSTALS, SLOW, finish, start, until

from mlmat.processes import machine
from mlmat.screen.orphans import MARK
from mlmat.store import Store

pytestmark = pytest.mark.slow

#: HTEX as a user writes it: nothing ends its processes when the driver dies.
PLAIN = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

htex = HighThroughputExecutor(label="mine", address="127.0.0.1", loopback_address="127.0.0.1", max_workers_per_node=1,
                              heartbeat_period=2, heartbeat_threshold=100, block_error_handler=False,
                              provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1))
config = Config(executors=[htex], initialize_logging=False, usage_tracking=0, strategy="simple", strategy_period=1)
"""


class Work:
    """A store with structures and a slow runner."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.db, self.runner = folder, folder / "s.duckdb", folder / "slow.py"
        self.runner.write_text(SLOW)
        finish("ingest", CRYSTALS, "--db", self.db)
        self.store = Store(self.db)

    def screen(self, seconds: float, config: object = "threads", *more: object) -> subprocess.Popen[str]:
        settings = ("--set", f"seconds={seconds}")
        # What outlives it has its standard error: a pipe would stay open.
        with (self.folder / "err").open("w") as err:
            return start(
                "screen",
                "--runner",
                self.runner,
                *settings,
                "--config",
                config,
                "--db",
                self.db,
                *more,
                stderr=err,
                stdout=err,
            )

    def said(self) -> str:
        """What the last screen said."""
        return (self.folder / "err").read_text()

    def told(self) -> dict[str, object]:
        """The record of the newest run."""
        found = self.store.runs()
        return found[0] if found else {"ok": 0, "alive": False}

    def until_done(self, count: int, seconds: float = 60) -> None:
        until(lambda: self.told().get("ok", 0) >= count, seconds)  # type: ignore[operator]

    def status(self, *more: object) -> str:
        return finish("status", "--db", self.db, *more)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def of_run(run: str) -> Iterator[int]:
    """Living processes that a run has started."""
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={run}".encode() in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)
        except OSError:
            pass


def test_a_run_is_watched_to_its_end_by_another_process(work: Work) -> None:
    driver = work.screen(0.25)
    until(lambda: work.told()["alive"])
    text = work.status()
    assert re.search(
        rf"at work     slow .*by process {driver.pid} on \S+, since 2\d{{3}}-.* UTC \(--config threads\)", text
    )
    assert text.count(f"process {driver.pid}") == 1
    watcher = start("status", "--watch", "--db", work.db)
    out, _ = watcher.communicate(timeout=90)
    assert driver.wait(10) == 0
    assert watcher.returncode == 0
    *changes, last, counts = out.splitlines()
    assert len(changes) >= 3
    assert len(set(changes)) == len(changes)
    assert all(re.match(r"\d\d:\d\d:\d\d slow seconds=0.25: \d+ of 71 done", line) for line in changes)
    assert any(re.search(r"/s, \d+ s left, \d workers?, \d+ structures in \d batch", line) for line in changes)
    assert re.match(rf"last run    slow .*process {driver.pid} .*: finished at ", last)
    assert counts == "            71 of 71 done"
    run = str(work.told()["run_id"])
    assert "71 of 71 done" in work.status()
    assert f"{run}, on " in finish("show", run, "--db", work.db)
    assert [one.name for one in (work.folder / "s.duckdb.d" / "parsl").iterdir()] == [run]
    assert [one.name for one in (work.folder / "s.duckdb.d" / "runs").iterdir()] == [f"{run}.json"]


def test_nobody_is_at_work(work: Work) -> None:
    assert work.status("--watch") == "nobody is at work on this store\n"


def test_a_terminal_is_drawn_anew_and_left_with_ctrl_c(work: Work) -> None:
    driver = work.screen(0.3)
    until(lambda: work.told()["alive"])
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "mlmat", "status", "--watch", "--db", str(work.db)]
    watcher = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    seen = b""
    deadline = time.monotonic() + 30
    while seen.count(b"\x1b[J") < 3 and time.monotonic() < deadline:
        seen += os.read(mine, 4096)
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(10) == 130
    os.close(mine)
    assert re.search(rb"\x1b\[\d+F\x1b\[Jat work     slow", seen)
    assert b"Traceback" not in seen
    assert driver.poll() is None
    driver.terminate()
    assert driver.wait(30) == 130
    text = work.status()
    assert "stopped at " in text
    assert "(asked to (SIGTERM))" in text
    assert "stopping: waiting up to" in text


def test_a_terminal_that_is_closed_stops_a_screen(work: Work) -> None:
    driver = work.screen(0.3)
    work.until_done(1)
    driver.send_signal(signal.SIGHUP)
    assert driver.wait(30) == 130
    assert "(asked to (SIGHUP))" in work.status()


@pytest.mark.parametrize("config", [pytest.param("local", marks=pytest.mark.faults), "file"])
def test_what_a_killed_driver_left_is_named_and_ended(work: Work, config: str) -> None:
    (work.folder / "mine.py").write_text(PLAIN)
    where = work.folder / "mine.py" if config == "file" else config
    driver = work.screen(0.3, where)
    work.until_done(1)
    run = str(work.told()["run_id"])
    ((interchange, _),) = work.told()["processes"]  # type: ignore[misc]
    watcher = start("status", "--watch", "--db", work.db)
    until(lambda: watcher.stdout and watcher.stdout.readline())
    driver.kill()
    assert driver.wait(10) == -signal.SIGKILL
    out, _ = watcher.communicate(timeout=30)
    assert watcher.returncode == 1
    assert f"process {driver.pid} on " in out
    assert "gone without a word after " in out
    if config == "file":  # nothing else ends them
        assert list(of_run(run))
        assert re.search(
            r"left behind: process(es)? \d+(, \d+)*.*; the next `mlmat screen` of this store ends", work.status()
        )
    driver = work.screen(0.01, where)
    until(lambda: work.told()["run_id"] != run)
    assert not list(of_run(run))
    assert machine.born(interchange) is None
    assert driver.wait(90) == 0, work.said()
    if config == "file":
        assert f"what process {driver.pid} on " not in work.said()
        assert re.search(r"mlmat: what process \d+ on .* had left is ended: process(es)? \d+", work.said())
    text = work.status()
    assert "left behind" not in text
    assert "finished at" in text
    assert "(killed, or its host went down)" in finish("show", run, "--db", work.db)


def test_why_a_run_failed_stands_there_in_the_morning(work: Work) -> None:
    (work.folder / "mine.py").write_text(PLAIN)
    driver = work.screen(0.3, work.folder / "mine.py")
    work.until_done(1)
    ((interchange, _),) = work.told()["processes"]  # type: ignore[misc]
    os.kill(interchange, signal.SIGKILL)
    assert driver.wait(60) == 1
    text = work.status()
    assert re.search(r"last run .*: failed at .* \(RunnerError: parsl's interchange has died", text)
    assert "of 71 done" in text


@pytest.mark.faults
def test_a_block_that_is_lost_is_told(work: Work) -> None:
    (work.folder / "mine.py").write_text(PLAIN.replace("heartbeat_threshold=100", "heartbeat_threshold=6"))
    driver = work.screen(0.15, work.folder / "mine.py")
    work.until_done(8)
    (manager, *_) = [pid for pid in of_run(str(work.told()["run_id"])) if b"process_worker_pool" in cmdline(pid)]
    os.killpg(os.getpgid(manager), signal.SIGKILL)
    until(lambda: work.told()["ended_blocks"], 30)
    assert "lost: block 0: cancelled: Killed, at " in work.status()
    assert driver.wait(90) == 0, work.said()
    text = work.status()
    assert "71 of 71 done" in text
    assert "lost: block 0" in text


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_who_watches_writes_nothing(work: Work, tmp_path: Path) -> None:
    assert work.screen(0.01).wait(60) == 0
    room = Room(tmp_path, None)
    try:
        for command in (("status",), ("status", "--watch")):
            process = room.mlmat(*command, "--db", work.db)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert "finished at" in out
    finally:
        room.close()
