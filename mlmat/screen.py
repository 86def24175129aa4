"""The screening loop: pending structures -> batches -> parsl tasks -> journal -> store.

A batch is the unit of transport, a structure the unit of record. A batch that is lost with its worker is handed out
again, then split; a structure that was alone in three lost tasks has failed (`WorkerLost`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat import frame, parsl_config, provenance
from mlmat.errors import RunnerError, StoreLocked
from mlmat.runner._task import Ticket, failure_frame, run_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlmat.runner._method import Plan
    from mlmat.store import Journal, Store

#: Seconds of work that a batch should take: long enough for transport to vanish, short enough to stop soon.
BATCH_SECONDS = 4.0
#: Structures in one batch at most, and read ahead of their computation.
BATCH_MAX, AHEAD = 2_000, 20_000
#: Seconds between two flushes of the journal into the store.
FLUSH_EVERY = 5.0
#: Seconds that a stop waits for batches under way.
GRACE = 15.0
#: Tasks that a structure may be lost in while it was alone.
LOST_ALONE = 3


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


@dataclass(slots=True)
class Batch:
    """Structures that travel together, and how often they were lost."""

    ids: list[str]
    sites: list[int]
    geometry: pa.Table
    lost: int = 0
    started: float = field(default_factory=time.monotonic)

    def halves(self) -> list[Batch]:
        """The batch in two, so that the guilty structure is alone in the end."""
        middle = len(self.ids) // 2
        parts = [(slice(0, middle), 0, middle), (slice(middle, None), middle, len(self.ids) - middle)]
        return [Batch(self.ids[s], self.sites[s], self.geometry.slice(at, n)) for s, at, n in parts]


class Feed:
    """Pending structures as batches of a size that is learnt from what the last ones took."""

    def __init__(self, store: Store, pending: pa.Table, batch_atoms: int) -> None:
        self._store = store
        self._ids: list[str] = pending["structure_id"].to_pylist()
        self._sites: list[int] = pending["nsites"].to_pylist()
        self._at = 0
        self._ahead_from = 0
        self._ahead: pa.Table | None = None
        self.atoms_per_batch = float(batch_atoms)
        self._again: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._again) or self._at < len(self._ids)

    def next(self) -> Batch | None:
        """The next batch; None when the store is held by somebody and nothing was read ahead."""
        if self._again:
            return self._again.popleft()
        end, atoms = self._at, 0
        while end < len(self._ids) and end - self._at < BATCH_MAX and (atoms < self.atoms_per_batch or end == self._at):
            atoms += self._sites[end]
            end += 1
        geometry = self._read(end)
        if geometry is None:
            return None
        batch = Batch(self._ids[self._at : end], self._sites[self._at : end], geometry)
        self._at = end
        return batch

    def _read(self, end: int) -> pa.Table | None:
        if self._ahead is None or end > self._ahead_from + self._ahead.num_rows:
            try:
                self._ahead = self._store.geometry(self._ids[self._at : self._at + AHEAD])
            except StoreLocked:
                return None
            self._ahead_from = self._at
        return self._ahead.slice(self._at - self._ahead_from, end - self._at)

    def give_back(self, batches: list[Batch]) -> None:
        """Hand batches out again, before anything new."""
        self._again.extend(batches)

    def learn(self, batch: Batch, seconds: float) -> None:
        """Size the next batches by what this one took in the worker."""
        if seconds <= 0:
            return
        fitting = sum(batch.sites) * BATCH_SECONDS / seconds
        # At most doubled each time: the first batches pay for loading the model or meet easy structures.
        self.atoms_per_batch = max(1.0, min(fitting, self.atoms_per_batch * 2))


class Screen:
    """One call of `mlmat screen`."""

    def __init__(self, store: Store, plan: Plan, run_id: str, on_progress: Callable[[int, int], None]) -> None:
        self.store, self.plan, self.run_id = store, plan, run_id
        self.on_progress = on_progress
        self.summary = Summary()
        self._flight: dict[Future[bytes], Batch] = {}
        self._stop = False
        self._flushed = time.monotonic()

    def loop(self, kernel: Any, workers: int, feed: Feed, journal: Journal) -> None:
        """Keep the workers busy until nothing is pending or a stop is asked for."""
        while (feed or self._flight) and not self._stop:
            self._fill(kernel, feed, 2 * workers)
            done, _ = wait(self._flight, timeout=0.5, return_when=FIRST_COMPLETED)
            self._take(done, feed, journal)
            self._flush(journal)
        if self._flight:
            self._drain(feed, journal)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stop = True

    def _fill(self, kernel: Any, feed: Feed, most: int) -> None:
        while feed and len(self._flight) < most:
            batch = feed.next()
            if batch is None:
                return
            future = parsl_config.submit(
                kernel, run_task, self.plan.recipe, self._ticket(batch.lost + 1), frame.to_ipc(batch.geometry)
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
            raise RunnerError(f"the runner could not start on {meta['broken']}")
        journal.append(packed)
        self.summary.ok += meta["ok"]
        self.summary.failed += meta["failed"]
        feed.learn(batch, meta["seconds"])
        self.on_progress(meta["ok"] + meta["failed"], self.summary.failed)

    def _lost(self, batch: Batch, error: BaseException, feed: Feed, journal: Journal) -> None:
        """A worker died with this batch, or parsl could not deliver it."""
        batch.lost += 1
        if len(batch.ids) > 1:
            feed.give_back(batch.halves())
        elif batch.lost < LOST_ALONE:
            feed.give_back([batch])
        else:
            message = f"lost with its worker {batch.lost} times while it was alone; the last time: {error}"
            packed = failure_frame(self._ticket(batch.lost), batch.ids[0], "WorkerLost", message)
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

    def _drain(self, feed: Feed, journal: Journal) -> None:
        """After a stop: take what comes back soon, leave the rest pending."""
        deadline = time.monotonic() + GRACE
        for future in self._flight:
            future.cancel()
        while self._flight and (left := deadline - time.monotonic()) > 0:
            done, _ = wait(self._flight, timeout=left, return_when=FIRST_COMPLETED)
            for future in [f for f in done if f.cancelled() or f.exception() is not None]:
                self._flight.pop(future)
                done.discard(future)
            self._take(done, feed, journal)


def screen(
    store: Store,
    plan: Plan,
    *,
    config: Any = "local",
    of: str | None = None,
    progress: Callable[[int], Any] | None = None,
    **selection: Any,
) -> Summary:
    """Compute the structures that have no current result of the plan's method, and record every outcome.

    config: `threads`, `local`, a file, or a parsl Config; of: a method whose returned structures are taken; selection:
    where, limit, retry_failed, include_flagged, as in `Store.pending`; progress(total) gives a callable that is told
    (structures done, failures so far). Raises StoreLocked when another process computes this method, RunnerError
    when the runner cannot start.
    """
    method_id = plan.method["method_id"]
    run = provenance.new_run("screen", packages=plan.prepared.packages, method_id=method_id, parsl_config=str(config))
    with store.driver(
        method_id, f"process {run['pid']} on {run['host']}, since {run['started_at']:%Y-%m-%d %H:%M} UTC"
    ):
        pending = store.pending(method_id, of=store.find_method(of) if of else None, **selection)
        if pending.num_rows == 0:
            return Summary()
        store.start_run(run, plan.method)
        return _run(store, plan, run["run_id"], config, pending, progress)


def _run(store: Store, plan: Plan, run_id: str, config: Any, pending: pa.Table, progress: Any) -> Summary:
    start = time.monotonic()
    told = progress(pending.num_rows) if progress else None
    work = Screen(store, plan, run_id, told or (lambda _done, _failed: None))
    journal = store.journal(run_id)
    outcome = "failed"
    try:
        with _stopped_by_signals(work), parsl_config.kernel(config, store.folder / "parsl") as kernel:
            feed = Feed(store, pending, plan.batch_atoms)
            work.loop(kernel, parsl_config.workers_of(kernel.config), feed, journal)
            outcome = "stopped" if work._stop else "finished"
            work.finish_flush(journal, 2.0)
    finally:
        work.finish_flush(journal, 60.0)
        journal.close()
        store.end_run(run_id, outcome)
        summary = work.summary
        summary.outcome, summary.seconds = outcome, time.monotonic() - start
        summary.pending = pending.num_rows - summary.done
    return summary


@contextmanager
def _stopped_by_signals(work: Screen) -> Iterator[None]:
    """The first ctrl-C or SIGTERM asks for a stop; a second one interrupts at once."""

    def asked(number: int, _frame: Any) -> None:
        if work._stop:
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
