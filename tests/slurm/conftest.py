"""A virtual cluster for each test; where the machine has no Slurm, its tests skip and say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from effort import absent
from slurm.cluster import Cluster, missing


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Slurm cluster of two idle nodes with two CPUs and two GPUs each."""
    if lacking := missing():
        absent("SLURM", f"no Slurm here ({', '.join(lacking)} missing): ci/slurm installs it")
    with Cluster(nodes=2, cpus=2) as made:
        yield made
