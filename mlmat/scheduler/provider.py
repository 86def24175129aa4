"""Blocks: jobs of Slurm that run workers, or the nodes of the job that this process is in."""

from __future__ import annotations

import socket
import subprocess
import time
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from parsl.addresses import address_by_hostname, address_by_interface, address_by_route
from parsl.executors import HighThroughputExecutor
from parsl.jobs.states import JobState, JobStatus
from parsl.providers import LocalProvider, SlurmProvider
from parsl.providers.errors import SubmitException

from mlmat.scheduler import slurm
from mlmat.scheduler.slurm import Job, SchedulerError

#: Blocks that may end one after the other without a worker that answered.
MAX_UNPRODUCTIVE_BLOCKS = 3
#: Seconds after which it is said again why a block waits.
AGAIN = 900.0
#: Seconds in which a scheduler that is busy has to take a block.
BUSY = 1800.0
#: Reasons to wait that do not pass by themselves.
NEVER = {"PartitionTimeLimit", "PartitionNodeLimit", "PartitionDown", "PartitionInactive", "BadConstraints",
         "AccountNotAllowed", "InvalidAccount", "InvalidQOS", "QOSNotAllowed"}  # fmt: skip
_ENDED = {"CANCELLED": JobState.CANCELLED, "TIMEOUT": JobState.TIMEOUT, "DEADLINE": JobState.TIMEOUT,
          "PREEMPTED": JobState.TIMEOUT, "COMPLETED": JobState.COMPLETED}  # fmt: skip


class SlurmBlocks(SlurmProvider):  # type: ignore[misc]
    """parsl's provider, which asks gently, knows why a block waits or ended, and says so.

    keeps_logs: in a folder of ours; news: lines for people; trouble: why no block can be had, if so;
    batch_seconds: of work in one task; seen: the jobs as Slurm told them last, by id.
    """

    keeps_logs = True

    def __init__(self, name: str, poll: float, batch_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.name, self.poll, self.batch_seconds = name, poll, batch_seconds
        self.news: deque[str] = deque()
        self.trouble: str | None = None
        self.seen: dict[str, Job] = {}
        self._said: dict[str, tuple[str, float]] = {}
        self._missed: set[str] = set()
        self._refused_since: float | None = None
        self._not_before = 0.0

    @property
    def status_polling_interval(self) -> float:
        """Seconds between two questions to the scheduler."""
        return self.poll

    def execute_wait(self, cmd: str, timeout: int | None = None) -> tuple[int | None, str, str]:
        """Run a command of Slurm; not the question to accounting that parsl begins with: it may take a minute."""
        if cmd.startswith("sacct"):
            return 1, "", "not asked"
        plain = " ".join(["env", *(f"-u {name}" for name in slurm.habits())])
        answer: tuple[int | None, str, str] = super().execute_wait(f"{plain} {cmd}", timeout)
        return answer

    def submit(self, command: str, tasks_per_node: int, job_name: str = "") -> str:
        """Hand a block in. Raises parsl's SubmitException; a refusal that will not pass is this provider's trouble."""
        if time.monotonic() < self._not_before:
            raise SubmitException(self.name, "Slurm has just refused a block")
        try:
            job: str = super().submit(command, tasks_per_node, self.name)
        except (SubmitException, subprocess.TimeoutExpired) as error:
            late = isinstance(error, subprocess.TimeoutExpired)
            self._refused("Socket timed out" if late else " ".join(str(getattr(error, "stderr", "") or error).split()))
            raise
        self._refused_since = None
        return job

    def _refused(self, said: str) -> None:
        now = time.monotonic()
        self._not_before = now + self.poll
        if self._refused_since is None:
            self._refused_since = now
            self.news.append(f"Slurm did not take a block: {said}")
        at_work = any(not resource["status"].terminal for resource in self.resources.values())
        if not at_work and (not SchedulerError(said).busy or now - self._refused_since > BUSY):
            self.trouble = f"Slurm did not take a block: {said}; see `mlmat config check`"

    def cancel_left(self) -> None:
        """Cancel what parsl did not: jobs that Slurm took without saying so, or did not cancel when asked to.

        Raises SchedulerError.
        """
        mine = (job for job in slurm.jobs().values() if job.name.startswith(f"{self.name}."))
        slurm.cancel(job.id for job in mine if job.state in slurm.TO_CANCEL)

    def _status(self) -> None:
        try:
            self.seen = {job: told for job, told in slurm.jobs().items() if job in self.resources}
        except SchedulerError as error:
            self._tell("controller", f"Slurm does not answer ({error}); blocks go on without it")
            return
        self._said.pop("controller", None)
        for job, resource in self.resources.items():
            if not resource["status"].terminal and (job in self.seen or job in self._missed):
                self._update(self.seen.get(job, Job(job, self.name, "COMPLETED")), resource)
        # A job that ended long ago is not named any more, but one answer without it may be a busy controller's.
        self._missed = set(self.resources) - set(self.seen)

    def _update(self, job: Job, resource: dict[str, Any]) -> None:
        paths = {"stdout_path": resource["job_stdout_path"], "stderr_path": resource["job_stderr_path"]}
        if job.state in slurm.WAITING:
            reason = job.state if job.reason in ("", "None") else job.reason  # Slurm has not looked at it yet
            never = reason in NEVER
            self._tell(job.id, f"block {job.id} waits: {reason}{'; see mlmat config check' if never else ''}")
            resource["status"] = JobStatus(JobState.PENDING, **paths)
        elif job.state in slurm.RUNNING:
            self._tell(job.id, f"block {job.id} runs on {job.nodes}", once=True)
            resource["status"] = JobStatus(JobState.RUNNING, **paths)
        else:
            self._tell(job.id, f"block {job.id} has ended: {job.state}")
            resource["status"] = JobStatus(_ENDED.get(job.state, JobState.FAILED), **paths)

    def _tell(self, about: str, text: str, *, once: bool = False) -> None:
        """Say what is new, and what lasts every quarter of an hour."""
        before, when = self._said.get(about, ("", 0.0))
        if text != before or (not once and time.monotonic() - when > AGAIN):
            self.news.append(text)
            self._said[about] = (text, time.monotonic())


class Executor(HighThroughputExecutor):  # type: ignore[misc]
    """parsl's executor, which takes back as many blocks as it is asked for, and asks nobody else for its address."""

    def __init__(self, *, address: str | None, **options: Any) -> None:
        super().__init__(address=address or "127.0.0.1", **options)
        if not address:
            # parsl's own search asks a server on the internet, too, and waits for its answer.
            self.address, self.all_addresses = None, _addresses()

    def scale_in(self, blocks: int, max_idletime: float | None = None) -> list[str]:
        """Take blocks back. parsl asks for 0 of them, and then ends all that are idle, also those that wait."""
        return list(super().scale_in(blocks, max_idletime)) if blocks > 0 else []


def _addresses() -> set[str]:
    """Addresses of this host that a worker may try."""
    found = set()
    asked = [partial(address_by_interface, name) for _, name in socket.if_nameindex()]
    for ask in (*asked, address_by_hostname, address_by_route):
        with suppress(Exception):
            found.add(ask())
    return found


class Allocation(LocalProvider):  # type: ignore[misc]
    """The nodes of the job that this process runs in, as one block.

    ends_at: monotonic time at which nothing new is begun; grace: seconds that what is under way has then.
    """

    keeps_logs = True

    def __init__(self, batch_seconds: float, ends_at: float, grace: float, **options: Any) -> None:
        super().__init__(init_blocks=1, min_blocks=1, max_blocks=1, **options)
        self.batch_seconds, self.ends_at, self.grace = batch_seconds, ends_at, grace
        self.news: deque[str] = deque()
        self.trouble: str | None = None


def watch_blocks(executor: Any, status: dict[str, JobStatus]) -> None:
    """parsl's handler of block errors: blocks that end before a worker answered are not asked for without end."""
    provider = executor.provider
    known = [status[block] for block in sorted(status, key=int) if block in executor.blocks_to_job_id]
    last, at_work = known[-MAX_UNPRODUCTIVE_BLOCKS:], any(one.state == JobState.RUNNING for one in known)
    if len(last) == MAX_UNPRODUCTIVE_BLOCKS and not at_work and all(one.state == JobState.MISSING for one in last):
        where = last[-1].stderr_path or ""
        provider.trouble = (
            f"{MAX_UNPRODUCTIVE_BLOCKS} blocks ended, one after the other, before a worker answered; the last one "
            f"said: {_last_line(where)} ({where})"
        )


def _last_line(path: str) -> str:
    """What a block complained of: srun numbers its lines, and its own last word is only that there was one."""
    try:
        lines = [line.partition(": ")[2] or line for line in Path(path).read_text(errors="replace").splitlines()]
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip() and not line.startswith(("error: ", "task "))] or lines
    return said[-1][:300] if said else "nothing"
