"""Relax crystals from strained and rattled cells, with a model or its teacher, and note the volumes.

`python training/relax.py OUT.json FOLDER --calculator FILE.model|chgnet`

Every crystal starts strained by up to 4 % and rattled by 0.05 Å, the same way for every calculator.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ase.io
import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from label import SUFFIXES, hashed

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

FMAX = 0.05  # eV/Å
STRAIN, RATTLE = 0.04, 0.05  # of each of the cell's strains; Å
EXPLODED = 2.0  # times the volume, or a half of it


def calculator(name: str) -> Calculator:
    """The teacher, or the MACE model in a file."""
    if name == "chgnet":
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(use_device="cpu")
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=name, device="cpu", default_dtype="float64")


def disturbed(atoms: Atoms, name: str) -> Atoms:
    """A copy off its minimum; the same each time."""
    rng = np.random.default_rng(hashed(name))
    strain = rng.uniform(-STRAIN, STRAIN, (3, 3))
    copy = atoms.copy()
    copy.set_cell(copy.cell[:] @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    copy.positions += rng.normal(0, RATTLE, copy.positions.shape)
    return copy


def relax(atoms: Atoms, calc: Calculator, steps: int) -> dict[str, Any]:
    """Relax positions and cell. volume: Å³ per atom; energy: eV per atom; kept: it neither collapsed nor exploded."""
    before = atoms.cell.volume / len(atoms)
    atoms.calc = calc
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    converged = optimizer.run(fmax=FMAX, steps=steps)
    after = atoms.cell.volume / len(atoms)
    return {
        "volume": float(after),
        "energy": float(atoms.get_potential_energy() / len(atoms)),
        "steps": optimizer.nsteps,
        "converged": bool(converged),
        "kept": bool(1 / EXPLODED < after / before < EXPLODED),
    }


def main() -> None:
    """Read the command line; add to OUT.json what is not in it yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calculator", required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=1e6)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    calc, end = calculator(args.calculator), time.monotonic() + 60 * args.minutes
    files = [path for path in args.folder.rglob("*") if path.suffix in SUFFIXES and path.name not in found]
    crystals = sorted(((path.name, ase.io.read(path)) for path in files), key=lambda pair: len(pair[1]))
    for name, atoms in crystals:
        if time.monotonic() > end:
            break
        try:
            given = atoms.cell.volume / len(atoms)
            found[name] = relax(disturbed(atoms, name), calc, args.steps) | {"given": given}
        except Exception as error:
            found[name] = {"kept": False, "error": f"{type(error).__name__}: {error}"}
        args.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
