"""Structures as graphs of neighbours, and their packing into batches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from matscipy.neighbours import neighbour_list

from mlmat.materials.electrons import state_of
from mlmat.potentials.box import box_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Graph:
    """One structure of n atoms and e edges, lengths in Å.

    species: (n,) positions in the model's list of elements; positions: (n, 3) and cell: (3, 3) are those of its `Box`;
    edges: (2, e) sender and receiver; images: (e, 3) the receiver's cell, 0 along directions without periodicity;
    periodic: in all three directions; charge: total, in e; multiplicity: 2S+1.
    """

    species: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    edges: np.ndarray
    images: np.ndarray
    periodic: bool
    charge: float = 0.0
    multiplicity: int = 1

    @property
    def size(self) -> int:
        """The number of edges, or of atoms where there are more: what a forward pass costs."""
        return max(int(self.edges.shape[1]), len(self.species))


class Species:
    """The elements that a model knows; unfit: those of them that it cannot do, by symbol, with the reason."""

    def __init__(self, model: str, numbers: Sequence[int], unfit: Mapping[str, str] | None = None) -> None:
        self.model = model
        self.numbers = numbers
        self.unfit = {atomic_numbers[symbol]: reason for symbol, reason in (unfit or {}).items()}
        self.count = len(numbers)
        self._index = np.full(len(chemical_symbols) + 1, -1)
        self._index[list(numbers)] = np.arange(self.count)

    def index(self, numbers: np.ndarray) -> np.ndarray:
        """Translate atomic numbers; ValueError names the elements that the model does not know or cannot do."""
        found: np.ndarray = self._index[numbers]
        if (found < 0).any():
            unknown = ", ".join(chemical_symbols[z] for z in sorted(set(numbers[found < 0].tolist())))
            raise ValueError(f"model {self.model} has no element {unknown}; it knows {ranges(self.numbers)}")
        if reasons := [reason for z, reason in self.unfit.items() if (numbers == z).any()]:
            instead = "use another model (mlmat models), or --runner chgnet"
            raise ValueError(f"model {self.model} is refused here: {'; '.join(reasons)}; {instead}")
        return found


def ranges(numbers: Sequence[int]) -> str:
    """Write atomic numbers as symbols, runs of three and more shortened: `H, C–F`."""
    parts: list[str] = []
    for _, group in groupby(enumerate(sorted(numbers)), key=lambda item: item[1] - item[0]):
        run = [chemical_symbols[z] for _, z in group]
        parts += [f"{run[0]}–{run[-1]}"] if len(run) > 2 else run
    return ", ".join(parts)


def graph_of(atoms: Atoms, species: Species, cutoff: float) -> Graph:
    """Find the neighbours within `cutoff` Å. ValueError where the model cannot take the structure."""
    index = species.index(atoms.numbers)
    box = box_of(atoms, cutoff)
    found = neighbour_list("ijS", positions=box.positions, cell=box.cell, pbc=atoms.pbc, cutoff=cutoff)
    charge, multiplicity = state_of(atoms.info)
    return Graph(
        index, box.positions, box.cell, np.stack(found[:2]), found[2], bool(atoms.pbc.all()),
        charge or 0.0, multiplicity or 1,
    )  # fmt: skip


def pack(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Group positions in order, the sizes in each summing to `limit` at most; one too large stands alone."""
    groups: list[list[int]] = []
    room = 0
    for position, size in enumerate(sizes):
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(position)
        room -= size
    return groups


def probe_graphs(numbers: Sequence[int], cutoff: float) -> list[Graph]:
    """Structures that try a model: two crystals of up to twelve of its elements, and an atom without neighbours."""
    rng = np.random.default_rng(0)
    species = Species("probe", numbers)
    chosen = np.array(numbers)[np.linspace(0, len(numbers) - 1, 12).astype(int)]
    found = []
    for part, repeats in ((chosen[:8], (2, 2, 2)), (chosen[8:], (1, 2, 2))):
        atoms = Atoms(part, positions=2.5 * np.array(list(np.ndindex(repeats))), cell=2.5 * np.array(repeats), pbc=True)
        atoms.rattle(0.15, rng=rng)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        found.append(graph_of(atoms, species, cutoff))
    alone = Atoms(chosen[:1], positions=np.zeros((1, 3)), cell=3 * cutoff * np.eye(3), pbc=True)
    return [*found, graph_of(alone, species, cutoff)]
