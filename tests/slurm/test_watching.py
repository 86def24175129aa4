"""`mlmat doctor` and `mlmat status` on a cluster: what is told of blocks, and of jobs that a dead driver left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faults.tools import finish, start, until
from slurm.cluster import Cluster
from slurm.tools import Screening

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
SETTINGS = 'walltime = "00:05:00"\ncores_per_node = 2\npoll_seconds = 2\nlost_after = 10\n'


def doctor(cluster: Cluster, folder: Path, *more: object) -> tuple[int, str]:
    (folder / "cluster.toml").write_text(SETTINGS)
    arguments = ("doctor", "--db", folder / "s.duckdb", "--config", folder / "cluster.toml", *more)
    process = start(*arguments, env=cluster.environment())
    out, err = process.communicate(timeout=200)
    assert not err, err
    until(lambda: not cluster.jobs(), 20)
    assert [path.name for path in folder.iterdir()] == ["cluster.toml"]
    return process.returncode, out


def test_a_block_with_one_task(cluster: Cluster, tmp_path: Path) -> None:
    code, out = doctor(cluster, tmp_path)
    assert code == 0, out
    assert "ok    scheduler  partitions main* (2 idle)" in out
    assert re.search(r"ok    workers    \S+ \(process \d+\), job 1 on vn1, answered after", out)
    assert "same Python and packages" in out
    assert len(cluster.jobs(ended=True)) == 1


def test_a_block_that_does_not_start(cluster: Cluster, tmp_path: Path) -> None:
    cluster.drain(1, "new memory")
    cluster.drain(2)
    code, out = doctor(cluster, tmp_path, "--patience", 12)
    assert code == 1
    assert "fail  scheduler  no node can be used: " in out
    assert "fail  workers    no worker answered within 12 s" in out
    assert re.search(r"block 0, job 1: pending .*(Nodes|drain)", out, re.IGNORECASE)


def test_no_controller(cluster: Cluster, tmp_path: Path) -> None:
    cluster.stop_controller(crash=True)
    (tmp_path / "slurm.toml").write_text(SETTINGS)
    process = start("doctor", "--config", "slurm", "--patience", 5, env=cluster.environment(), cwd=tmp_path)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "fail  scheduler  sinfo: " in out


def test_blocks_are_told_and_what_a_dead_driver_left_is_ended(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, settings={"lost_after": 300})
    process = work.start()
    work.under_way(process)
    around = {"env": cluster.environment()}
    first, second = sorted(work.blocks(), key=lambda block: block.id)
    until(lambda: f"block 1 (job {second.id}): running on " in finish("status", "--db", work.db, **around), 40, 1)
    cluster.cancel(first)
    until(lambda: f"lost: block 0 (job {first.id}): cancelled" in finish("status", "--db", work.db, **around), 40, 1)
    until(lambda: len(work.blocks()) == 2 and first.id not in {block.id for block in work.blocks()}, 40)
    left = {str(block.id) for block in work.blocks()}
    work.kill(process)
    work.remember()
    text = finish("status", "--db", work.db, **around)
    assert f"process {process.pid} on " in text
    assert "gone without a word after" in text
    assert set(re.findall(r"jobs of Slurm ([\d, ]+);", text)[0].split(", ")) == left
    said = work.end(work.start())
    assert re.search(rf"what process {process.pid} on .* had left is ended: process.* and jobs of Slurm", said)
    assert not {block.id for block in work.blocks()} & {int(job) for job in left}
    assert "left behind" not in finish("status", "--db", work.db, **around)
    work.check("Slurm: a block is cancelled, then the driver dies", repeated=24)
