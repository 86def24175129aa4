"""What labels structures: CHGNet, and one that costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

MAX_FORCE = 25.0  # eV/Å; beyond it a label costs more than it teaches
MAX_STRESS = 0.6  # eV/Å³, 96 GPa
MAX_ANGLES = 6000  # in one pass of CHGNet; crystals have hundreds, collapsed ones 100,000


@dataclass(slots=True)
class Label:
    """A structure and what the teacher says of it.

    energy: eV; forces: (n, 3), eV/Å; stress: (3, 3), eV/Å³; atom_energies: (n,), eV, whose sum is the energy.
    """

    atoms: Atoms
    kind: str
    energy: float
    atom_energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray

    @property
    def sane(self) -> bool:
        """Whether a student can learn from it."""
        strong = np.abs(self.forces).max() > MAX_FORCE or np.abs(self.stress).max() > MAX_STRESS
        return bool(np.isfinite(self.energy) and np.isfinite(self.forces).all() and not strong)


class Teacher(Protocol):
    """What labels. numbers: the elements it knows; e0: eV, their energies; embedding: a row for each."""

    numbers: list[int]
    e0: np.ndarray
    embedding: np.ndarray

    def label(self, structures: Sequence[tuple[str, Atoms]]) -> list[Label]:
        """Label what can be labelled, in order."""
        ...


class Chgnet:
    """CHGNet from its package, weights included."""

    #: No crystal with Po, At, Rn, Fr or Ra was in its training data.
    numbers = [z for z in range(1, 95) if z not in range(84, 89)]  # noqa: RUF012

    def __init__(self) -> None:
        import torch
        from chgnet.model import CHGNet

        torch.set_num_threads(1)
        self.model = CHGNet.load(use_device="cpu", verbose=False).requires_grad_(False)
        rows = np.array(self.numbers) - 1
        self.e0 = self.model.composition_model.fc.weight.detach().numpy()[0, rows].astype(float)
        self.embedding = self.model.atom_embedding.embedding.weight.detach().numpy()[rows].astype(float)

    def label(self, structures: Sequence[tuple[str, Atoms]]) -> list[Label]:
        """Label in batches of similar size; a structure without a graph (a lone atom) is left out."""
        order = sorted(structures, key=lambda pair: len(pair[1]))
        graphs = [(kind, atoms, self._graph(atoms)) for kind, atoms in order]
        good = [entry for entry in graphs if entry[2] is not None and len(entry[2].bond_graph) <= MAX_ANGLES]
        return [label for batch in self._batches(good) for label in self._together(batch)]

    @staticmethod
    def _batches(entries: Sequence[tuple[str, Atoms, Any]]) -> list[list[tuple[str, Atoms, Any]]]:
        batches: list[list[tuple[str, Atoms, Any]]] = []
        room = 0
        for entry in entries:
            angles = len(entry[2].bond_graph)
            if not batches or angles > room:
                batches.append([])
                room = MAX_ANGLES
            batches[-1].append(entry)
            room -= angles + 300
        return batches

    def _together(self, entries: Sequence[tuple[str, Atoms, Any]]) -> list[Label]:
        """One forward and one backward pass. CHGNet's own keeps the graph for training: three times slower."""
        import torch
        from chgnet.model.model import BatchedGraph

        model, graphs = self.model, [graph for *_, graph in entries]
        bases = (model.bond_basis_expansion, model.angle_basis_expansion)
        batch = BatchedGraph.from_graphs(graphs, *bases, compute_stress=True)
        sites = model._compute(batch, return_site_energies=True)["site_energies"]
        found = torch.autograd.grad(sum(one.sum() for one in sites), [*batch.atom_positions, *batch.strains])
        shares = [
            s.detach().double().numpy() + self.e0[self._rows(a)] for s, (_, a, _) in zip(sites, entries, strict=True)
        ]
        forces = [-one.numpy() for one in found[: len(graphs)]]
        stress = [one.numpy() / a.cell.volume for one, (_, a, _) in zip(found[len(graphs) :], entries, strict=True)]
        rows = zip(entries, shares, forces, stress, strict=True)
        return [Label(a, kind, float(e.sum()), e, f, s) for (kind, a, _), e, f, s in rows]

    def _rows(self, atoms: Atoms) -> np.ndarray:
        return np.searchsorted(self.numbers, atoms.numbers)

    def _graph(self, atoms: Atoms) -> Any:
        from pymatgen.core import Structure

        try:
            structure = Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())
            return self.model.graph_converter(structure)
        except ValueError:
            return None


class Emt:
    """ASE's effective medium theory: seven metals in no time, for trying the scripts out."""

    numbers = [13, 28, 29, 46, 47, 78, 79]  # noqa: RUF012

    def __init__(self) -> None:
        self.e0 = np.zeros(len(self.numbers))
        self.embedding = np.eye(len(self.numbers))

    def label(self, structures: Sequence[tuple[str, Atoms]]) -> list[Label]:
        """Label one by one."""
        from ase.calculators.emt import EMT

        labels = []
        for kind, atoms in structures:
            atoms.calc = EMT()
            energies, forces = atoms.get_potential_energies(), atoms.get_forces()
            labels.append(Label(atoms, kind, energies.sum(), energies, forces, atoms.get_stress(voigt=False)))
        return labels


TEACHERS = {"chgnet": Chgnet, "emt": Emt}
