"""Questions to Slurm, each one command that may take its time or fail: a busy controller is not the end of a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds that a busy scheduler may take to answer.
PATIENCE = 30.0
#: What Slurm says when it is only busy or restarting.
_BUSY = ("Unable to contact slurm controller", "Socket timed out", "Connection refused", "Connection reset",
         "Resource temporarily unavailable", "Zero Bytes were transmitted", "slurm_receive_msg",
         "Unable to establish")  # fmt: skip
#: What users have set for their own use of Slurm: it must not change what we read, cancel, or hand in.
_HABITS = ("SQUEUE_", "SINFO_", "SCANCEL_", "SBATCH_", "SLURM_CLUSTERS")
#: States in which a job has not ended.
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
RUNNING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT")
#: States in which a job has nodes, or may get some.
TO_CANCEL = (*WAITING, "RUNNING", "SUSPENDED")


class SchedulerError(Exception):
    """Slurm refused, or did not answer; `busy` when it may answer later."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.busy = any(text in said for text in _BUSY)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Slurm tells it: state in capitals, why it waits, its nodes."""

    id: str
    name: str
    state: str
    reason: str = ""
    nodes: str = ""


def is_there() -> bool:
    """Whether this host can hand jobs to Slurm."""
    return shutil.which("sbatch") is not None


def habits() -> list[str]:
    """Variables that are taken from the environment of Slurm's commands."""
    return [name for name in os.environ if name.startswith(_HABITS)]


def ask(*command: str, text: str | None = None, timeout: float = PATIENCE) -> str:
    """What a command of Slurm printed. Raises SchedulerError with what it complained of."""
    return _done(*command, text=text, timeout=timeout).stdout


def _done(*command: str, text: str | None, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(_HABITS)}
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=plain,
            check=False,
        )
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]} is not on PATH; is this no host of the cluster?") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(f"{command[0]}: Socket timed out after {timeout:.0f} s") from error
    if done.returncode:
        said = " ".join(done.stderr.split()).removeprefix(f"{command[0]}: ")
        raise SchedulerError(said or f"{command[0]} ended with exit code {done.returncode}")
    return done


def jobs() -> dict[str, Job]:
    """This user's jobs by id: waiting, running, and those that ended some minutes ago. Raises SchedulerError."""
    rows = ask("squeue", "--all", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i|%j|%T|%r|%N")
    found = (Job(*row.split("|", 4)) for row in rows.splitlines() if row.count("|") >= 4)
    return {job.id: job for job in found}


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are passed over. Raises SchedulerError."""
    if ids := list(ids):
        ask("scancel", *ids)


def time_left(job: str) -> str:
    """What is left of a job's time, as Slurm writes it, or UNLIMITED. Raises SchedulerError."""
    return ask("squeue", "--noheader", f"--jobs={job}", "--format=%L").strip()


def would_start(script: str) -> str:
    """What Slurm says of a job that is only tried. Raises SchedulerError with its reason to refuse."""
    done = _done("sbatch", "--test-only", text=script)
    return " ".join((done.stderr or done.stdout).split()).removeprefix("sbatch: ")


@dataclass(frozen=True, slots=True)
class Partition:
    """Nodes of one kind in a partition: its longest time, how many they are, what each has; memory in MB."""

    name: str
    default: bool
    up: bool
    limit: str
    nodes: int
    cores: int
    memory: int
    gres: str


def partitions() -> list[Partition]:
    """The partitions, hidden ones too, each once for each kind of its nodes. Raises SchedulerError."""
    rows = ask("sinfo", "--all", "--exact", "--noheader", "--format=%P|%a|%l|%D|%c|%m|%G")
    return [_partition(row.split("|")) for row in rows.splitlines() if row.count("|") == 6]


def _partition(row: list[str]) -> Partition:
    name, up, limit, nodes, cores, memory, gres = (one.strip() for one in row)
    sizes = (int(nodes), int(cores.rstrip("+")), int(memory.rstrip("+")))
    return Partition(name.rstrip("*"), name.endswith("*"), up == "up", limit, *sizes, gres)
