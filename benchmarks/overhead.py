"""What a workflow system costs for each structure: a runner that computes nothing, from stored to recorded.

    python benchmarks/overhead.py [--rounds 5] [--reduced]

Every variant takes the same crystals, as real as the set `clean` has them, and leaves its results where its users look
for them. Workers of parsl are running before the clock starts, for mlmat as for the others. Peers (see peers.txt) are
left out where they are not installed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QUACC_WORKFLOW_ENGINE", "parsl")
os.environ.setdefault("QUACC_CREATE_UNIQUE_DIR", "False")

import synthetic
from ase import Atoms
from harness import machine, measure, missing, parser, report
from million import kept, one_worker

from mlmat import parsl_config
from mlmat.methods.method import ResolvedMethod
from mlmat.screen import screen
from mlmat.store import Store, open_store

NOOP = f"{Path(__file__).parent / 'noop.py'}:Noop"
SERIAL = 200


class Mlmat:
    """A screen with recording; the kernel of parsl is kept from round to round, as the peers keep theirs."""

    def __init__(self, folder: Path, count: int, kernel: Any) -> None:
        self.folder, self.kernel = folder, kernel
        self.store = open_store(folder / "all.duckdb", create=True)
        synthetic.fill(self.store, count)
        self.number = 0

    def fresh(self) -> Store:
        """A copy in which nothing is computed."""
        self.number += 1
        path = self.folder / f"{self.number}.duckdb"
        shutil.copy(self.store.path, path)
        return open_store(path)

    def run(self, store: Store, batch: int, energy: bool = False) -> int:
        """Screen it all, in batches of about so many structures. With energies, hulls are computed at the end."""
        from mlmat.screen import _queue

        plan = ResolvedMethod(NOOP, {"energy": str(energy).lower()}, store.table_name)
        plan.first_atoms = 1e9
        before, _queue.BATCH_MAX = _queue.BATCH_MAX, batch
        try:
            with kept(self.kernel):
                return screen(store, plan, config="local").done
        finally:
            _queue.BATCH_MAX = before


def noop_of(atoms: Atoms) -> dict[str, Any]:
    """What every peer computes."""
    return {"energy": float(-len(atoms)), "forces": [[0.0, 0.0, 0.0]] * len(atoms)}


def bare_parsl(kernel: Any, crystals: list[Atoms]) -> Callable[[], int]:
    """A task for each structure, results in a list: no record at all."""

    def run() -> int:
        futures = [parsl_config.submit(kernel, noop_of, atoms) for atoms in crystals]
        return len([future.result() for future in futures])

    return run


def jobflow(crystals: list[Atoms], folder: Path) -> Callable[[], int]:
    """A flow of jobs, run locally, with a store on disk."""
    from jobflow import Flow, JobStore, job, run_locally
    from maggma.stores import JSONStore
    from pymatgen.io.ase import AseAtomsAdaptor

    @job
    def compute(structure: Any) -> dict[str, Any]:
        return {"energy": float(-len(structure)), "forces": [[0.0, 0.0, 0.0]] * len(structure)}

    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in crystals]
    rounds = iter(range(1_000))

    def run() -> int:
        store = JobStore(JSONStore(str(folder / f"jobflow-{next(rounds)}.json"), read_only=False))
        found = run_locally(Flow([compute(s) for s in structures]), store=store, log=False, ensure_success=True)
        return len(found)

    return run


def quacc(kernel: Any, crystals: list[Atoms]) -> Callable[[], int]:
    """A job of quacc for each structure, on the same workers of parsl."""
    from parsl.dataflow.dflow import DataFlowKernelLoader
    from quacc import job

    # quacc turns on every package's messages: lines by the thousand are no work of parsl's.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("parsl").setLevel(logging.WARNING)

    DataFlowKernelLoader._dfk = kernel  # what parsl.load() does for a kernel of its own
    compute = job(noop_of)

    def run() -> int:
        futures = [compute(atoms) for atoms in crystals]
        return len([future.result() for future in futures])

    return run


def peers(kernel: Any, crystals: list[Atoms], folder: Path) -> dict[str, Callable[[], int]]:
    """Those that are installed."""
    made: dict[str, Callable[[], int]] = {"parsl, a task each, nothing recorded": bare_parsl(kernel, crystals)}
    for name, start in (
        ("jobflow, run locally, JSONStore", lambda: jobflow(crystals, folder)),
        ("quacc on parsl", lambda: quacc(kernel, crystals)),
    ):
        package = name.partition(",")[0].partition(" ")[0]
        if importlib.util.find_spec(package) is None:
            missing(package, "not installed")
            continue
        made[name] = start()
    return made


def main() -> None:
    """Measure and report."""
    given = parser(__doc__).parse_args()
    count, few = (2_000, 100) if given.reduced else (20_000, SERIAL)
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = parsl_config.make_config(one_worker(), folder / "parsl")
        with parsl_config.kernel(config, folder / "parsl") as kernel:
            parsl_config.submit(kernel, len, []).result()
            rows, raw = _measured(folder, kernel, count, few, given.rounds)
    report("overhead", rows, [f"{count:,} structures by mlmat, {few:,} by the others, one worker process"],
           before=before, seconds=raw)  # fmt: skip


def _measured(folder: Path, kernel: Any, count: int, few: int, rounds: int) -> tuple[list[dict[str, Any]], Any]:
    ours = Mlmat(folder, count, kernel)
    crystals = [atoms for atoms, _ in zip(ours.store.structures(), range(few), strict=False)]
    for atoms in crystals:
        atoms.info.clear()
    stores = iter([ours.fresh() for _ in range(4 * (rounds + 1))])
    variants: dict[str, Callable[[], int]] = {
        f"mlmat, batches of {size:,}": lambda size=size: ours.run(next(stores), size) for size in (100, 500, 2_000)
    }
    variants["mlmat, batches of 2,000, with the hulls of all systems"] = lambda: ours.run(next(stores), 2_000, True)
    variants |= peers(kernel, crystals, folder)
    found = measure(variants, rounds, warm=True)
    first = next(iter(variants))
    each = {name: found.median(name) / found.returned[name] for name in variants}
    rows = [
        {"what": name, "ms per structure": 1000 * each[name], "of mlmat's (batches of 100)": each[name] / each[first]}
        for name in variants
    ]
    return rows, found.seconds


if __name__ == "__main__":
    main()
