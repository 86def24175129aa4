"""What parsl's blocks are doing: their jobs, the scheduler's word on each, and the workers that answer."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.scheduler import slurm
from mlmat.scheduler.slurm import Job, SchedulerError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds between two questions to Slurm about the blocks of a provider that does not tell by itself.
GENTLY = 30.0


@dataclass(frozen=True, slots=True)
class Block:
    """One block: the number that parsl gave it, its job (of LocalProvider a process), its state and the reason for it.

    kind: of the provider, `slurm` or `local`; state: as parsl or Slurm says it, in small letters; over: whether nothing
    more will come from it.
    """

    block: str
    job: str
    kind: str
    state: str
    reason: str = ""
    nodes: str = ""
    over: bool = False


class Blocks:
    """The blocks of a kernel, asked for often, while the scheduler is asked now and then."""

    def __init__(self, kernel: Any, gently: float = GENTLY) -> None:
        self._kernel, self._gently = kernel, gently
        self._asked = float("-inf")
        self._jobs: Mapping[str, Job] = {}

    def now(self) -> list[Block]:
        """Every block that there was, in the order of their making."""
        return [block for one in self._kernel.config.executors if _provider(one) for block in self._of(one)]

    def _of(self, executor: Any) -> list[Block]:
        found = [_known(executor, block) for block in sorted(executor._status, key=int)]
        jobs = getattr(_provider(executor), "seen", None)
        if self._gently == 0 or jobs is None:
            jobs = self._seen(found)
        return [_told(block, jobs.get(block.job)) for block in found]

    def _seen(self, blocks: list[Block]) -> Mapping[str, Job]:
        """The jobs of blocks, as Slurm tells them now or some seconds ago."""
        waiting = any(block.kind == "slurm" and not block.over for block in blocks)
        if waiting and time.monotonic() - self._asked >= self._gently:
            self._asked = time.monotonic()
            with suppress(SchedulerError):
                self._jobs = slurm.jobs()
        return self._jobs

    def workers(self) -> int:
        """Workers that are connected; those of threads are always there."""
        total = 0
        for executor in self._kernel.config.executors:
            if hasattr(executor, "connected_managers"):
                total += sum(one["worker_count"] for one in executor.connected_managers() if one["active"])
            else:
                total += getattr(executor, "max_threads", 0)
        return total


def _provider(executor: Any) -> Any:
    return getattr(executor, "provider", None)


def _known(executor: Any, block: str) -> Block:
    """What parsl knows of a block, without asking anybody."""
    status = executor._status[block]
    job = str(executor.blocks_to_job_id.get(block, ""))
    said = " ".join((status.message or "").split())
    return Block(block, job, executor.provider.label, status.state.name.lower(), said, over=status.terminal)


def _told(block: Block, job: Job | None) -> Block:
    """The block with what Slurm says of its job, which is more than parsl knows."""
    if job is None or block.state == "scaled_in":
        return block
    over = block.over or job.state not in (*slurm.WAITING, *slurm.RUNNING)
    reason = job.reason if job.reason not in ("", "None") else block.reason
    return replace(block, state=job.state.lower(), reason=reason, nodes=job.nodes, over=over)


def names_in(logs: Path) -> set[str]:
    """Names of the jobs that were handed to Slurm by a run with its logs there: parsl writes each script first."""
    files = {path.name for path in logs.glob("**/submit_scripts/*")}
    return {name for name in files if not name.endswith((".stdout", ".stderr", ".sh", ".out", ".err", ".ec"))}
