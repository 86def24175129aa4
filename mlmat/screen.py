"""The screening loop: pending structures -> batches -> parsl tasks -> journal -> store.

A batch is the unit of transport, a structure the unit of record. A batch that is lost with its worker is handed out
again, then split; a structure that was alone in three lost tasks has failed (`WorkerLost`).
"""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmat import frame, parsl_config, provenance
from mlmat.batching import Batch, Feed
from mlmat.errors import RunnerError, StoreLocked
from mlmat.runner._task import Ticket, failure_frame, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlmat.runner._method import Plan
    from mlmat.store import Journal, Store

#: Seconds that the last flush waits for a reader who does not leave: the journal keeps the results anyway.
LAST_FLUSH = 5.0
#: Seconds between two flushes of the journal into the store.
FLUSH_EVERY = 5.0
#: Seconds that a stop waits for batches under way.
GRACE = 15.0
#: Tasks that a structure may be lost in while it was alone.
LOST_ALONE = 3
#: Batches that may be lost in a row, with nothing coming home between them.
BARREN = 50
#: Losses that are, at first, no structure's fault: a node, a block or a walltime took its manager.
INNOCENT = {"ManagerLost"}
#: Such losses of one batch after which it is suspected all the same: an out-of-memory killer may take managers.
UNLUCKY = 2
#: Errors that every task would meet.
STOPPING = {
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

    @property
    def done(self) -> int:
        """Structures with a result from this run."""
        return self.ok + self.failed


class Screen:
    """One call of `mlmat screen`."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        run_id: str,
        on_progress: Callable[[int, int], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.store, self.plan, self.run_id = store, plan, run_id
        self.on_progress = on_progress or (lambda _done, _failed: None)
        self.say = say or (lambda _text: None)
        self.summary = Summary()
        self._flight: dict[Future[bytes], Batch] = {}
        self.stopped = False
        self._barren, self._workers = 0, 1
        self._flushed = time.monotonic()

    def loop(self, kernel: Any, workers: int, feed: Feed, journal: Journal) -> None:
        """Keep the workers busy until nothing is pending or a stop is asked for."""
        # A worker finds its next batch waiting; more than that would only have to be waited for after a stop.
        most = workers + max(1, workers // 8)
        self._workers = workers
        try:
            while (feed or self._flight) and not self.stopped:
                parsl_config.check_alive(kernel)
                self._fill(kernel, feed, most)
                done, _ = wait(self._flight, timeout=0.5, return_when=FIRST_COMPLETED)
                self._take(done, feed, journal)
                self.on_progress(0, self.summary.failed)
                self._flush(journal)
        finally:
            # After an error, too: what is on its way home is kept.
            if self._flight and parsl_config.is_alive(kernel):
                self._drain(journal)

    def stop(self) -> None:
        """Hand out nothing more; what is under way may still come home."""
        self.stopped = True
        batches = f"{len(self._flight)} batches under way" if self._flight else "the workers"
        self.say(f"stopping: waiting up to {GRACE:.0f} s for {batches}; ctrl-C again stops at once")

    def _fill(self, kernel: Any, feed: Feed, most: int) -> None:
        while feed and len(self._flight) < most:
            batch = feed.next()
            if batch is None:
                return
            batch.tries += 1
            future = parsl_config.submit(
                kernel, run_task, self.plan.recipe, self._ticket(batch.tries), frame.to_ipc(batch.geometry)
            )
            self._flight[future] = batch

    def _ticket(self, attempt: int) -> Ticket:
        scratch = str(self.store.folder / "scratch" / self.run_id)
        return Ticket(self.run_id, self.plan.method["method_id"], self.plan.runner, scratch, attempt)

    def _take(self, done: set[Future[bytes]], feed: Feed, journal: Journal) -> None:
        for future in done:
            batch = self._flight.pop(future)
            error = future.exception()
            if error is not None:
                self._lost(batch, error, feed, journal)
                continue
            self._record(future.result(), batch, feed, journal)

    def _record(self, packed: bytes, batch: Batch, feed: Feed, journal: Journal) -> None:
        meta = frame.meta_of(packed)
        if "broken" in meta:
            self._could_not_start(meta["broken"], batch, feed)
            return
        journal.append(packed)
        self._barren = 0
        self._count(meta)
        feed.learn(batch, meta["seconds"])

    def _count(self, meta: dict[str, Any]) -> None:
        self.summary.ok += meta["ok"]
        self.summary.failed += meta["failed"]
        self.on_progress(meta["ok"] + meta["failed"], self.summary.failed)

    def _could_not_start(self, why: str, batch: Batch, feed: Feed) -> None:
        """One host where the runner does not start must not end a screen that runs well on others."""
        self._barren += 1
        if self._barren >= (BARREN if self.summary.done else self._workers):
            raise RunnerError(f"the runner could not start on {why}")
        feed.give_back([batch])

    def _lost(self, batch: Batch, error: BaseException, feed: Feed, journal: Journal) -> None:
        """parsl could not bring this batch home: whose fault was it?"""
        kind, said = type(error).__name__, " ".join(str(error).split())
        if kind in STOPPING:
            raise RunnerError(
                f"the workers cannot run tasks ({kind}: {said}); is their environment this one?"
            ) from error
        self._barren += 1
        if self._barren > BARREN:
            raise RunnerError(f"{BARREN} batches in a row were lost, the last one by {kind}: {said}") from error
        if kind in INNOCENT and batch.unlucky < UNLUCKY:
            batch.unlucky += 1
            feed.give_back([batch])
        elif len(batch.ids) > 1:
            feed.give_back(batch.halves())
        else:
            self._lost_alone(batch, f"{kind}: {said}", feed, journal)

    def _lost_alone(self, batch: Batch, why: str, feed: Feed, journal: Journal) -> None:
        batch.lost += 1
        if batch.lost < LOST_ALONE:
            feed.give_back([batch])
            return
        message = f"lost with its worker {batch.tries} times, {batch.lost} of them alone; the last time: {why}"
        packed = failure_frame(self._ticket(batch.tries), batch.ids[0], "WorkerLost", message)
        self._record(packed, batch, feed, journal)

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
        deadline = time.monotonic() + GRACE
        while self._flight and (left := deadline - time.monotonic()) > 0:
            done, _ = wait(self._flight, timeout=left, return_when=FIRST_COMPLETED)
            for future in done:
                self._flight.pop(future)
                self._keep(future, journal)

    def _keep(self, future: Future[bytes], journal: Journal) -> None:
        """Record what came back after a stop; what did not stays pending."""
        if future.exception() is None and "broken" not in (meta := frame.meta_of(future.result())):
            journal.append(future.result())
            self._count(meta)


def screen(
    store: Store,
    plan: Plan,
    *,
    config: Any = "local",
    of: str | None = None,
    progress: Callable[[int], Any] | None = None,
    say: Callable[[str], None] | None = None,
    **selection: Any,
) -> Summary:
    """Compute the structures that have no current result of the plan's method, and record every outcome.

    config: `threads`, `local`, a file, or a parsl Config; of: a method whose returned structures are taken; selection:
    where, limit, retry_failed, include_flagged, as in `Store.pending`; progress(total) gives a callable that is told
    (structures done, failures so far); say is told what is going on. Raises StoreLocked when another process computes
    this method, RunnerError when the runner cannot start.
    """
    method_id = plan.method["method_id"]
    described = parsl_config.describe(config)
    config = parsl_config.make_config(config, store.folder / "parsl")
    run = provenance.new_run("screen", packages=plan.prepared.packages, method_id=method_id, parsl_config=described)
    with store.driver(method_id, provenance.who(run)):
        store.recover(method_id)
        pending = store.pending(method_id, of=store.find_method(of) if of else None, **selection)
        if pending.num_rows == 0:
            return Summary()
        store.start_run(run, plan.method)
        work = Screen(store, plan, run["run_id"], progress(pending.num_rows) if progress else None, say)
        return _run(work, config, pending)


def _run(work: Screen, config: Any, pending: pa.Table) -> Summary:
    start, store, summary = time.monotonic(), work.store, work.summary
    journal = store.journal(work.run_id)
    summary.outcome = "failed"
    with _stopped_by_signals(work):
        try:
            _compute(work, config, pending, journal)
            summary.outcome = "stopped" if work.stopped and summary.done < pending.num_rows else "finished"
        except KeyboardInterrupt:  # a second ctrl-C: what is in flight is given up, what came back is kept
            summary.outcome = "stopped"
        finally:
            try:
                work.finish_flush(journal, LAST_FLUSH)
            finally:
                journal.close()
                with suppress(StoreLocked):  # the journal keeps the results; a run without an end reads as killed
                    store.end_run(work.run_id, summary.outcome, 0.1 if summary.waiting_bytes else LAST_FLUSH)
    summary.seconds = time.monotonic() - start
    summary.pending = pending.num_rows - summary.done
    return summary


def _compute(work: Screen, config: Any, pending: pa.Table, journal: Journal) -> None:
    with parsl_config.kernel(config, work.store.folder / "parsl") as kernel:
        workers = parsl_config.workers_of(kernel.config)
        for note in work.plan.prepared.notes:
            work.say(f"note: {note}")
        work.say(f"{pending.num_rows:,} structures pending; starting {workers} workers")
        work.loop(kernel, workers, Feed(work.store, pending, work.plan.batch_atoms), journal)
        work.finish_flush(journal, 2.0)


@contextmanager
def _stopped_by_signals(work: Screen) -> Iterator[None]:
    """The first ctrl-C or SIGTERM asks for a stop; a second one interrupts at once."""

    def asked(number: int, _frame: Any) -> None:
        if work.stopped:
            raise KeyboardInterrupt
        work.stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
