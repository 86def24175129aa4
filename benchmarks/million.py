"""A store of a million structures and three million results: what its users wait for, and what it takes.

    python benchmarks/million.py [--rounds 5] [--reduced] [--keep FOLDER]

Structures are synthetic, with the sizes and compositions of real ones. The store is filled through the same calls as
`ingest` and `screen` use; --keep leaves it in a folder, and takes it from there the next time. --reduced: 10^5.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import synthetic
from harness import machine, measure, parser, report

from mlmat import parsl_config, provenance
from mlmat.methods.method import ResolvedMethod
from mlmat.screen import screen
from mlmat.store import Store, open_store

METHODS = ("m0", "m1", "m2")
BATCH = 1_000
NOOP = f"{Path(__file__).parent / 'noop.py'}:Noop"


def made(path: Path, count: int, methods: tuple[str, ...]) -> tuple[Store, dict[str, float]]:
    """A store of this size, and what filling it took: seconds for each structure and result."""
    if path.exists():
        return open_store(path), {}
    store = open_store(path, create=True)
    start = time.perf_counter()
    synthetic.fill(store, count)
    filled = time.perf_counter()
    for seed, method in enumerate(methods):
        synthetic.screened(store, method, seed)
    ended = time.perf_counter()
    return store, {"structures": (filled - start) / count, "results": (ended - filled) / (count * len(methods) or 1)}


def questions(store: Store) -> dict[str, tuple[Callable[[], object], float]]:
    """What is asked, and the seconds that it may take."""
    (some,) = store.sql("SELECT structure_id FROM structure LIMIT 1 OFFSET 777")["structure_id"]
    common = "SELECT mode(chemical_formula_reduced) AS f FROM structure"
    (formula,) = store.sql(common)["f"]
    return {
        "pending set of a new method": (lambda: store.pending("new"), 0.3),
        "pending set of a method that is done": (lambda: store.pending("m0"), 0.3),
        "status": (store.status, 1.0),
        "ranking of one formula": (lambda: store.sql("FROM ranking WHERE formula = ?", [formula]), 1.0),
        "ranking of one formula and method": (
            lambda: store.sql("FROM ranking WHERE formula = ? AND method_id = 'm1'", [formula]),
            1.0,
        ),
        "ranking of a method, the best 20 small cells": (
            lambda: store.sql(
                "FROM ranking WHERE method_id = 'm1' AND nsites < 5 AND energy_above_best < 0.01 LIMIT 20"
            ),
            1.0,
        ),
        "ranking of one chemical system": (
            lambda: store.sql("FROM ranking WHERE chemical_system = 'Cu-O'"),
            1.0,
        ),
        "current results of one structure": (
            lambda: store.sql("FROM current_result WHERE structure_id = ?", [some]),
            1.0,
        ),
        "current results counted by method": (
            lambda: store.sql("SELECT method_id, status, count(*) FROM current_result GROUP BY ALL"),
            1.0,
        ),
    }


def flush(store: Store) -> Callable[[], object]:
    """Merge one batch of results of structures that lie somewhere in the middle."""
    rng = np.random.default_rng(3)
    run = provenance.new_run("screen", "synthetic", method_id="flushed")
    about = {"method_id": "flushed", "method": "flushed", "runner": "flushed", "runner_version": "1", "settings": {}}
    store.start_run(run, about)
    pending = store.pending("flushed")
    journal = store.journal(provenance.new_id())
    parts = iter([pending.slice(i, BATCH) for i in range(0, pending.num_rows, BATCH)])

    def once() -> int:
        # What a worker does is not the driver's time: the frames are made before.
        return store.merge(journal)

    def ready() -> None:
        journal.append(synthetic.results(rng, next(parts), "flushed", run["run_id"]))

    once.prepare = ready  # type: ignore[attr-defined]
    return once


def flushes(store: Store, rounds: int) -> list[float]:
    """Seconds of a flush, by round; the first, which makes the runner's table, is left out."""
    once, seconds = flush(store), []
    for number in range(rounds + 1):
        once.prepare()  # type: ignore[attr-defined]
        start = time.perf_counter()
        once()
        if number:
            seconds.append(time.perf_counter() - start)
    return seconds


def bytes_of_structures(store: Store, folder: Path) -> float:
    """Bytes of a file that holds table `structure` alone, for each structure."""
    import duckdb

    with duckdb.connect(str(folder / "alone.duckdb")) as con:
        con.execute(f"ATTACH '{store.path}' AS full_store (READ_ONLY)")
        con.execute("CREATE TABLE structure AS FROM full_store.structure")
        con.execute("DETACH full_store")
        con.execute("CHECKPOINT")
        ((count,),) = con.execute("SELECT count(*) FROM structure").fetchall()
        ((used,),) = con.execute("SELECT block_size * used_blocks FROM pragma_database_size()").fetchall()
    (folder / "alone.duckdb").unlink()
    return float(used / count)


def screened(path: Path, forces: bool = True) -> dict[str, float]:
    """A no-op screen over all of a store, as a process of its own; its time and its largest memory.

    growing: the part of its time that a screen of next to nothing does not take.
    """
    code = f"""
import re, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import million
from mlmat.store import open_store
found, little = million.run_noop(open_store({str(path)!r}), {forces})
# Not ru_maxrss: Linux lets a new process begin with its parent's.
memory = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(found.done, found.seconds, little.seconds, memory * 1024 / 1e9)
"""
    asked = [sys.executable, "-c", code]
    found = subprocess.run(asked, check=True, text=True, stdout=subprocess.PIPE, env=dict(os.environ)).stdout.split()
    done, (seconds, little, memory) = int(found[0]), map(float, found[1:])
    assert done
    return {"structures": done, "seconds": seconds, "growing": seconds - little, "GB": memory}


def run_noop(store: Store, forces: bool) -> Any:
    """Screen with a runner that computes nothing, on one worker process that has begun; also of next to nothing."""
    settings = {"forces": str(forces).lower(), "energy": "false"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with parsl_config.kernel(one_worker(), folder / "parsl") as kernel, kept(kernel):
            for number in range(2):  # the first one waits for the worker
                few, _ = made(folder / f"{number}.duckdb", 100, ())
                little = screen(few, ResolvedMethod(NOOP, settings, few.table_name), config=one_worker())
            return screen(store, ResolvedMethod(NOOP, settings, store.table_name), config=one_worker()), little


@contextmanager
def kept(kernel: Any) -> Iterator[None]:
    """Screens meanwhile run on this kernel, which they leave running."""
    import mlmat.screen as package

    before, package.parsl_config.kernel = package.parsl_config.kernel, lambda *_: nullcontext(kernel)
    try:
        yield
    finally:
        package.parsl_config.kernel = before


def one_worker() -> Any:
    """One worker process on this machine."""
    return some_workers(1)


def some_workers(count: int) -> Any:
    """So many worker processes on this machine."""
    from parsl import Config, HighThroughputExecutor
    from parsl.providers import LocalProvider

    executor = HighThroughputExecutor(
        label="some",
        address="127.0.0.1",
        max_workers_per_node=count,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    return Config(executors=[executor], initialize_logging=False)


def hull_of(store: Store) -> float:
    """Seconds of the hull of one chemical system, the first time: what is out of date is computed."""
    start = time.perf_counter()
    store.sql("FROM hull WHERE chemical_system = 'Cu-O' AND method_id = 'm1'", timeout=None)
    return time.perf_counter() - start


def main() -> None:
    """Fill, ask, report."""
    options = parser(__doc__)
    options.add_argument("--keep", type=Path, help="a folder for the stores, which are left there")
    options.add_argument("--size", type=int, help="structures, in place of 10^6 (--reduced: 10^5)")
    options.add_argument("--no-screen", action="store_true", help="without the screen over all of it")
    options.add_argument("--hull", action="store_true", help="with the hull of one system: all hulls are computed")
    given = options.parse_args()
    count = given.size or (100_000 if given.reduced else 1_000_000)
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        store, filling = made(folder / f"{count}.duckdb", count, METHODS)
        store.execute("SELECT 1")  # a store that was kept gets the views of this version
        asked = questions(store)
        found = measure({name: ask for name, (ask, _) in asked.items()}, given.rounds, warm=True)
        rows = [_row(f"{name} (s)", found.median(name), goal) for name, (_, goal) in asked.items()]
        taken = sorted(flushes(store, given.rounds))
        rows.append(_row(f"flush of {BATCH:,} results (s)", taken[len(taken) // 2], 0.1))
        size = bytes_of_structures(store, Path(scratch))
        rows.append(_row("bytes of table structure, each", size, 400.0))
        notes = [f"{count:,} structures, {len(METHODS)} x {count:,} results; {store.path.stat().st_size / 1e9:.2f} GB"]
        notes.append(f"memory of the process that asked all of it: {_memory():.2f} GB")
        notes += [f"filling: {1000 * each:.3f} ms for each of {what}" for what, each in filling.items()]
        if not given.no_screen:
            rows += _screens(folder, Path(scratch), count, notes)
        if given.hull:
            rows.append(_row("hull of one chemical system, the first time (s)", hull_of(store), 1.0))
            rows.append(_row("hull of one chemical system, again (s)", hull_of(store), 1.0))
    report("million", rows, notes, before=before, seconds=found.seconds, flushes=taken)


def _row(what: str, value: float, goal: float) -> dict[str, Any]:
    return {"what": what, "measured": value, "goal": goal, "met": "yes" if value <= goal else "no"}


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _screens(folder: Path, scratch: Path, count: int, notes: list[str]) -> list[dict[str, Any]]:
    """A no-op screen over 10^4 structures and over all of them; stores are copied, so that nothing is kept."""
    # Without results of others, whose hulls would be computed at its end for some seconds: that tells against 10^6.
    small, _ = made(scratch / "10000.duckdb", 10_000, ())
    found = {}
    for path in (small.path, folder / f"{count}.duckdb"):
        copy = scratch / path.name.replace(".", "-screened.")
        shutil.copy(path, copy)
        found[path.stem] = screened(copy)
        copy.unlink()
    all_of = found[str(count)]
    each = {name: 1000 * one["growing"] / one["structures"] for name, one in found.items()}
    notes.append(f"no-op screens, without what one of 100 structures takes: {each['10000']:.3f} ms for each of 10^4, "
                 f"{each[str(count)]:.3f} ms of {count:,}")  # fmt: skip
    return [
        _row(f"no-op screen over {count:,}, ms each", 1000 * all_of["seconds"] / all_of["structures"], 0.4),
        _row("the same against 10^4, ratio", each[str(count)] / each["10000"], 1.5),
        _row("memory of the driver (GB)", all_of["GB"], 1.5),
    ]


if __name__ == "__main__":
    main()
