"""The model that is trained: a small MACE whose element-dependent weights follow the teacher's view of the elements.

MACE has a weight matrix of its own for each element. Here W[z] = Σₖ a[z, k] B[k]: the frozen a says how alike
elements are, B is trained. `Student.export` writes W out, and what is left is a plain MACE.

The forward pass is MACE's for two layers of scalars, correlation 2 and spherical harmonics up to 2, written out:
it works on edges grouped by receiver, and derives forces and stress from the edges' gradients, which makes
a training step about twice as fast. A test holds it to MACE's own.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mace  # noqa: F401  (before e3nn: it lets torch load e3nn's constants)
import numpy as np
import torch
from matscipy.neighbours import neighbour_list

from mlmat.potentials import plain
from mlmat.potentials.plain import build, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms
    from mace.modules import ScaleShiftMACE

__all__ = [
    "Graph",
    "Output",
    "Student",
    "build",
    "element_components",
    "graph_of",
    "join",
    "load",
    "save",
    "settings_for",
]

BLOCK = 8  # edges of one receiver that are summed in one matrix product
ELEMENT_WEIGHTS = ("embedding", "skip", "pairs", "single")


@dataclass(frozen=True, slots=True)
class Graph:
    """One structure. species: (n,); senders: (e,); vectors: (e, 3), Å; receivers: (e / BLOCK,), one for a block.

    Edges that only fill a block up are `r_max` long, where the cutoff is zero.
    """

    species: np.ndarray
    senders: np.ndarray
    vectors: np.ndarray
    receivers: np.ndarray
    volume: float


@dataclass(frozen=True, slots=True)
class Output:
    """energy: (graphs,), eV, above that of the free atoms; forces: (atoms, 3), eV/Å; stress: (graphs, 3, 3), eV/Å³.

    atom_energies: (atoms,), eV, the shares that make up the energy.
    """

    energy: torch.Tensor
    atom_energies: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor


def graph_of(atoms: Atoms, numbers: Sequence[int], r_max: float) -> Graph:
    """Find the neighbours within `r_max` Å."""
    sender, receiver, vectors = neighbour_list("ijD", atoms, r_max)
    counts = np.bincount(receiver, minlength=len(atoms))
    blocks = -(-counts // BLOCK)
    starts = np.cumsum(blocks * BLOCK) - blocks * BLOCK
    order = np.argsort(receiver, kind="stable")
    slots = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    padded = np.tile(np.array([r_max, 0, 0], np.float32), (int(blocks.sum()) * BLOCK, 1))
    padded[slots] = vectors[order]
    senders = np.zeros(len(padded), int)
    senders[slots] = sender[order]
    species = np.searchsorted(numbers, atoms.numbers)
    return Graph(species, senders, padded, np.repeat(np.arange(len(atoms)), blocks), atoms.cell.volume)


def join(graphs: Sequence[Graph], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Put graphs side by side into the tensors that `Student.forward` reads."""
    counts = np.array([len(graph.species) for graph in graphs])
    starts = np.cumsum(counts) - counts
    shifted = [(g.senders + start, g.receivers + start) for g, start in zip(graphs, starts, strict=True)]
    return {
        "species": torch.as_tensor(np.concatenate([graph.species for graph in graphs])),
        "senders": torch.as_tensor(np.concatenate([senders for senders, _ in shifted])),
        "receivers": torch.as_tensor(np.concatenate([receivers for _, receivers in shifted])),
        "vectors": torch.as_tensor(np.concatenate([graph.vectors for graph in graphs]), dtype=dtype),
        "owner": torch.as_tensor(np.repeat(np.arange(len(graphs)), counts)),
        "volume": torch.as_tensor(np.array([graph.volume for graph in graphs]), dtype=dtype),
    }


def settings_for(numbers: Sequence[int], e0: Sequence[float], scale: float, neighbours: float, **other: Any) -> dict:
    """The JSON that rebuilds the model. e0: eV, one for each element; scale: eV."""
    return {
        "atomic_numbers": [int(z) for z in numbers],
        "atomic_energies": [float(e) for e in e0],
        "atomic_inter_scale": float(scale),
        "avg_num_neighbors": float(neighbours),
        "channels": 64,
        "r_max": 5.0,
        "num_bessel": 8,
        "num_polynomial_cutoff": 5,
        "radial_mlp": [32, 32],
        "readout": 16,
        "max_ell": 2,
        "correlation": 2,
        "num_interactions": 2,
        "repulsion_radii": 0.75,
    } | other


def element_components(embedding: np.ndarray, most: int = 31) -> np.ndarray:
    """Rows of length one that say how alike elements are: principal components of the embedding, and a constant."""
    centred = embedding - embedding.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    rows = (left * strength)[:, : min(most, int((strength > 1e-6 * strength[0]).sum()))]
    rows = rows / np.linalg.norm(rows, axis=1).mean()
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Student(torch.nn.Module):
    """A MACE under training."""

    def __init__(self, settings: dict[str, Any], components: np.ndarray) -> None:
        super().__init__()
        self.settings = settings
        self.channels = channels = settings["channels"]
        self.mace = build(settings, repulsion=False)
        for name, parameter in self.mace.named_parameters():
            parameter.requires_grad_(not _of_elements(name))
        self.register_buffer("components", torch.as_tensor(components, dtype=torch.get_default_dtype()))
        rank = components.shape[1]
        self.embedding = torch.nn.Parameter(torch.randn(rank, channels))
        self.skip = torch.nn.Parameter(torch.randn(rank, 2, channels, channels))
        self.pairs = torch.nn.Parameter(torch.randn(rank, 2, 3, channels) / 3)
        self.single = torch.nn.Parameter(torch.randn(rank, 2, 1, channels))

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that the optimiser moves."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def forward(self, batch: dict[str, torch.Tensor], training: bool = True) -> Output:
        """Energies, forces and stress; with `training` they can be differentiated once more."""
        vectors = batch["vectors"].requires_grad_(True)
        atoms = self._atom_energies(batch, vectors) * self.settings["atomic_inter_scale"]
        graphs = len(batch["volume"])
        energy = torch.zeros(graphs, dtype=atoms.dtype).index_add(0, batch["owner"], atoms)
        (pull,) = torch.autograd.grad(energy.sum(), vectors, create_graph=training)
        onto = pull.view(-1, BLOCK, 3).sum(1)
        forces = torch.zeros(len(atoms), 3, dtype=atoms.dtype)
        forces = forces.index_add(0, batch["senders"], pull).index_add(0, batch["receivers"], -onto)
        virial = (vectors.detach().view(-1, BLOCK, 3).transpose(1, 2)) @ pull.view(-1, BLOCK, 3)
        owner = batch["owner"][batch["receivers"]]
        stress = torch.zeros(graphs, 3, 3, dtype=atoms.dtype).index_add(0, owner, virial)
        stress = (stress + stress.transpose(1, 2)) / (2 * batch["volume"].view(-1, 1, 1))
        return Output(energy, atoms, forces, stress)

    def export(self) -> ScaleShiftMACE:
        """The plain MACE, with pair repulsion."""
        model = build(self.settings)
        model.load_state_dict(self.mace.state_dict(), strict=False)
        model.load_state_dict(self._element_weights(), strict=False)
        return model.eval().requires_grad_(False)

    def _element_weights(self) -> dict[str, torch.Tensor]:
        """MACE's own element-dependent weights, under its names."""
        embedding, skip, pairs, single = (self._of_elements(getattr(self, name)) for name in ELEMENT_WEIGHTS)
        weights = {"node_embedding.linear.weight": embedding.reshape(-1) * math.sqrt(len(embedding))}
        for i in range(2):
            contraction = f"products.{i}.symmetric_contractions.contractions.0"
            weights[f"interactions.{i}.skip_tp.weight"] = skip[:, i].transpose(0, 1).reshape(-1) * math.sqrt(
                len(embedding)
            )
            weights[f"{contraction}.weights_max"] = pairs[:, i]
            weights[f"{contraction}.weights.0"] = single[:, i]
        return weights

    def _of_elements(self, basis: torch.Tensor) -> torch.Tensor:
        return (self.components @ basis.flatten(1)).view(-1, *basis.shape[1:])

    def _atom_energies(self, batch: dict[str, torch.Tensor], vectors: torch.Tensor) -> torch.Tensor:
        """(atoms,), in units of the scale."""
        present, species = torch.unique(batch["species"], return_inverse=True)
        rows = self.components[present]
        embedding, skip, pairs, single = (
            (rows @ basis.flatten(1)).view(-1, *basis.shape[1:]) for basis in map(self.__getattr__, ELEMENT_WEIGHTS)
        )
        order = torch.argsort(species, stable=True)
        groups = torch.bincount(species).tolist()
        radial, angular = self._edges(vectors)
        nodes = embedding[species]
        total = torch.zeros(len(species), dtype=nodes.dtype)
        for i, (interaction, product) in enumerate(zip(self.mace.interactions, self.mace.products, strict=True)):
            kept = _grouped(nodes, order, groups, skip[:, i]) / math.sqrt(self.channels)
            sums = self._messages(interaction, nodes, radial, angular, batch)
            pair = pairs[:, i][species]
            mixed = single[:, i, 0][species] * sums[0].squeeze(2)
            for degree, one in enumerate(sums):
                mixed = mixed + pair[:, degree] * (one * one).sum(2) / math.sqrt(2 * degree + 1)
            nodes = _linear(product.linear, mixed, self.channels) + kept
            total = total + self.mace.readouts[i](nodes, None).squeeze(1)
        return total

    def _edges(self, vectors: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Radial features, and the spherical harmonics of degree 0, 1, 2 by receiver's block."""
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        x, y, z = (vectors / lengths).unbind(1)
        radial = self.mace.radial_embedding
        features = radial.bessel_fn(lengths) * radial.cutoff_fn(lengths)
        one = math.sqrt(3) * torch.stack([x, y, z], 1)
        two = math.sqrt(15) * torch.stack(
            [x * z, x * y, (3 * y * y - 1) / math.sqrt(12), y * z, (z * z - x * x) / 2], 1
        )
        angular = [torch.ones_like(lengths), one, two]
        return features, [harmonic.view(-1, BLOCK, harmonic.shape[1]) for harmonic in angular]

    def _messages(
        self, interaction: Any, nodes: torch.Tensor, radial: torch.Tensor, angular: list[torch.Tensor], batch: dict
    ) -> list[torch.Tensor]:
        """What each atom hears from its neighbours, for each degree l: (atoms, channels, 2 l + 1)."""
        channels = self.channels
        heard = _linear(interaction.linear_up, nodes, channels)[batch["senders"]]
        weights = interaction.conv_tp_weights(radial).split(channels, 1)
        mixing = interaction.linear.weight.view(3, channels, channels) / math.sqrt(channels)
        sums = []
        for degree, harmonic in enumerate(angular):
            edges = (heard * weights[degree]).view(-1, BLOCK, channels)
            blocks = harmonic.transpose(1, 2) @ edges
            found = torch.zeros(len(nodes), *blocks.shape[1:], dtype=nodes.dtype)
            found = found.index_add(0, batch["receivers"], blocks) @ mixing[degree]
            sums.append(found.transpose(1, 2) / interaction.avg_num_neighbors)
        return sums


def save(model: ScaleShiftMACE, settings: dict[str, Any], path: Path) -> None:
    """Write `path` (.npz): weights as float32 and settings, no pickle; and beside it the module (.model)."""
    plain.save(model, settings, path)
    buffer = io.BytesIO()
    torch.save(model.float(), buffer)
    path.with_suffix(".model").write_bytes(buffer.getvalue())


def _of_elements(name: str) -> bool:
    return name.startswith("node_embedding") or "skip_tp" in name or "contractions" in name


def _linear(module: Any, values: torch.Tensor, channels: int) -> torch.Tensor:
    return values @ module.weight.view(channels, -1) / math.sqrt(channels)


def _grouped(values: torch.Tensor, order: torch.Tensor, groups: list[int], matrices: torch.Tensor) -> torch.Tensor:
    """Multiply each row by its group's matrix."""
    parts = [part @ matrix for part, matrix in zip(values[order].split(groups), matrices, strict=True)]
    return torch.zeros_like(values).index_add(0, order, torch.cat(parts))
