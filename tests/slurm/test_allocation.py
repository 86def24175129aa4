"""A screen as a job: on the nodes that the job was given, where drivers on login nodes are forbidden."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from faults.tools import counted, until
from slurm.cluster import Cluster
from slurm.tools import STRUCTURES, Screening

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
#: Structures that a node may have at work or waiting.
NODE = 12


def ended(cluster: Cluster, job: int) -> str:
    """How a job has ended; empty while it has not."""
    state = next(one.state for one in cluster.jobs(ended=True) if one.id == job)
    return "" if state in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING") else state


def test_it_stops_in_time_and_the_next_job_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, 3)
    first = work.submit("--time=1")
    until(lambda: ended(cluster, first), 90)
    assert ended(cluster, first) != "TIMEOUT"
    assert "the next one" in work.said()
    assert 0 < counted(work.store, "result") < STRUCTURES
    assert len(cluster.jobs(ended=True)) == 1, "it must not hand in jobs of its own"
    work.remember()
    second = work.submit("--time=5")
    until(lambda: ended(cluster, second), 150)
    assert ended(cluster, second) == "COMPLETED"
    assert set(work.nodes()) == set(cluster.names)
    work.check("Slurm: the driver's own job ends")


def test_one_of_its_nodes_dies(cluster: Cluster, tmp_path: Path) -> None:
    """A job that may go on without it does; the driver is on the first one."""
    work = Screening(cluster, tmp_path)
    job = work.submit("--no-kill", "--no-requeue", "--time=5")
    work.under_way(None)
    cluster.kill_node(2)
    work.remember()
    until(lambda: ended(cluster, job), 150)
    assert ended(cluster, job) == "COMPLETED", work.said()
    work.check("Slurm: a node of the driver's own job dies", repeated=NODE)


def test_its_first_node_dies(cluster: Cluster, tmp_path: Path) -> None:
    """The driver is gone; Slurm hands the job in again, and it goes on."""
    work = Screening(cluster, tmp_path)
    job = work.submit("--requeue", "--time=5")
    work.under_way(None)
    cluster.kill_node(1)
    work.remember()
    until(lambda: cluster.jobs()[0].state == "PENDING", 60)
    cluster.start_node(1, wait=False)
    until(lambda: ended(cluster, job), 200)
    assert ended(cluster, job) == "COMPLETED", work.said()
    work.check("Slurm: the driver's node dies", repeated=2 * NODE)


def test_two_hosts_and_one_store(cluster: Cluster, tmp_path: Path) -> None:
    """The second one is told by name who is at work."""
    work = Screening(cluster, tmp_path)
    process = work.start()
    work.under_way(process, everywhere=False)
    there = ["unshare", "--uts", "sh", "-c", 'hostname other && exec "$@"', "sh", *work.words()]
    second = subprocess.run(there, env=work.environment(), text=True, capture_output=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "being computed already by" in second.stderr
    assert socket.gethostname() in second.stderr
    work.end(process)
    work.check("Slurm: a second host at one store")
