"""Calls in processes that may crash or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlmat.errors import ReadError
from mlmat.processes.isolation import Crashed, isolated_map

CALL = "isolated_calls:call"
FINE = [f"item {i}" for i in range(50)]


def outcomes(items: list[str], processes: int = 2, time_limit: float = 30.0) -> dict[str, object]:
    found = list(isolated_map(CALL, items, processes=processes, time_limit=time_limit))
    assert sorted(item for item, _ in found) == sorted(items)
    return dict(found)


def test_every_item_comes_back_once() -> None:
    assert outcomes(FINE, 3) == {item: item.upper() for item in FINE}
    assert outcomes([]) == {}
    assert outcomes(["one"], 4) == {"one": "ONE"}


def test_a_bad_item_costs_itself_only() -> None:
    items = [*FINE[:20], "segfault", *FINE[20:30], "raise", "exit", "eat", "large", *FINE[30:]]
    found = outcomes(items)
    assert {item: found[item] for item in FINE} == {item: item.upper() for item in FINE}
    assert found["segfault"] == Crashed("crashed its process (SIGSEGV)")
    assert found["exit"] == Crashed("crashed its process (exit code 3)")
    assert found["raise"] == Crashed("raised ValueError: two lines")
    assert found["eat"] == Crashed("needs more than 6 GB of memory")
    assert found["large"] == "x" * 5_000_000


def test_an_item_that_hangs_is_ended_and_the_others_do_not_wait_for_its_neighbours() -> None:
    found = outcomes([*FINE[:3], "spin", *FINE[3:6], "slow", "slow too"], time_limit=0.6)
    assert found.pop("spin") == Crashed("took longer than 0.6 s")
    assert not any(isinstance(value, Crashed) for value in found.values())


def test_importing_does_not_count_against_the_first_item() -> None:
    assert outcomes(FINE[:4], time_limit=0.05) == {item: item.upper() for item in FINE[:4]}


def test_a_function_that_cannot_be_imported_is_no_items_fault(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReadError, match="did not start"):
        list(isolated_map("no_such_module:f", FINE, processes=2, time_limit=5))
    assert "no_such_module" in capfd.readouterr().err


def test_modules_in_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong random')")
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in str(outcomes(["directory"])["directory"])


def test_an_abandoned_iteration_leaves_no_processes() -> None:
    before = set(children_of(os.getpid()))
    found = isolated_map(CALL, FINE, processes=2, time_limit=30)
    next(found)
    assert len(set(children_of(os.getpid())) - before) == 2
    found.close()  # type: ignore[attr-defined]
    assert set(children_of(os.getpid())) <= before


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys; from mlmat.processes.isolation import isolated_map\n"
        f"for pair in isolated_map({CALL!r}, ['spin', *[f'i{{k}}' for k in range(15)], 'slow'], processes=2, "
        f"time_limit=1.0, extra=({str(log)!r},)): pass"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=env)
    waited(lambda: log.exists() and " spin" in log.read_text() and len(children_of(parent.pid)) == 2)
    children = children_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    # The one that spins ends itself when its time and a margin are over.
    waited(lambda: not any(alive(pid) for pid in children), seconds=15)


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(entry.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waited(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
