"""The loop of a screen: batches out to parsl, frames home into the journal, the journal into the store.

A batch is the unit of transport, a structure the unit of record. A batch that is lost with its worker is handed out
again in halves; a structure that was alone in three lost tasks has failed (`WorkerLost`). A batch that is lost with its
node or block goes out again whole; when it happens again and again, it goes out alone, and then it is its own fault.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmat import arrow_frames, parsl_config, provenance
from mlmat.errors import RunnerError, StoreLocked
from mlmat.worker.messages import (
    LostStructures,
    Message,
    OtherVersions,
    Results,
    RunnerBroken,
    from_frame,
    from_frames,
)
from mlmat.worker.packing import BatchContext, failure_frame
from mlmat.worker.task import run_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mlmat.methods.method import ResolvedMethod
    from mlmat.screen._queue import Batch, BatchQueue
    from mlmat.store import Journal, Store

#: Seconds between two flushes of the journal into the store.
FLUSH_EVERY = 5.0
#: Seconds that a stop waits for batches under way.
GRACE = 15.0
#: Tasks that a structure may be lost in while it was alone.
LOST_ALONE = 3
#: Batches that may be lost in a row, with nothing coming home between them.
MAX_UNPRODUCTIVE_BATCHES = 50
#: Seconds without a result after which hosts where the runner does not start end a screen that ran on others.
STALL_TIMEOUT = 300.0
#: Losses that are no structure's fault unless it was alone: a node, a block or a walltime took its manager.
INFRASTRUCTURE_ERRORS = {"ManagerLost"}
#: Errors that every task would meet.
FATAL_ERRORS = {
    "ImportError",
    "ModuleNotFoundError",
    "DeserializationError",
    "SerializationError",
    "BadStateException",
    "VersionMismatch",
}


@dataclass(slots=True)
class Summary:
    """What a screen did: numbers of structures, wall time in s, and how it ended."""

    ok: int = 0
    failed: int = 0
    pending: int = 0
    seconds: float = 0.0
    outcome: str = "finished"
    waiting_bytes: int = 0
    #: Whether it stopped because the job that it ran in was about to end.
    ended: bool = False
    #: Why there was nothing to compute.
    nothing: str | None = None

    @property
    def done(self) -> int:
        """Structures with a result from this run."""
        return self.ok + self.failed


class Listener:
    """Who is told how a screen goes; this one does not listen."""

    def said(self, text: str) -> None:
        """A line for people."""

    def progressed(self, count: int, failed: int, part: float | None = None) -> None:
        """So many structures came back, failed of all so far; part: their share of all atoms."""


class Screen:
    """One call of `mlmat screen`.

    limits: of `BatchContext`; scratch: where tasks may write; atoms: of all structures that are pending at the start;
    ending: when to begin nothing new (monotonic time) and the seconds that are left then, because a job has its end;
    proven: whether the method has ok results, so that structures that crash are to blame and not the runner.
    """

    def __init__(
        self,
        store: Store,
        plan: ResolvedMethod,
        run_id: str,
        listener: Listener | None = None,
        *,
        limits: Mapping[str, Any] | None = None,
        scratch: Path | None = None,
        atoms: int = 1,
        ending: tuple[float, float] | None = None,
        proven: bool = False,
    ) -> None:
        self.store, self.plan, self.run_id = store, plan, run_id
        self.listener = listener or Listener()
        self.summary = Summary()
        self._limits, self._scratch = limits or {}, scratch or store.folder / "scratch" / run_id
        self._atoms, self._ending, self._proven = atoms, ending, proven
        self._versions = provenance.versions(plan.prepared.packages)
        self._flight: dict[Future[list[bytes]], Batch] = {}
        self.stopped, self.why = False, ""
        #: Failures of this run by class.
        self.failures: Counter[str] = Counter()
        self._grace = GRACE
        self._unproductive, self._workers = 0, 1
        self._flushed = self._last_result_at = time.monotonic()

    def loop(self, kernel: Any, workers: int, feed: BatchQueue, journal: Journal) -> None:
        """Keep the workers busy until nothing is pending or a stop is asked for."""
        # A worker finds its next batch waiting; more than that would only have to be waited for after a stop.
        most = workers + max(1, workers // 8)
        self._workers = workers
        try:
            while (feed or self._flight) and not self.stopped:
                parsl_config.check_alive(kernel)
                for line in parsl_config.drain_messages(kernel):
                    self.listener.said(line)
                self._end_in_time()
                self._fill(kernel, feed, most)
                done, _ = wait(self._flight, timeout=0.5, return_when=FIRST_COMPLETED)
                self._take(done, feed, journal)
                self.listener.progressed(0, self.summary.failed)
                self._flush(journal)
        finally:
            # After an error, too: what is on its way home is kept.
            if self._flight and parsl_config.is_alive(kernel):
                self._drain(journal)

    def under_way(self) -> list[Batch]:
        """The batches that are out."""
        return list(self._flight.values())

    def stop(self, why: str = "") -> None:
        """Hand out nothing more; what is under way may still come home. why: for the last words of the run."""
        self.stopped, self.why = True, why
        batches = f"{len(self._flight)} batches under way" if self._flight else "the workers"
        self.listener.said(f"stopping: waiting up to {self._grace:.0f} s for {batches}; ctrl-C again stops at once")

    def _end_in_time(self) -> None:
        if self._ending and time.monotonic() >= self._ending[0]:
            self._grace = self._ending[1]
            self.summary.ended = True
            self.listener.said("the time of this job ends soon; the same command goes on in the next one")
            self.stop("the job that it ran in was about to end")

    def _fill(self, kernel: Any, feed: BatchQueue, most: int) -> None:
        while feed and len(self._flight) < most and not any(batch.quarantined for batch in self._flight.values()):
            batch = feed.next(quiet=not self._flight)
            if batch is None:
                return
            batch.tries += 1
            future = parsl_config.submit(
                kernel, run_task, self.plan.spec, self._context(batch.tries), arrow_frames.to_ipc(batch.geometry)
            )
            self._flight[future] = batch

    def _context(self, attempt: int) -> BatchContext:
        method, runner = self.plan.method["method_id"], self.plan.runner
        scratch, driver = str(self._scratch), provenance.here()
        return BatchContext(self.run_id, method, runner, scratch, attempt, driver, self._versions, **self._limits)

    def _take(self, done: set[Future[list[bytes]]], feed: BatchQueue, journal: Journal) -> None:
        for future in done:
            batch = self._flight.pop(future)
            error = future.exception()
            if error is not None:
                self._lost(batch, error, feed, journal)
                continue
            self._handle_result(future.result(), batch, feed, journal)

    def _handle_result(self, frames: list[bytes], batch: Batch, feed: BatchQueue, journal: Journal) -> None:
        """Record what came back for a batch; structures without a row are submitted again."""
        messages = list(from_frames(frames))
        if other := next((one for one in messages if isinstance(one, OtherVersions)), None):
            raise RunnerError(f"the worker on {other.other}; give it the environment of this process ({sys.prefix})")
        before = self.summary.done
        seconds = self._record(messages, batch, journal)
        for lost in messages:
            if isinstance(lost, LostStructures):
                self._bisect_or_fail(batch.part(lost.lost), lost, feed, journal)
        if stuck := next((one for one in messages if isinstance(one, RunnerBroken)), None):
            self._could_not_start(stuck.broken, batch if stuck.rest is None else batch.part(stuck.rest), feed)
            return
        feed.learn(batch, seconds)
        self._unproductive = 0 if self.summary.done > before else self._unproductive + 1
        self._last_result_at = time.monotonic()
        if self._unproductive > MAX_UNPRODUCTIVE_BATCHES and not (self.summary.ok or self._proven):
            raise RunnerError(
                f"{MAX_UNPRODUCTIVE_BATCHES} batches in a row ended the processes that computed them (mlmat show)"
            )

    def _record(self, messages: Iterable[Message], batch: Batch, journal: Journal) -> float:
        """Write rows into the journal, then count them; the seconds that they took."""
        seconds = 0.0
        for rows in messages:
            if not isinstance(rows, Results):
                continue
            journal.append(rows.frame)
            self.summary.ok += rows.ok
            self.summary.failed += rows.failed
            self.failures.update(rows.failures)
            seconds += rows.seconds
            share = sum(batch.sites) / len(batch.sites) / self._atoms
            self.listener.progressed(rows.count, self.summary.failed, part=rows.count * share)
        return seconds

    def _could_not_start(self, why: str, batch: Batch, feed: BatchQueue) -> None:
        """One host where the runner does not start must not end a screen that runs well on others."""
        self._unproductive += 1
        quiet = time.monotonic() - self._last_result_at > STALL_TIMEOUT
        if (
            self._unproductive >= MAX_UNPRODUCTIVE_BATCHES and quiet
            if self.summary.done
            else self._unproductive >= self._workers
        ):
            raise RunnerError(f"the runner could not start on {why}")
        feed.give_back([batch])

    def _lost(self, batch: Batch, error: BaseException, feed: BatchQueue, journal: Journal) -> None:
        """parsl could not bring this batch home: whose fault was it?"""
        kind, said = type(error).__name__, " ".join(str(error).split())
        if kind in FATAL_ERRORS:
            raise RunnerError(
                f"the workers cannot run tasks ({kind}: {said}); is their environment this one?"
            ) from error
        if parsl_config.was_refused(error):
            raise RunnerError(
                f"parsl's executor takes no tasks as it is configured ({kind}: {said.rstrip('.')}); no structure has "
                "failed: mend the configuration, or give another one with --config"
            ) from error
        if (
            kind in INFRASTRUCTURE_ERRORS and not batch.quarantined
        ):  # with all batches of its node: no sign that others would fail
            batch.infrastructure_losses += 1
            feed.give_back([batch])
            return
        self._unproductive += 1
        if self._unproductive > MAX_UNPRODUCTIVE_BATCHES:
            raise RunnerError(
                f"{MAX_UNPRODUCTIVE_BATCHES} batches in a row were lost, the last one by {kind}: {said}"
            ) from error
        self._bisect_or_fail(batch, LostStructures(batch.ids, f"{kind}: {said}"), feed, journal)

    def _bisect_or_fail(self, batch: Batch, lost: LostStructures, feed: BatchQueue, journal: Journal) -> None:
        """Something in this batch may have ended its process: find out what, in halves."""
        if len(batch.ids) > 1:
            feed.give_back(batch.halves())
            return
        batch.lost += 1
        if batch.lost < LOST_ALONE:
            feed.give_back([batch])
            return
        message = f"lost {batch.tries} times, {batch.lost} of them alone; the last time: {lost.how}"
        more = {"seconds": lost.seconds, "traceback": lost.traceback}
        failure = failure_frame(self._context(batch.tries), batch.ids[0], "WorkerLost", message, **more)
        self._record([from_frame(failure)], batch, journal)

    def _flush(self, journal: Journal, timeout: float = 2.0) -> None:
        """Merge the journal into the store; while somebody holds the store the journal keeps the results."""
        if time.monotonic() - self._flushed < FLUSH_EVERY:
            return
        self.finish_flush(journal, timeout)

    def finish_flush(self, journal: Journal, timeout: float) -> None:
        """Merge the journal now."""
        if len(journal):
            try:
                self.store.merge(journal, timeout)
            except StoreLocked:
                self.summary.waiting_bytes = len(journal)
            else:
                self.summary.waiting_bytes = 0
        self._flushed = time.monotonic()

    def _drain(self, journal: Journal) -> None:
        """After a stop: take what comes back soon, leave the rest pending."""
        deadline = time.monotonic() + self._grace
        while self._flight and (left := deadline - time.monotonic()) > 0:
            done, _ = wait(self._flight, timeout=left, return_when=FIRST_COMPLETED)
            for future in done:
                batch = self._flight.pop(future)
                if future.exception() is None:
                    self._record(from_frames(future.result()), batch, journal)
