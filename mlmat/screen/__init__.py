"""Screening: pending structures -> batches -> parsl tasks -> journal -> store."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mlmat import parsl_config, provenance
from mlmat.errors import StoreLocked, UsageError
from mlmat.processes import child
from mlmat.screen._loop import Screen, Summary
from mlmat.screen._nothing import why_nothing
from mlmat.screen._queue import BatchQueue
from mlmat.screen._recorder import Recorder, end_orphans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from mlmat.methods.method import ResolvedMethod
    from mlmat.store import Journal, Store

__all__ = ["Summary", "screen"]

#: Seconds that the last flush waits for a reader who does not leave: the journal keeps the results anyway.
LAST_FLUSH = 5.0
#: Batches that a driver takes home in a second, at ease (benchmarks/scaling.py): with many workers they are longer.
MOST_BATCHES = 50


def screen(
    store: Store,
    plan: ResolvedMethod,
    *,
    config: Any = "local",
    of: str | None = None,
    progress: Callable[[int], Any] | None = None,
    say: Callable[[str], None] | None = None,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    arguments: str | None = None,
    **selection: Any,
) -> Summary:
    """Compute the structures that have no current result of the plan's method, and record every outcome.

    config: `threads`, `local`, a file, or a parsl Config; time_limit: seconds for each structure, memory_limit: GB for
    each worker's computation, both for worker processes alone; of: a method whose returned structures are taken;
    selection: where, limit, retry_failed, include_flagged, as in `Store.pending`; progress(total) gives a callable
    that is told (structures done, failures so far, part=what they are of all atoms, 1 in the end); say is told what is
    going on; arguments: the command line that the run is recorded with, by default that of this process.
    Raises StoreLocked when another process computes this method, RunnerError when the runner cannot start, UsageError
    for limits that nobody can keep.
    """
    method_id = plan.method["method_id"]
    described = parsl_config.describe(config)
    gpus = str(plan.prepared.settings.get("device", "cpu")) != "cpu"
    config = parsl_config.make_config(config, store.folder / "parsl", gpus=gpus)
    limits = _limits(config, time_limit, memory_limit)
    about = {"packages": plan.prepared.packages, "method_id": method_id, "parsl_config": described}
    run = provenance.new_run("screen", arguments, **about)
    with store.driver(method_id, provenance.who(run)):
        end_orphans(store, say)
        store.recover(method_id)
        store.adopt_method(plan.method)
        pending = store.pending(method_id, of=store.find_method(of) if of else None, **selection)
        _tell_of_excluded(store, method_id, {**selection, "of": of}, say)
        if pending.num_rows == 0:
            wish = {**selection, "of": of}
            return Summary(nothing=why_nothing(store, method_id, plan.method["method"], wish))
        store.start_run(run, plan.method)
        recorder = Recorder(store, plan, run, pending.num_rows, progress(pending.num_rows) if progress else None, say)
        work = Screen(
            store,
            plan,
            run["run_id"],
            recorder,
            limits=limits,
            scratch=parsl_config.scratch_of(config, store.folder / "parsl") / run["run_id"],
            atoms=sum(pending["nsites"].to_pylist()),
            ending=parsl_config.ending(config),
            proven=store.has_ok(method_id),
        )
        return _run(work, config, pending, recorder)


def _tell_of_excluded(store: Store, method_id: str, wish: Mapping[str, Any], say: Callable[[str], None] | None) -> None:
    """Say how many structures would be computed, had nobody excluded them."""
    of = store.find_method(wish["of"]) if wish.get("of") else None
    count = store.pending(method_id, **{**wish, "of": of, "limit": None, "excluded": True}).num_rows
    if count and say:
        say(f"{count:,} excluded structure{'s are' if count > 1 else ' is'} left out (mlmat reduce excluded)")


def _limits(config: Any, time_limit: float | None, memory_limit: float | None) -> dict[str, Any]:
    """Limits of a `BatchContext`. Raises UsageError where structures run in this process: it cannot end them."""
    if (time_limit or memory_limit) and parsl_config.has_threads(config):
        raise UsageError(
            "--time-limit and --memory-limit need worker processes: threads cannot be ended; use --config local"
        )
    if memory_limit and not child.LIMITS_MEMORY:
        raise UsageError(f"--memory-limit holds on Linux only, and this is {sys.platform}; leave it out")
    return {"time_limit": time_limit, "memory_limit": int(memory_limit * 1e9) if memory_limit else None}


def _run(work: Screen, config: Any, pending: pa.Table, recorder: Recorder) -> Summary:
    start, store, summary = time.monotonic(), work.store, work.summary
    journal = store.journal(work.run_id)
    summary.outcome = "failed"
    with _stopped_by_signals(work), recorder.recording(work, config):
        try:
            _compute(work, config, pending, journal, recorder)
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


def _compute(work: Screen, config: Any, pending: pa.Table, journal: Journal, recorder: Recorder) -> None:
    with parsl_config.kernel(config, work.store.folder / "parsl") as kernel:
        workers = parsl_config.workers_of(kernel.config)
        for note in work.plan.prepared.notes:
            work.listener.said(f"note: {note}")
        count = pending.num_rows
        some = f"{count:,} structure{'s' * (count != 1)} pending"
        work.listener.said(f"{some}; starting {workers} worker{'s' * (workers != 1)}")
        plan = work.plan
        seconds = max(plan.prepared.batch_seconds, parsl_config.seconds_per_batch(config), workers / MOST_BATCHES)
        feed = BatchQueue(work.store, pending, plan.first_atoms, workers, seconds)
        with recorder.following(kernel):
            work.loop(kernel, workers, feed, journal)
        work.finish_flush(journal, 2.0)


@contextmanager
def _stopped_by_signals(work: Screen) -> Iterator[None]:
    """The first ctrl-C, SIGTERM or lost terminal asks for a stop; a second one interrupts at once."""

    def asked(number: int, _frame: Any) -> None:
        if number == signal.SIGHUP:
            _let_go_of_terminal()
        if work.stopped:
            raise KeyboardInterrupt
        work.stop(f"asked to ({signal.Signals(number).name})")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        numbers.add(signal.SIGHUP)
    before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _let_go_of_terminal() -> None:
    """Write to nowhere what would go to a terminal that is gone: each line would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        if os.isatty(fd) or not _writable(fd):
            os.dup2(nowhere, fd)
    os.close(nowhere)


def _writable(fd: int) -> bool:
    try:
        os.write(fd, b"")
    except OSError:
        return False
    return True
