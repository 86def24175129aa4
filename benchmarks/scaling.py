"""How many workers one driver keeps busy: measured for 1 and 2, simulated for 10 to 10,000.

    python benchmarks/scaling.py [--rounds 5] [--reduced]

The driver is the real one (loop, journal, store), with workers that answer at once: what is left is its own time for a
batch of so many structures. What parsl adds to a task is measured on real workers. A simulation with these two and with
the times that structures take then says what part of the time N workers compute.
"""

from __future__ import annotations

import heapq
import math
import os
import random
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import synthetic
from harness import machine, parser, report

from mlmat import arrow_frames, parsl_config, provenance
from mlmat.methods.method import ResolvedMethod
from mlmat.runner._base import Prepared
from mlmat.screen import _loop
from mlmat.screen._queue import BATCH_MAX, BatchQueue
from mlmat.store import Store, open_store
from mlmat.worker.outcome import OutcomeOf
from mlmat.worker.packing import pack

NOOP = f"{Path(__file__).parent / 'noop.py'}:Noop"
#: Seconds of work in a batch, unless a runner says otherwise.
BATCH_SECONDS = Prepared(settings={}, identity={}).batch_seconds
#: Seconds a structure: single points with a small model on a core, with a large one, relaxations.
KINDS = {"single points, 20 ms": 0.02, "single points, 0.2 s": 0.2, "relaxations, 2 s": 2.0, "relaxations, 60 s": 60.0}
#: Spread of the time of a structure (standard deviation of its logarithm): sizes of real crystals.
SPREAD = 0.8
WORKERS = (10, 30, 100, 300, 1_000, 3_000, 10_000)


class Instant:
    """What takes the place of parsl: a batch is back as soon as it is submitted. seconds: spent on making it up."""

    def __init__(self) -> None:
        self.executors: dict[str, Any] = {}
        self.config = SimpleNamespace(executors=[])
        self.seconds, self.tasks = 0.0, 0

    def submit(self, _kernel: Any, _run: Any, _recipe: Any, context: Any, structures: bytes) -> Future[list[bytes]]:
        """A future that has its result."""
        start = time.perf_counter()
        table = arrow_frames.from_ipc(structures)
        rows = [{"energy": None, "forces": [[0.0] * 3] * n} for n in table["nsites"].to_pylist()]
        outcomes = [OutcomeOf(1e-3, row) for row in rows]
        found: Future[list[bytes]] = Future()
        columns = {"energy": "DOUBLE -- eV", "forces": "DOUBLE[3][] -- eV/Å"}
        found.set_result([pack(context, columns, table["structure_id"].to_pylist(), outcomes)])
        self.seconds += time.perf_counter() - start
        self.tasks += 1
        return found


def driven(store: Store, size: int, batches: int) -> float:
    """Seconds that the driver takes for a batch of so many structures, its merges into the store included."""
    plan = ResolvedMethod(NOOP, {"energy": "false", "forces": "true"}, store.table_name)
    run = provenance.new_run("screen", "scaling", method_id=plan.method["method_id"])
    store.start_run(run, plan.method)
    pending = store.pending(f"none-{size}").slice(0, size * batches)
    work, kernel, journal = _loop.Screen(store, plan, run["run_id"]), Instant(), store.journal(run["run_id"])
    feed = BatchQueue(store, pending, 1.0, 8, BATCH_SECONDS)
    sites = pending["nsites"].to_pylist()
    feed.learn = lambda *_: None  # type: ignore[method-assign]
    # Batches of exactly so many structures, whatever their atoms.
    feed._sites = [1] * len(sites)
    feed._fitting = lambda: float(size)  # type: ignore[method-assign]
    before, parsl_config.submit = parsl_config.submit, kernel.submit
    start = time.perf_counter()
    try:
        work.loop(kernel, 8, feed, journal)
        work.finish_flush(journal, 5.0)
    finally:
        parsl_config.submit = before
        journal.close()
    return (time.perf_counter() - start - kernel.seconds) / max(1, kernel.tasks)


def parsl_task(rounds: int) -> float:
    """Seconds of this process that parsl takes for a task of a real executor: the interchange has its own core."""
    from million import one_worker

    with tempfile.TemporaryDirectory() as folder:
        config = parsl_config.make_config(one_worker(), Path(folder))
        with parsl_config.kernel(config, Path(folder)) as kernel:
            parsl_config.submit(kernel, len, b"").result()
            data, seconds = os.urandom(20_000), []
            for _ in range(rounds):
                start = time.process_time()
                for future in [parsl_config.submit(kernel, len, data) for _ in range(300)]:
                    future.result()
                seconds.append((time.process_time() - start) / 300)
    return sorted(seconds)[len(seconds) // 2]


def busy(store: Store, workers: int, each: float, seconds: float) -> float:
    """Part of the time that real workers compute, where a structure takes `each` s (asleep); seconds: of work for each.

    The workers and their children are running before; the first batches are small, as in any screen.
    """
    from million import some_workers

    plan = ResolvedMethod(NOOP, {"energy": "false", "wait": str(each)}, store.table_name)
    pending, folder = store.pending(f"busy-{workers}"), store.folder / "parsl"
    with parsl_config.kernel(parsl_config.make_config(some_workers(workers), folder), folder) as kernel:
        for count in (4 * workers, round(workers * seconds / each)):
            run = provenance.new_run("screen", "scaling", method_id=plan.method["method_id"])
            store.start_run(run, plan.method)
            work, journal = _loop.Screen(store, plan, run["run_id"]), store.journal(run["run_id"])
            feed = BatchQueue(store, pending.slice(0, count), 1.0, workers, BATCH_SECONDS)
            start = time.perf_counter()
            work.loop(kernel, workers, feed, journal)
            took = time.perf_counter() - start
            work.finish_flush(journal, 5.0)
            journal.close()
    return count * each / (workers * took)


def simulated(workers: int, each: float, batch: Any, seed: int = 0) -> SimpleNamespace:
    """Let a driver with these costs feed so many workers for ten batches each; what part of the time they compute.

    batch(n): seconds of the driver for a batch of n structures. Batches take about `BATCH_SECONDS`, as the driver
    sizes them; it has one more batch under way for eight workers, as in `screen._loop`.
    """
    rng = random.Random(seed)
    size = max(1, min(BATCH_MAX, round(BATCH_SECONDS / each)))
    cost, total = batch(size), workers * 10
    spread = SPREAD / math.sqrt(size)
    free = [0.0] * workers  # when each worker is done with what it has
    ahead, clock = max(1, workers // 8), 0.0
    spans: list[tuple[float, float]] = []
    home: list[float] = []  # when the batches that are under way are back
    for number in range(total):
        if number >= workers + ahead:
            clock = max(clock, heapq.heappop(home))
        clock += cost
        took = size * each * rng.lognormvariate(-spread * spread / 2, spread)
        begin = max(clock, heapq.heappop(free))
        heapq.heappush(free, begin + took)
        heapq.heappush(home, begin + took)
        spans.append((begin, begin + took))
    # Only until the last batch was handed out: what follows is the end of any work, whatever the driver.
    busy = sum(min(end, clock) - begin for begin, end in spans if begin < clock)
    return SimpleNamespace(part=busy / (workers * clock), rate=total * size / max(free), size=size)


def main() -> None:
    """Measure, simulate, report."""
    given = parser(__doc__).parse_args()
    before = machine()
    sizes = {1: 300, 20: 100, 200: 40, 2_000: 5}
    if given.reduced:
        sizes = {1: 100, 20: 30, 200: 10}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "s.duckdb", create=True)
        synthetic.fill(store, max(size * count for size, count in sizes.items()))
        costs: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(given.rounds):
            for size, batches in sizes.items():
                costs[size].append(driven(store, size, batches))
        ours = {size: sorted(found)[len(found) // 2] for size, found in costs.items()}
        work, kinds = (12.0, (0.2,)) if given.reduced else (60.0, (0.02, 0.2))
        real = {(each, workers): busy(store, workers, each, work) for each in kinds for workers in (1, 2)}
    theirs = parsl_task(given.rounds)
    few, many = min(ours), max(ours)
    slope = (ours[many] - ours[few]) / (many - few)
    notes = [f"driver: {1000 * ours[size]:.2f} ms for a batch of {size:,}" for size in ours]
    notes.append(f"parsl: {1000 * theirs:.2f} ms for a task, in the driver's process")

    def batch(size: int) -> float:
        return theirs + ours[few] + slope * (size - few)

    notes += [
        f"{workers} real worker{'s' * (workers > 1)}, {each:g} s a structure, asleep, {work:g} s of work: "
        f"{part:.0%} of the time (simulated: {simulated(workers, each, batch).part:.0%})"
        for (each, workers), part in real.items()
    ]
    rows, series = [], {}
    for kind, each in KINDS.items():
        found = [simulated(workers, each, batch) for workers in WORKERS]
        series[kind] = [(workers, one.part, one.rate) for workers, one in zip(WORKERS, found, strict=True)]
        limit = BATCH_SECONDS if each < BATCH_SECONDS else each
        rows.append({"work": kind, "structures per batch": found[0].size,
                     **{f"{workers:,} workers": f"{one.part:.0%}" for workers, one in zip(WORKERS, found, strict=True)},
                     "workers that one driver feeds": round(limit / batch(found[0].size))})  # fmt: skip
    notes.append(f"the driver alone takes at most {1 / batch(1):.0f} batches/s, {many / batch(many):,.0f} structures/s")
    report("scaling", rows, notes, before=before, costs=costs, parsl=theirs, series=series)


if __name__ == "__main__":
    main()
