"""One GPU for each worker of a node, out of those that the node's scheduler or the user gave.

parsl's own pinning counts from 0 and so takes GPUs that Slurm gave to somebody else; here a worker takes its own from
the list that is there: CUDA_VISIBLE_DEVICES as Slurm sets it, or every GPU of the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

#: Tells workers that each has a GPU of its own: the list of them, or `given` for those that CUDA_VISIBLE_DEVICES names.
PER_WORKER = "MLMAT_GPUS"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


def visible() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if (given := os.environ.get(_VISIBLE)) is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    return [str(i) for i in range(len(list(_DRIVER.iterdir())))] if _DRIVER.is_dir() else []


def pinned() -> dict[str, str]:
    """What a worker adds to the environment of its computation: its one GPU, where workers have one each."""
    asked, rank = os.environ.get(PER_WORKER), os.environ.get("PARSL_WORKER_RANK")
    if not asked or rank is None:
        return {}
    gpus = visible() if asked == "given" else asked.split(",")
    return {_VISIBLE: gpus[int(rank) % len(gpus)]} if gpus else {}
