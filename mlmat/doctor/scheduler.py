"""Slurm's commands, and whether the controller answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Literal

from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = ("sbatch", "squeue", "scancel", "srun", "sinfo")


def check(place: Place) -> Iterator[Line]:
    """Commands on PATH, partitions as sinfo names them, accounting, and the allocation around this process."""
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if len(missing) == len(COMMANDS) and not place.wants_slurm:
        yield Line("ok", "scheduler", "Slurm is not here; --config local and files work without it")
        return
    if missing:
        says = f"{', '.join(missing)} not on PATH"
        yield Line(_bad(place), "scheduler", says, "load the module of your cluster's Slurm, or go to a login node")
        return
    code, out = _said("sinfo", "--noheader", "--format=%P %a %D %T")
    if code:
        says = f"sinfo: {out or f'exit code {code}'}"
        yield Line(
            _bad(place), "scheduler", says, "see whether SLURM_CONF is right and slurmctld runs; else ask the admins"
        )
        return
    yield from _partitions(place, out)
    code, _ = _said("sacct", "-X", "--noheader", "--starttime=now")
    if code:
        yield Line("ok", "scheduler", "no accounting (sacct): how a block ended is known by squeue alone")
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
    return state.rstrip("*~#!%$@^-").lower() in {
        "down",
        "drained",
        "draining",
        "drain",
        "fail",
        "failing",
        "unknown",
        "maint",
    }


def _bad(place: Place) -> Literal["warn", "fail"]:
    """Slurm that does not work is a failure only to those who want to use it."""
    return "fail" if place.wants_slurm else "warn"


def _said(*command: str) -> tuple[int, str]:
    """Exit code and first words of a command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout if not done.returncode else done.stderr.strip().partition("\n")[0]
