"""A runner that costs nothing: its values follow from the atoms, some structures fail, and each call is noted."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from ase import Atoms

from mlmat.materials.structure import structure_id
from mlmat.runner import WrappedAtomsRunner


class Runner(WrappedAtomsRunner):
    name, version = "quick", "1"
    columns: ClassVar = {"energy": "DOUBLE -- eV", "forces": "DOUBLE[3][] -- eV/Å", "label": "VARCHAR -- the structure"}
    batch_atoms = 16

    def __init__(self, files: Any = (), seconds: float = 0.005, scale: float = 1.0) -> None:
        super().__init__(files)
        self.seconds, self.scale = seconds, scale

    def run(self, atoms: Atoms) -> dict[str, Any]:
        label = structure_id(atoms)
        note(label)
        time.sleep(self.seconds)
        if int(label, 16) % 11 == 0:
            raise ValueError("it is one of those that fail")
        energy = -self.scale * float(atoms.numbers.sum() + atoms.get_volume())
        bigger = atoms.copy()
        bigger.set_cell(atoms.cell * 1.25, scale_atoms=True)
        return {"energy": energy, "forces": atoms.positions * 0.5, "label": label, "relaxed": bigger}


def note(label: str) -> None:
    """Add a line to the list of calls: one write, so that processes do not mix theirs."""
    if path := os.environ.get("MLMAT_FAULT_CALLS"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(fd, f"{label}\n".encode())
        os.close(fd)
