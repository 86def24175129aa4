"""GPUs that Slurm gave: one for each worker, and never one that was given to somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.tools import until
from slurm.cluster import Cluster
from slurm.tools import Screening

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


@pytest.fixture
def gpus(cluster: Cluster) -> Cluster:
    if not cluster.gpus:
        pytest.skip("no GPUs on the virtual nodes: only root makes devices")
    return cluster


def pinned(work: Screening) -> set[tuple[str, str, int]]:
    """Node, GPU and process of each worker."""
    found = work.store.sql("SELECT DISTINCT node, gpu, worker FROM result_slow")
    return {(row.node, row.gpu, row.worker) for row in found.itertuples()}


def test_one_for_each_worker(gpus: Cluster, tmp_path: Path) -> None:
    work = Screening(gpus, tmp_path, 0.4, {"gpus_per_node": 2})
    work.end(work.start())
    assert {(node, gpu) for node, gpu, _ in pinned(work)} == {(node, gpu) for node in gpus.names for gpu in "01"}
    assert len(pinned(work)) == 4
    work.check()


def test_not_one_that_somebody_else_has(gpus: Cluster, tmp_path: Path) -> None:
    gpus.submit("#!/bin/bash\nsleep 300\n", "--nodes=2", "--gpus-per-node=1", "--ntasks-per-node=1", "--job-name=else")
    until(lambda: gpus.jobs()[0].state == "RUNNING", 30)
    work = Screening(gpus, tmp_path, 0.4, {"gpus_per_node": 1, "cores_per_node": 1})
    work.end(work.start())
    assert {(node, gpu) for node, gpu, _ in pinned(work)} == {(node, "1") for node in gpus.names}
    gpus.cancel(gpus.jobs()[0])
    work.check()


def test_in_a_job(gpus: Cluster, tmp_path: Path) -> None:
    work = Screening(gpus, tmp_path, 0.4)
    job = work.submit("--gpus-per-node=2", "--time=5")
    until(lambda: not any(one.id == job for one in gpus.jobs()), 90)
    assert {(node, gpu) for node, gpu, _ in pinned(work)} == {(node, gpu) for node in gpus.names for gpu in "01"}
    work.check()
