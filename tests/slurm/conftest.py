"""A virtual cluster for each test; where the machine has no Slurm, its tests skip and say so."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest
from slurm.cluster import Cluster, missing


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Slurm cluster of two idle nodes with two CPUs and two GPUs each."""
    if lacking := missing():
        said = f"no Slurm here ({', '.join(lacking)} missing): its tests are skipped; ci/slurm installs it"
        if os.environ.get("MLMAT_TEST_SLURM") == "must":
            pytest.fail(said)
        warnings.warn(said, stacklevel=1)
        pytest.skip(said)
    with Cluster(nodes=2, cpus=2) as made:
        yield made
