"""The file of settings for `slurm`: written with what this cluster has, shown, and tried against the scheduler."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mlmat.scheduler import slurm
from mlmat.scheduler.settings import Slurm, seconds_of
from mlmat.scheduler.slurm import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.scheduler.slurm import Partition

#: What each setting means, for the one who fills in the file.
MEANING = {
    "partition": "one, or several with commas; empty: the cluster's default",
    "account": "what is charged; empty: your default",
    "qos": "",
    "constraint": "features that a node must have, as sbatch takes them",
    "walltime": "of one block (a job), HH:MM:SS or D-HH:MM:SS; the screen goes on in the next block",
    "nodes_per_block": "1: nodes come and go one by one",
    "max_blocks": "jobs at once; fewer while there is less to do",
    "cores_per_node": "0: all that the partition's smallest node has",
    "gpus_per_node": "one worker for each; then choose --set device=cuda",
    "memory_per_node": "GB; 0: the partition's default",
    "cores_per_worker": "threads of one worker, on nodes without GPUs",
    "exclusive": "whole nodes, shared with nobody",
    "modules": "loaded before the workers start; one that fails ends the block",
    "setup": "shell lines before the workers start, likewise; this environment's own PATH is set already",
    "sbatch": 'more options, as in ["--mail-type=END"]',
    "address": "of the host that you start mlmat on, as nodes see it; empty: all are tried",
    "ports": "of that host that nodes may reach, as in 50000-50100; empty: 54000-55000",
    "shared_folder": "for logs and scratch, on a disk that the nodes see; empty: beside the store",
    "batch_seconds": "of work in one task",
    "drain_seconds": "before its end a block takes nothing new; 0: two batches, two minutes at least",
    "poll_seconds": "between two questions to the scheduler",
    "lost_after": "seconds of silence until a node counts as lost",
}


def text_of(settings: Slurm) -> str:
    """The file, each setting with its meaning; what is as by default is commented out."""
    return "\n".join(["# Settings of `mlmat screen --config slurm`: where workers run.", *_lines(settings), ""])


def _lines(settings: Slurm) -> Iterator[str]:
    for field in fields(Slurm):
        value = getattr(settings, field.name)
        line = f"{field.name} = {_toml(value)}"
        meaning = f"  # {MEANING[field.name]}" if MEANING[field.name] else ""
        yield ("# " if value == field.default else "") + line + meaning


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def proposed() -> Slurm:
    """Settings with what this cluster says of its default partition; the plain ones where there is no Slurm."""
    try:
        found = slurm.partitions()
    except SchedulerError:
        return Slurm()
    default = next((one for one in found if one.default), next(iter(found), None))
    return _fitting(default) if default else Slurm()


def _fitting(partition: Partition) -> Slurm:
    walltime = Slurm().walltime
    if partition.limit[:1].isdigit() and seconds_of(partition.limit) < seconds_of(walltime):
        walltime = partition.limit
    return Slurm(partition=partition.name, cores_per_node=partition.cores, walltime=walltime)


def described(partition: Partition) -> str:
    """A partition for people."""
    gpus = "" if partition.gres in ("", "(null)") else f", {partition.gres}"
    size = f"{partition.cores} cores, {partition.memory / 1024:.0f} GB{gpus}"
    state = "" if partition.up else ", closed"
    mark = " (default)" if partition.default else ""
    return f"{partition.name}{mark}: {partition.nodes} nodes of {size}, {partition.limit}{state}"
