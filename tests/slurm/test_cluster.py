"""The virtual cluster itself does what the other tests rely on, also beside another one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from faults.tools import until
from slurm import cluster as script
from slurm.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(120)]
SLEEP = "#!/bin/bash\nsrun bash -c 'sleep 300 & sleep 301' & wait\n"


def test_nodes_die_and_come_back_and_the_other_cluster_does_not_notice(cluster: Cluster) -> None:
    with Cluster(nodes=1, gpus=0) as other:
        jobs = cluster.submit(SLEEP, "--nodes=2", "--no-kill", "--no-requeue"), other.submit(SLEEP)
        until(lambda: [len(one.processes(1)) > 2 for one in (cluster, other)] == [True, True], 20)
        until(lambda: len(cluster.processes(2)) > 2, 20)
        cluster.kill_node(2)
        assert cluster.processes(2) == []
        assert cluster.processes(1) != []
        cluster.start_node(2)
        assert set(cluster.states().values()) <= {"idle", "mix", "alloc"}
        cluster.cancel(jobs[0])
        until(lambda: cluster.processes(1) == [], 20)
        assert [job.id for job in other.jobs()] == [jobs[1]]
        assert other.processes(1) != []
    assert not other.folder.exists()


def test_a_drained_node_takes_nothing_and_says_so(cluster: Cluster) -> None:
    cluster.drain(1)
    cluster.drain(2)
    job = cluster.submit(SLEEP)
    until(lambda: cluster.jobs()[0].reason.startswith(("ReqNodeNotAvail", "Nodes required")), 20)
    cluster.resume(2)
    until(lambda: cluster.jobs()[0].state == "RUNNING", 20)
    assert (cluster.jobs()[0].id, cluster.jobs()[0].nodes) == (job, "vn2")


def test_a_controller_that_was_away_knows_its_jobs(cluster: Cluster) -> None:
    job = cluster.submit(SLEEP, "--nodes=2")
    until(lambda: cluster.jobs()[0].state == "RUNNING", 20)
    cluster.restart_controller(down=1)
    assert [(one.id, one.state) for one in cluster.jobs()] == [(job, "RUNNING")]


def test_by_hand(cluster: Cluster, tmp_path: Path) -> None:
    """It prints what a shell needs, and leaves nothing when it is ended."""
    command = [sys.executable, str(Path(script.__file__)), "--nodes", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    said = process.stdout.readline().strip()
    assert said.startswith("export SLURM_CONF=")
    shown = subprocess.run(["sh", "-c", f"{said}; sinfo -h -o %t"], capture_output=True, text=True, check=True)
    assert set(shown.stdout.split()) == {"idle"}
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3
    process.terminate()
    assert process.wait(20) == 0
    time.sleep(0.1)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not Path(said.partition("=")[2]).exists()
