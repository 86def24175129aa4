"""Screens on Slurm: the part of the suite that every `make test-slow` runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.tools import counted
from slurm.cluster import Cluster
from slurm.tools import Screening

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
#: Structures that two nodes may have at work or waiting.
UNDER_WAY = 24


def test_two_nodes(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, 0.2)
    said = work.end(work.start())
    assert set(work.nodes()) == set(cluster.names)
    assert all(f"runs on {name}" in said for name in cluster.names)
    assert counted(work.store, "result_slow WHERE step != ''") == 0
    work.check()


@pytest.mark.slurm
def test_a_node_dies_and_a_block_is_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path)
    process = work.start()
    work.under_way(process)
    cluster.kill_node(2)
    cluster.start_node(2)
    cluster.cancel(next(block for block in work.blocks() if block.nodes == "vn1"))
    work.remember()
    work.end(process)
    work.check("Slurm: a node dies and a block is cancelled", repeated=UNDER_WAY)
