"""Labelled structures, as label.py wrote them, and which of them are for testing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from label import is_test, system

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEST_KINDS = ("as is", "moved")  # the crystals themselves; substituted ones are nobody's workload


@dataclass(frozen=True, slots=True)
class Labelled:
    """A structure and what the teacher says of it.

    energy: eV; forces: (n, 3), eV/Å; stress: (3, 3), eV/Å³; atom_energies: (n,), eV, whose sum is the energy.
    """

    name: str
    kind: str
    atoms: Atoms
    energy: float
    forces: np.ndarray
    stress: np.ndarray
    atom_energies: np.ndarray

    @property
    def system(self) -> str:
        """Its chemical system."""
        return system(self.atoms)


def read(folder: Path) -> Iterator[Labelled]:
    """Every label in a folder."""
    for path in sorted(folder.glob("labels-*.npz")):
        with np.load(path) as file:
            shard = dict(file)
        ends = np.cumsum(shard["natoms"])
        for i, (end, count) in enumerate(zip(ends, shard["natoms"], strict=True)):
            part = slice(end - count, end)
            atoms = Atoms(shard["numbers"][part], shard["positions"][part], cell=shard["cell"][i], pbc=True)
            truth = float(shard["energy"][i]), shard["forces"][part], shard["stress"][i], shard["atom_energies"][part]
            yield Labelled(str(shard["name"][i]), str(shard["kind"][i]), atoms, *truth)


def split(labels: list[Labelled], held_out: set[str]) -> tuple[list[Labelled], list[Labelled]]:
    """Separate what is trained on from the crystals of the systems that a hash holds out.

    held_out: further systems that are not trained on.
    """
    train = [one for one in labels if not is_test(one.system, held_out)]
    return train, [one for one in labels if one.kind in TEST_KINDS and is_test(one.system)]


def systems(folder: Path | None) -> set[str]:
    """The chemical systems in a folder of labels."""
    return {one.system for one in read(folder)} if folder else set()
