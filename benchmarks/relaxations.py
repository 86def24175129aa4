"""Relaxations (FIRE, FrechetCellFilter, fmax 0.05 eV/Å) on one core: ASE one by one, mlmat, and torch-sim.

python benchmarks/relaxations.py [--rounds 5] [--reduced]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import harness
import potentials

#: Atoms that torch-sim computes together: about 3,000 edges with the shipped model, where it is fastest, too.
TOGETHER = 64.0
GOALS = {"mlmat float64": 2.5, "mlmat float32": 3.5}


def main() -> None:
    """Measure and report."""
    options = harness.parser(__doc__).parse_args()
    before = harness.machine()
    with tempfile.TemporaryDirectory() as folder:
        files = potentials.model_files(Path(folder))
        structures = potentials.crystals(80 if options.reduced else 320, 2, 12, strain=0.03)
        variants = _variants(*files["shipped"], structures)
        rounds = harness.measure(variants, options.rounds, warm=not options.reduced)
    rows = [_row(name, rounds, structures) for name in variants]
    notes = [
        f"{len(structures)} crystals of 2 to 12 atoms, moved by 0.05 Å and strained by 3 %; shipped model; one core",
        *(f"{name}: goal {goal}x ASE's float64" for name, goal in GOALS.items()),
        "torch-sim's own FIRE (`ase_fire`) takes other steps and looks for convergence every 5",
    ]
    harness.report("relaxations", rows, notes, seconds=rounds.seconds, before=before)


def _variants(ours: Path, theirs: Path, structures: list[Any]) -> dict[str, Any]:
    variants: dict[str, Any] = {
        "ASE float64": partial(potentials.ase_relaxations, structures, theirs, "float64"),
        "ASE float32": partial(potentials.ase_relaxations, structures, theirs, "float32"),
        "mlmat float64": partial(potentials.our_relaxations, structures, ours, "float64"),
        "mlmat float32": partial(potentials.our_relaxations, structures, ours, "float32"),
    }
    try:
        potentials.torch_sim_relaxations(structures[-1:], theirs, "float64", "cpu", TOGETHER)
    except ImportError as error:
        harness.missing("torch-sim", str(error))
        return variants
    for dtype in ("float64", "float32"):
        run = partial(potentials.torch_sim_relaxations, structures, theirs, dtype, "cpu", TOGETHER)
        variants[f"torch-sim {dtype}"] = run
    return variants


def _row(name: str, rounds: harness.Rounds, structures: list[Any]) -> dict[str, Any]:
    found, exact = rounds.returned[name], rounds.returned["ASE float64"]
    energies = [one if isinstance(one, float) else one[0] for one in found]
    sizes = map(len, structures)
    apart = [abs(a - b[0]) / n * 1000 for a, b, n in zip(energies, exact, sizes, strict=True)]
    steps = None if isinstance(found[0], float) else sum(a[1] == b[1] for a, b in zip(found, exact, strict=True))
    return {
        "way": name,
        "relaxations/s": len(structures) / rounds.median(name),
        "times ASE float64": rounds.ratio("ASE float64", name),
        "with the same steps": "other" if steps is None else f"{steps} of {len(found)}",
        "end energies apart, meV/atom: median": sorted(apart)[len(apart) // 2],
        "most": max(apart),
        "within 0.1": f"{sum(one <= 0.1 for one in apart)} of {len(apart)}",
    }


if __name__ == "__main__":
    main()
