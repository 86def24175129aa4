"""Slurm's commands, and whether the controller answers."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Literal

from mlmat.doctor._line import Line, Place
from mlmat.scheduler import slurm
from mlmat.scheduler.slurm import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = ("sbatch", "squeue", "scancel", "srun", "sinfo")
#: States in which a node takes no work.
DOWN = {"down", "drained", "draining", "drain", "fail", "failing", "unknown", "maint"}


def check(place: Place) -> Iterator[Line]:
    """Commands on PATH, partitions as sinfo names them, and the allocation around this process."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if len(missing) == len(COMMANDS) and not place.wants_slurm:
        yield Line("ok", "scheduler", "Slurm is not here; --config local and files work without it")
        return
    if missing:
        says = f"{', '.join(missing)} not on PATH"
        yield Line(_bad(place), "scheduler", says, "load the module of your cluster's Slurm, or go to a login node")
        return
    try:
        out = slurm.ask("sinfo", "--all", "--noheader", "--format=%P %a %D %T")
    except SchedulerError as error:
        remedy = "see whether SLURM_CONF is right and slurmctld runs; else ask the admins"
        yield Line(_bad(place), "scheduler", f"sinfo: {error}", remedy)
        return
    yield from _partitions(place, out)
    if job := os.environ.get("SLURM_JOB_ID"):
        nodes = os.environ.get("SLURM_JOB_NODELIST", "?")
        yield Line("ok", "scheduler", f"inside job {job} on {nodes}: blocks use its nodes, nothing is submitted")


def _partitions(place: Place, out: str) -> Iterator[Line]:
    rows = [line.split() for line in out.splitlines() if len(line.split()) == 4]
    nodes: dict[str, dict[str, int]] = {}
    for name, up, count, state in rows:
        if up == "up":
            states = nodes.setdefault(name, {})
            states[state] = states.get(state, 0) + int(count)
    told = [f"{name} ({', '.join(f'{n} {state}' for state, n in states.items())})" for name, states in nodes.items()]
    if not told:
        yield Line(_bad(place), "scheduler", "no partition is up", "ask the admins, or wait")
        return
    usable = any(not _down(state) for states in nodes.values() for state in states)
    says = f"partitions {', '.join(told)}; * marks the default"
    if usable:
        yield Line("ok", "scheduler", says)
    else:
        yield Line(_bad(place), "scheduler", f"no node can be used: {says}", "ask the admins, or wait")


def _down(state: str) -> bool:
    return state.rstrip("*~#!%$@^-").lower() in DOWN


def _bad(place: Place) -> Literal["warn", "fail"]:
    """Slurm that does not work is a failure only to those who want to use it."""
    return "fail" if place.wants_slurm else "warn"
