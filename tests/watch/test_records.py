"""What drivers tell beside a store: whole or not at all, of the living and the dead, and how it is forgotten."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from mlmat import provenance
from mlmat.cli._run_text import blocks, duration, ended_blocks, progress, runs_lines
from mlmat.parsl_config import is_ours, make_config
from mlmat.screen._recorder import LOGS, prune
from mlmat.store import Store
from mlmat.store.access import runs as run_files
from mlmat.store.access.hosts import LeaseManager


def record(**more: object) -> dict[str, object]:
    about = {"run_id": provenance.new_id(), "who": "process 1 on here", "host": provenance.host(), "method_id": "m"}
    words = {"method": "slow", "config": "local", "command": "mlmat screen", "total": 10, "outcome": None}
    return {**about, **words, "updated": time.time(), "clean": False, **more}


def put(store: Store, **more: object) -> str:
    found = record(**more)
    path = run_files.place(store.folder, str(found["run_id"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    run_files.write(path, found)
    return str(found["run_id"])


def test_a_driver_lives_as_long_as_it_holds_its_lock(store: Store) -> None:
    run = put(store)
    assert [(found["run_id"], found["alive"]) for found in store.runs()] == [(run, False)]
    with store.driver("m", "process 1 on here"):
        assert store.runs()[0]["alive"]
    with store.driver("m", "process 2 on here"):  # another one, after it
        assert not store.runs()[0]["alive"]
    with store.driver("m", "process 1 on here"):
        run_files.write(run_files.place(store.folder, run), record(run_id=run, outcome="finished"))
        assert not store.runs()[0]["alive"]


def test_of_another_host_a_fresh_word_counts(store: Store) -> None:
    """Its lock may not be seen from here."""
    put(store, host="elsewhere", updated=time.time() - 2 * run_files.FRESH)
    put(store, host="elsewhere")
    assert [found["alive"] for found in store.runs()] == [True, False]


def test_of_another_host_its_claim_counts(store: Store) -> None:
    put(store, host="elsewhere", updated=time.time() - 2 * run_files.FRESH)
    hosts = LeaseManager(store.folder / "hosts")
    hosts.folder.mkdir(parents=True)
    assert not run_files.states(store.folder, hosts)[0]["alive"]
    about = {"host": "elsewhere", "boot": "", "pid": 1, "who": "process 1 on here"}
    hosts.path("method-m", 1).write_text(json.dumps(about))
    assert run_files.states(store.folder, hosts)[0]["alive"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 1}', "null", "\0"])
def test_what_is_no_record_is_passed_over(store: Store, text: str) -> None:
    run = put(store)
    (store.folder / "runs" / "0.json").write_text(text)
    (store.folder / "runs" / "1.json").mkdir()
    assert [found["run_id"] for found in store.runs()] == [run]


def test_a_record_is_replaced_in_whole_and_leaves_no_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = put(store, total=5)
    path = run_files.place(store.folder, run)
    with pytest.raises(TypeError):
        run_files.write(path, {1j: 1})
    assert json.loads(path.read_text())["total"] == 5
    assert [one.name for one in (path.parent).iterdir()] == [path.name]


def test_old_records_are_forgotten_but_for_those_that_left_something(store: Store) -> None:
    left = put(store)
    for _ in range(run_files.KEEP + 5):
        newest = put(store, outcome="finished", clean=True)
    run_files.forget(store.folder)
    found = [one["run_id"] for one in store.runs()]
    assert (len(found), found[0], found[-1]) == (run_files.KEEP + 1, newest, left)


def test_logs_of_the_last_runs_are_kept_and_of_those_that_are_needed(store: Store, tmp_path: Path) -> None:
    runs = [provenance.new_id() for _ in range(LOGS + 10)]
    folder = tmp_path / "parsl"
    for name in (*runs, "000", "001"):
        (folder / name / "local").mkdir(parents=True)
    needed = [{"run_id": runs[0], "alive": True}, {"run_id": runs[1], "alive": False, "clean": False}]
    needed += [{"run_id": runs[2], "alive": False, "clean": True}]
    prune(folder, needed)
    assert sorted(one.name for one in folder.iterdir()) == sorted([*runs[:2], *runs[-LOGS:], "000", "001"])


def test_a_folder_for_logs_that_the_user_has_chosen_is_not_ours(store: Store, tmp_path: Path) -> None:
    chosen = Config(executors=[ThreadPoolExecutor()], run_dir=str(tmp_path / "elsewhere" / "parsl"))
    assert not is_ours(make_config(chosen, store.folder / "parsl"), store.folder)
    assert is_ours(make_config(Config(executors=[ThreadPoolExecutor()]), store.folder / "parsl"), store.folder)
    assert is_ours(make_config("local", store.folder / "parsl"), store.folder)


def test_status_names_each_method_once_and_whoever_left_something(store: Store) -> None:
    class Nothing(list[int]):
        unseen = ""

    put(store, outcome="failed", why="first", clean=True, ended_at="2026-01-01T00:00:00+00:00")
    put(store, outcome="finished", clean=True, ended_at="2026-01-02T00:00:00+00:00", ok=10)
    put(store, method_id="other", method="fast")
    text = "\n".join(runs_lines(store.runs(), lambda _: Nothing()))  # type: ignore[arg-type, return-value]
    assert "first" not in text
    assert "slow by process 1 on here: finished at 2026-01-02 00:00:00 UTC\n            10 of 10 done" in text
    assert "fast by process 1 on here: gone without a word" in text


def test_how_far_a_run_is() -> None:
    about = {"total": 1000, "ok": 90, "failed": 10, "rate": 0.5, "eta": 1800.0, "workers": 8, "batches": 2,
             "structures": 20, "alive": True, "updated": time.time()}  # fmt: skip
    assert progress(about) == (
        "100 of 1,000 done (10 failed), 0.5/s, 30 min left, 8 workers, 20 structures in 2 batches under way"
    )
    assert "silent for 5 min" in progress({**about, "updated": time.time() - 301})


def block(number: int, state: str, **more: object) -> dict[str, object]:
    about = {"block": str(number), "job": str(100 + number), "kind": "slurm", "reason": "", "nodes": "", "over": False}
    return {**about, "state": state, **more}


def test_some_blocks_are_named_and_many_are_counted() -> None:
    running = block(0, "running", nodes="vn1")
    waiting = [block(i, "pending", reason="Resources") for i in range(1, 9)]
    assert list(blocks([running, waiting[0]])) == [
        "block 0 (job 100): running on vn1", "block 1 (job 101): pending: Resources"]  # fmt: skip
    assert list(blocks([running, *waiting])) == ["blocks: 1 running, 8 pending (Resources)"]
    assert list(blocks([block(0, "running", kind="local")])) == []
    lost = block(3, "cancelled", at="2026-01-01T03:12:00+00:00")
    assert list(ended_blocks({"ended_blocks": [lost, block(4, "completed")]})) == [
        "lost: block 3 (job 103): cancelled, at 2026-01-01 03:12:00 UTC", "1 block came to the end"]  # fmt: skip


@given(st.floats(0, 1e8))
@example(17_191.0)  # 4 h 46.5 min
@example(10_799.0)  # 2 h 59.98 min
def test_a_span_of_time_is_short_and_right(seconds: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
    parts = duration(seconds).split()
    told = sum(float(number) * units[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))
    assert told - 1 <= seconds < told + units[parts[-1]] + 1
    assert len(parts) <= 4
