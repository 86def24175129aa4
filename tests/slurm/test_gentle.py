"""A screen asks Slurm for no more than it needs, and lets other screens be."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from faults.tools import counted, until
from slurm.cluster import Cluster
from slurm.tools import STRUCTURES, Screening

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def questions(cluster: Cluster) -> int:
    """How often the controller was asked for jobs, by anybody."""
    kinds = r"REQUEST_JOB_(?:INFO|INFO_SINGLE|USER_INFO)\s+\(\s*\d+\) count:(\d+)"
    return sum(map(int, re.findall(kinds, cluster.call("sdiag").partition("by user")[0])))


def test_it_asks_gently(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, 1.0, {"poll_seconds": 8})
    process, began = work.start(), time.monotonic()
    process.wait(150)
    asked, seconds = questions(cluster), time.monotonic() - began
    assert 2 <= asked <= seconds / 8 + 5
    work.check()


def test_a_small_screen_takes_one_block(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, 0.1, {"ports": "50000-50004"}, ("--limit", 2))
    work.end(work.start())
    logs = "".join(path.read_text() for path in work.db.with_name("s.duckdb.d").glob("parsl/**/interchange.log"))
    assert re.findall(r"Bound to port (\d+) for incoming worker", logs)[0] in map(str, range(50000, 50005))
    assert work.results() == 2
    assert len(cluster.jobs(ended=True)) == 1
    work.assert_nothing_left()


def test_a_users_habits_hide_no_block(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody's own squeue is asked, nor is a block handed in or cancelled as a user's own variables have it."""
    habits = {"SQUEUE_PARTITION": "closed", "SQUEUE_STATES": "PD", "SINFO_PARTITION": "closed",
              "SBATCH_PARTITION": "closed", "SBATCH_ARRAY_INX": "1-3", "SCANCEL_STATE": "PENDING"}  # fmt: skip
    work = Screening(cluster, tmp_path, 0.2, {"max_blocks": 1, "partition": "main"}, habits=habits)
    said = work.end(work.start())
    assert re.search(r"block \d+ runs on vn", said)
    assert len(cluster.jobs(ended=True)) == 1
    work.assert_nothing_left()


def test_an_answer_that_lacks_a_block_is_asked_for_again(cluster: Cluster, tmp_path: Path) -> None:
    """A busy controller was seen to name no jobs at all, and to be right the next time."""
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    counts = f"n=$(($(cat {tmp_path}/asked 2>/dev/null || echo 0) + 1)); echo $n > {tmp_path}/asked"
    real = shutil.which("squeue", path=cluster.environment()["PATH"])
    squeue.write_text(f'#!/bin/sh\n{counts}\n[ $((n % 3)) = 0 ] || exec {real} "$@"\n')
    squeue.chmod(0o755)
    habits = {"PATH": f"{squeue.parent}:{cluster.environment()['PATH']}"}
    work = Screening(cluster, tmp_path, 0.6, {"max_blocks": 1}, habits=habits)
    said = work.end(work.start())
    assert int((tmp_path / "asked").read_text()) > 3
    assert "has ended" not in said
    assert len(cluster.jobs(ended=True)) == 1
    work.assert_nothing_left()


def test_two_screens_at_one_store(cluster: Cluster, tmp_path: Path) -> None:
    """They have different settings, so each is a method of its own; one is killed and started again."""
    first = Screening(cluster, tmp_path, 1.2, {"max_blocks": 1})
    process = first.start()
    first.under_way(process, everywhere=False)
    block = first.blocks()[0].id
    second = replace(first, seconds=0.9)
    other = second.start()
    until(lambda: counted(first.store, "(SELECT DISTINCT method_id FROM result)") == 2, 60)
    second.kill(other)
    other = second.start()
    until(lambda: "pending" in second.said(), 40)
    assert block in {job.id for job in first.blocks()}, "the block of a driver that lives"
    first.end(process)
    second.end(other)
    assert f"block {block} has ended" not in first.said()
    assert counted(first.store, "current_result WHERE status = 'ok'") == 2 * STRUCTURES
    assert first.results() == 2 * STRUCTURES
    first.assert_nothing_left()
    second.assert_nothing_left()
