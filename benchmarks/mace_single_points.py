"""MACE single points on two cores: energy, forces and stress of crystals by size, the shipped model and a larger one.

    python benchmarks/mace_single_points.py [--rounds 5] [--reduced] [--models shipped,small]

Every way computes the same structures, with everything loaded before. `bare` is the model's forward pass on tensors
made before: no structures, neighbours, rows; `stock` is the same with MACE's own parts. "small" has random weights, at
the size of MACE-MP "small": its speed is that of the trained one.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import potentials

from mlmat import parsl_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from ase import Atoms

#: Atoms to compute of each size class, in full and reduced.
BUDGET = {"shipped": (1500, 260), "small": (400, 60)}
#: Structures that the way with one task for each computes.
TASKS = 6
GOALS = {"shipped": 3.0, "small": 2.0}


class Pair:
    """Two processes that each compute a half, or the first of them all with two threads."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes = []
        for _ in range(2):
            here, there = context.Pipe()
            context.Process(target=serve, args=(there,), daemon=True).start()
            self.pipes.append(here)

    def give(self, structures: list[Atoms]) -> None:
        """Hand over what the next calls compute."""
        for half, pipe in enumerate(self.pipes):
            pipe.send(("take", structures[half::2], structures))
            pipe.recv()

    def run(self, way: str, *arguments: Any, threads: int = 1, **more: Any) -> None:
        """Compute and wait for both."""
        pipes = self.pipes if threads == 1 else self.pipes[:1]
        for pipe in pipes:
            pipe.send((way, threads, arguments, more))
        for pipe in pipes:
            if (said := pipe.recv()) != "done":
                raise RuntimeError(said)


def serve(pipe: Any) -> None:
    """One process of the pair."""
    import torch

    mine: list[Atoms] = []
    everything: list[Atoms] = []
    while True:
        way, *rest = pipe.recv()
        try:
            if way == "take":
                mine, everything = rest
            else:
                threads, arguments, more = rest
                torch.set_num_threads(threads)
                getattr(potentials, way)(mine if threads == 1 else everything, *arguments, **more)
            pipe.send("done")
        except Exception as error:
            pipe.send(f"{way}: {type(error).__name__}: {error}")


def one_task(model: str, atoms: Atoms) -> float:
    """What a first script of parsl tasks does: a calculator of its own for each structure."""
    import warnings

    warnings.simplefilter("ignore")
    from mace.calculators import MACECalculator

    atoms.calc = MACECalculator(model, device="cpu", default_dtype="float64")
    atoms.get_forces()
    atoms.get_stress()
    return float(atoms.get_potential_energy())


def main() -> None:
    """Measure and report."""
    parser = harness.parser(__doc__)
    parser.add_argument("--models", default=",".join(potentials.MODELS))
    options = parser.parse_args()
    before, pair = harness.machine(), Pair()
    rows: list[dict[str, Any]] = []
    seconds = {}
    with tempfile.TemporaryDirectory() as name, _kernel(Path(name)) as kernel:
        files = potentials.model_files(Path(name))
        for model in options.models.split(","):
            for label, structures in _cases(BUDGET[model][options.reduced]):
                pair.give(structures)
                variants = _variants(pair, kernel, structures, *files[model])
                rounds = harness.measure(variants, options.rounds, warm=True)
                rows.append(_row(model, label, structures, rounds))
                seconds[f"{model} {label}"] = rounds.seconds
                # After each row: what was measured stays where a later one takes too long.
                harness.report("mace_single_points", rows, _notes(), seconds=seconds, before=before)


def _kernel(folder: Path) -> AbstractContextManager[Any]:
    return parsl_config.kernel(parsl_config.make_config("local", folder), folder)


def _cases(atoms: int) -> Iterator[tuple[str, list[Atoms]]]:
    for seed, (label, (low, high)) in enumerate(potentials.SIZES.items()):
        yield label, potentials.crystals(atoms, low, high, seed)
    yield "mixed", potentials.mixed(atoms)


def _variants(pair: Pair, kernel: Any, structures: list[Atoms], path: Path, stock: Path) -> dict[str, Any]:
    def tasks() -> None:
        step = max(1, len(structures) // TASKS)
        some = structures[::step][:TASKS]
        sent = [parsl_config.submit(kernel, one_task, str(stock), one.copy()) for one in some]
        for task in sent:
            task.result()

    run = pair.run
    return {
        "ASE float64, two processes": partial(run, "ase_loop", stock, "float64"),
        "ASE float64, two threads": partial(run, "ase_loop", stock, "float64", threads=2),
        "ASE float32, two processes": partial(run, "ase_loop", stock, "float32"),
        "task for each": tasks,
        "mlmat float64": partial(run, "ours", path, "float64"),
        "mlmat float32": partial(run, "ours", path, "float32"),
        "bare float64": partial(run, "bare", path, "float64"),
        "bare float32": partial(run, "bare", path, "float32"),
        "bare stock float32": partial(run, "bare", path, "float32", stock=True),
    }


def _row(model: str, label: str, structures: list[Atoms], rounds: harness.Rounds) -> dict[str, Any]:
    count = {
        name: min(TASKS, len(structures)) if name == "task for each" else len(structures) for name in rounds.seconds
    }
    rate = {name: count[name] / rounds.median(name) for name in rounds.seconds}
    loop = max(("ASE float64, two processes", "ASE float64, two threads"), key=rate.__getitem__)
    return {
        "model": model,
        "atoms": label,
        "structures": len(structures),
        **{f"{name}, /s": value for name, value in rate.items()},
        "float32 : ASE float64": rounds.ratio(loop, "mlmat float32"),
        "float64 : ASE float64": rounds.ratio(loop, "mlmat float64"),
        "float32 : ASE float32": rounds.ratio("ASE float32, two processes", "mlmat float32"),
        "float32 : task for each": rate["mlmat float32"] / rate["task for each"],
        "bare float32 : task for each": rate["bare float32"] / rate["task for each"],
        "float32 : bare": 1 / rounds.ratio("mlmat float32", "bare float32"),
        "float64 : bare": 1 / rounds.ratio("mlmat float64", "bare float64"),
    }


def _notes() -> list[str]:
    return [
        *(f"goal for {model}: {goal:g}x the better ASE loop in float64" for model, goal in GOALS.items()),
        "goals for both: 20x a parsl task for each structure, 0.9 of the bare forward pass",
        "bare float32 : task for each is the most that any way of handing out the same model could reach",
    ]


if __name__ == "__main__":
    main()
