"""How far float32 is from float64: energies, forces, stresses and relaxed volumes by the shipped model.

    python benchmarks/float32.py [--files FOLDER] [--count 1000] [--relax 1000] [--reduced]

Without a folder the structures are the shipped crystals, moved and strained.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import potentials

from mlmat.potentials import models
from mlmat.runner import WrappedAtomsRunner

if TYPE_CHECKING:
    from ase import Atoms

#: Atoms in a structure at most.
LARGEST = 130


def main() -> None:
    """Measure and report."""
    parser = harness.parser(__doc__)
    parser.add_argument("--files", type=Path, help="a folder of structures")
    parser.add_argument("--count", type=int, default=1000, help="structures")
    parser.add_argument("--relax", type=int, default=1000, help="of these to relax (those of up to 12 atoms)")
    options = parser.parse_args()
    if options.reduced:
        options.count, options.relax = 100, 20
    before = harness.machine()
    structures = _structures(options.files, options.count)
    path = models.resolve(models.default()).path
    assert path is not None
    points, left_out = _both(structures, path, "none")
    rows = [
        _row("energy, meV/atom", points, lambda row, n: row["energy"] / n * 1000),
        _row("largest force component, meV/Å", points, lambda row, _: row["forces"] * 1000),
        _row("stress component, meV/Å³", points, lambda row, _: row["stress"] * 1000),
    ]
    small = [atoms for atoms in structures if len(atoms) <= 12][: options.relax]
    relaxed, failed = _both(small, path, "cell")
    ended = [pair for pair in relaxed if all(row["converged"] for row in pair[:2])]
    rows += [
        _row("relaxed volume, %", ended, lambda row, _: row["volume"], relative=True),
        _row("relaxed energy, meV/atom", ended, lambda row, n: row["energy"] / n * 1000),
        _row("steps", ended, lambda row, _: row["steps"]),
    ]
    notes = [
        f"{len(points)} structures as they are ({left_out} could not be computed in either), {len(relaxed)} relaxed "
        f"(FIRE, cell, fmax 0.05; {failed} failed), {len(ended)} of them converged in both",
        f"converged in one alone: {sum(a['converged'] != b['converged'] for a, b, _ in relaxed)}",
    ]
    harness.report("float32", rows, notes, before=before)


def _structures(folder: Path | None, count: int) -> list[Atoms]:
    if folder is None:
        return _moved(count)
    found = []
    for atoms in WrappedAtomsRunner(folder).open_file():
        if len(atoms) <= LARGEST:
            found.append(atoms)
        if len(found) == count:
            break
    return found


def _moved(count: int) -> list[Atoms]:
    rng = np.random.default_rng(0)
    examples = potentials.examples()
    return [potentials.moved(examples[i % len(examples)], rng, 0.03) for i in range(count)]


def _both(structures: list[Atoms], path: Path, relax: str) -> tuple[list[Any], int]:
    """Rows in float64 and in float32 with the number of atoms, and how many failed in either."""
    double, single = (
        potentials.runner(path, dtype, "cpu", relax).run_batch(structures) for dtype in ("float64", "float32")
    )
    pairs = [(a, b, len(atoms)) for a, b, atoms in zip(double, single, structures, strict=True)]
    good = [pair for pair in pairs if not any(isinstance(one, Exception) for one in pair[:2])]
    return good, len(pairs) - len(good)


def _row(name: str, pairs: list[Any], value: Any, *, relative: bool = False) -> dict[str, Any]:
    apart = []
    for double, single, atoms in pairs:
        if double["stress"] is None:
            continue
        exact = np.asarray(value(double, atoms), dtype=float)
        difference = np.abs(np.asarray(value(single, atoms), dtype=float) - exact)
        apart.append(float((difference / np.abs(exact) * 100 if relative else difference).max()))
    return {
        "float32 and float64 apart": name,
        "structures": len(apart),
        "mean": float(np.mean(apart)),
        "99 %": float(np.percentile(apart, 99)),
        "most": float(np.max(apart)),
    }


if __name__ == "__main__":
    main()
