"""What a driver that died has left: processes on its host, jobs of Slurm. They are found again, and ended.

Everything that a run starts has its id in the environment. parsl's interchange, which overwrites that with its title,
is known by its number and when it began; the names of jobs are those of the scripts that parsl wrote beside its logs.
So nothing of anybody else is taken for a leftover.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.processes import machine
from mlmat.scheduler import slurm
from mlmat.scheduler.block_status import names_in
from mlmat.scheduler.slurm import Job, SchedulerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The variable by which the processes of a run are known.
MARK = "MLMAT_RUN"
#: Seconds that killed processes may take to go.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class OrphanedResources:
    """What is still there of a run. unseen: what cannot be known from here, or empty."""

    processes: list[int]
    jobs: list[Job]
    unseen: str = ""

    def __bool__(self) -> bool:
        return bool(self.processes or self.jobs)

    def __str__(self) -> str:
        parts = [_counted("process", "processes", [str(pid) for pid in self.processes])] * bool(self.processes)
        parts += [_counted("job of Slurm", "jobs of Slurm", [job.id for job in self.jobs])] * bool(self.jobs)
        return " and ".join(parts)


def _counted(one: str, many: str, names: list[str]) -> str:
    return f"{one if len(names) == 1 else many} {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"


@contextmanager
def marked(run_id: str) -> Iterator[None]:
    """What is started meanwhile belongs to this run."""
    before = os.environ.get(MARK)
    os.environ[MARK] = run_id
    try:
        yield
    finally:
        os.environ.pop(MARK, None)
        if before is not None:
            os.environ[MARK] = before


def find(record: Mapping[str, Any]) -> OrphanedResources:
    """What is left of a run, by its record (`mlmat.store.access.runs`)."""
    here, unseen, jobs = record["host"] == provenance.host(), "", []
    try:
        jobs = _jobs(record)
    except SchedulerError as error:
        unseen = f"its jobs ({error})"
    return OrphanedResources(
        sorted({*_marked(record["run_id"]), *_noted(record)}) if here else [],
        jobs,
        unseen or ("" if here else f"processes on {record['host']}"),
    )


def end(record: Mapping[str, Any]) -> tuple[OrphanedResources, OrphanedResources]:
    """End what is left of a run; what there was, and what is there still (jobs that Slurm did not cancel)."""
    found = find(record)
    with suppress(SchedulerError):
        slurm.cancel(job.id for job in found.jobs)
    deadline = time.monotonic() + PATIENCE
    while (still := find(record)) and time.monotonic() < deadline:
        for pid in still.processes:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    return found, still


def _noted(record: Mapping[str, Any]) -> Iterator[int]:
    """Processes that the driver has noted with their birth, which are there still."""
    return (pid for pid, born in record.get("processes", []) if born is not None and machine.born(pid) == born)


def _marked(run_id: str) -> Iterator[int]:
    """Processes of a run on this host, but for this one and those that it runs under."""
    mine = _line_of(os.getpid())
    return (pid for pid in machine.with_variable(MARK, run_id) if pid not in mine)


def _line_of(pid: int) -> set[int]:
    """A process, its parent, and so on."""
    found: set[int] = set()
    while pid > 1 and pid not in found:
        found.add(pid)
        pid = machine.parent_of(pid) or 0
    return found


def _jobs(record: Mapping[str, Any]) -> list[Job]:
    names = names_in(Path(record["logs"])) if record.get("logs") else set()
    if not names:
        return []
    return [job for job in slurm.jobs().values() if job.name in names and job.state in slurm.TO_CANCEL]
