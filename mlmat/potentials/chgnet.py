"""CHGNet in memory: energy, forces, stress and magnetic moments of many structures in one pass.

Its own `predict_structure` makes a Python object of every pair of neighbours, and keeps what training needs. Here
pairs and angles are arrays, and one backward pass gives forces and stress; its layers compute, unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.stress import full_3x3_to_voigt_6_stress

from mlmat.errors import ModelError
from mlmat.potentials.graph import Graph, Species, graph_of
from mlmat.potentials.potential import TORCH_LOCK, Evaluation, Evaluator, array_of, default_dtype, device_of, load
from mlmat.potentials.quiet import quiet, quiet_import

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

#: No crystal with Po, At, Rn, Fr or Ra was in its training data.
ELEMENTS = [z for z in range(1, 95) if z not in range(84, 89)]
#: Per atom; diamond has 240. Beyond it, a collapsed cell would take all memory.
MOST_ANGLES = 3000


@dataclass(frozen=True, slots=True)
class Bonds:
    """A structure of n atoms for CHGNet: e directed edges, b bonds (an edge and its reverse), a angles.

    graph: the directed edges; bond: (e,) the bond of each; edge: (b,) one edge of each; angles: (a, 2) the two edges
    of each, both short, from one atom.
    """

    graph: Graph
    bond: np.ndarray
    edge: np.ndarray
    angles: np.ndarray

    @property
    def size(self) -> int:
        """The number of edges and angles: what a pass costs."""
        return len(self.bond) + len(self.angles)


class Chgnet(Evaluator):
    """CHGNet ready to compute, on one device and in one dtype. Raises ModelError, RunnerError without the device."""

    def __init__(self, path: Path, name: str, dtype: str, device: str, batch_edges: int) -> None:
        self.device = device_of(device)
        self.dtype = getattr(torch, dtype)
        self.batch_edges = batch_edges
        self.model = load(path, self.dtype, self.device, _read)
        self.species = Species(name, ELEMENTS)
        self.cutoff = float(self.model.graph_converter.atom_graph_cutoff)
        self.short = float(self.model.graph_converter.bond_graph_cutoff)
        self.references = array_of(self.model.composition_model.fc.weight)[0]

    def _graph(self, atoms: Atoms) -> Bonds:
        return bonds_of(graph_of(atoms, self.species, self.cutoff), self.short)

    def _forward(self, graphs: list[Bonds]) -> list[Evaluation]:
        with TORCH_LOCK, default_dtype(self.dtype), torch.enable_grad():
            batch, positions, strains = self._joined(graphs)
            out = self.model._compute(batch, compute_magmom=True, return_site_energies=True)
            sites = torch.cat(out["site_energies"])
            gradients, virials = map(array_of, torch.autograd.grad(sites.sum(), [positions, strains]))
        shares, magmoms = array_of(sites), array_of(torch.cat(out["m"]))
        ends = np.cumsum([len(one.graph.species) for one in graphs])[:-1]
        parts = [np.split(whole, ends) for whole in (shares, gradients, magmoms)]
        return [self._evaluation(*one) for one in zip(graphs, virials, *parts, strict=True)]

    def _evaluation(
        self, bonds: Bonds, virial: np.ndarray, shares: np.ndarray, gradients: np.ndarray, magmoms: np.ndarray
    ) -> Evaluation:
        energy = shares.sum() + self.references[_numbers(bonds) - 1].sum()
        # CHGNet's own takes a left-handed cell's volume as negative.
        volume = abs(np.linalg.det(bonds.graph.cell))
        stress = full_3x3_to_voigt_6_stress(virial / volume) if bonds.graph.periodic else None
        return Evaluation(float(energy), -gradients, stress, magmoms)

    def _joined(self, graphs: list[Bonds]) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """What CHGNet's layers read, with the positions and strains that it depends on."""
        model, atoms, edges, bonds = self.model, _Starts(), _Starts(), _Starts()
        for one in graphs:
            atoms.add(len(one.graph.species))
            edges.add(len(one.bond))
            bonds.add(len(one.edge))
        positions = self._reals([one.graph.positions for one in graphs]).requires_grad_()
        strains = torch.zeros(len(graphs), 3, 3, dtype=self.dtype, device=self.device, requires_grad=True)
        pairs = self._integers([one.graph.edges.T + start for one, start in zip(graphs, atoms.starts, strict=True)])
        bond = self._integers([one.bond + start for one, start in zip(graphs, bonds.starts, strict=True)])
        edge = self._integers([one.edge + start for one, start in zip(graphs, edges.starts, strict=True)])
        angles = self._integers([one.angles + start for one, start in zip(graphs, edges.starts, strict=True)])

        shifts = self._reals([one.graph.images @ one.graph.cell for one in graphs])
        vectors = positions[pairs[:, 0]] - positions[pairs[:, 1]] - shifts
        owners = self._integers([np.repeat(np.arange(len(graphs)), edges.counts)])
        vectors = vectors + torch.einsum("ei,eij->ej", vectors, strains[owners])
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        directions, ends = vectors / lengths[:, None], angles.T
        radial = model.bond_basis_expansion
        batch = quiet_import("chgnet.model.model").BatchedGraph(
            atomic_numbers=self._integers([_numbers(one) for one in graphs]),
            bond_bases_ag=radial.rbf_expansion_ag(lengths[edge]),
            bond_bases_bg=radial.rbf_expansion_bg(lengths[edge]),
            angle_bases=model.angle_basis_expansion(directions[ends[0]], directions[ends[1]]),
            batched_atom_graph=pairs,
            batched_bond_graph=torch.stack([pairs[ends[0], 0], bond[ends[0]], bond[ends[1]]], dim=1),
            atom_owners=self._integers([np.repeat(np.arange(len(graphs)), atoms.counts)]),
            directed2undirected=bond,
            atom_positions=[positions],
            strains=[strains],
            volumes=[],
        )
        return batch, positions, strains

    def _reals(self, parts: list[np.ndarray]) -> torch.Tensor:
        return torch.as_tensor(np.concatenate(parts), dtype=self.dtype, device=self.device)

    def _integers(self, parts: list[np.ndarray]) -> torch.Tensor:
        return torch.as_tensor(np.concatenate(parts), dtype=torch.int64, device=self.device)


class _Starts:
    """Where each part begins when arrays of these lengths are joined."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def add(self, count: int) -> None:
        self.counts.append(count)

    @property
    def starts(self) -> np.ndarray:
        return np.cumsum([0, *self.counts[:-1]])


def bonds_of(graph: Graph, short: float) -> Bonds:
    """Pair the edges of a graph, and find the angles between those below `short` Å. ValueError: too many."""
    backward = _reverse(graph)
    if (backward < 0).any():  # rounding at the cutoff, where an edge counts for nothing: one way found, the other not
        kept = backward >= 0
        edges, images = graph.edges[:, kept], graph.images[kept]
        graph = replace(graph, edges=edges, images=images)
        backward = _reverse(graph)
    edge, bond = np.unique(np.minimum(backward, np.arange(len(backward))), return_inverse=True)
    sender, receiver = graph.edges[:, edge]
    vectors = graph.positions[sender] - graph.positions[receiver] - graph.images[edge] @ graph.cell
    near = np.flatnonzero((np.linalg.norm(vectors, axis=1) < short)[bond])
    return Bonds(graph, bond, edge, _angles(graph.edges[0, near], near, len(graph.species)))


def _reverse(graph: Graph) -> np.ndarray:
    """For each edge the position of its reverse, -1 where there is none."""
    (sender, receiver), images = graph.edges.astype(np.int64), graph.images.astype(np.int64)
    atoms, reach = len(graph.species), int(np.abs(images).max(initial=0))
    width = 2 * reach + 1

    def code(first: np.ndarray, second: np.ndarray, image: np.ndarray) -> np.ndarray:
        x, y, z = (image + reach).T
        whole: np.ndarray = (((first * atoms + second) * width + x) * width + y) * width + z
        return whole

    codes = code(sender, receiver, images)
    wanted = code(receiver, sender, -images)
    order = np.argsort(codes)
    found: np.ndarray = order[np.minimum(np.searchsorted(codes, wanted, sorter=order), len(order) - 1)]
    found[codes[found] != wanted] = -1
    return found


def _angles(centers: np.ndarray, edges: np.ndarray, atoms: int) -> np.ndarray:
    """All ordered pairs of different edges with one center, shape (a, 2)."""
    order = np.argsort(centers, kind="stable")
    centers, edges = centers[order], edges[order]
    counts = np.bincount(centers, minlength=atoms)
    if (counts * (counts - 1)).sum() > MOST_ANGLES * atoms:
        raise ValueError(f"{counts.mean():.0f} neighbours of each atom within 3 Å: too crowded for CHGNet")
    partners = counts[centers]
    first = np.repeat(np.arange(len(edges)), partners)
    begins = np.repeat(np.cumsum(partners) - partners, partners)
    second = (np.cumsum(counts) - counts)[centers[first]] + np.arange(len(first)) - begins
    different = first != second
    return np.stack([edges[first[different]], edges[second[different]]], axis=1)


def _numbers(bonds: Bonds) -> np.ndarray:
    numbers: np.ndarray = np.array(ELEMENTS)[bonds.graph.species]
    return numbers


def _read(path: Path, device: torch.device) -> Any:
    """CHGNet from its weights; its package's own loader asks for a device and prints what it found."""
    kind = quiet_import("chgnet.model.model").CHGNet
    try:
        with quiet(), default_dtype(torch.float32):
            saved = torch.load(path, map_location=device, weights_only=True)
            return kind.from_dict(saved["model"]).eval().requires_grad_(False)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"CHGNet's weights {path} cannot be loaded ({reason})") from error
