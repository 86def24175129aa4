"""A MACE in memory. Where there are faster parts for it, it is computed with them.

Loading a model runs the pickle inside its file, and importing mace switches torch's weights-only loading off
for the whole process: only files that the user named are loaded.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.stress import full_3x3_to_voigt_6_stress

from mlmat import provenance
from mlmat.errors import ModelError
from mlmat.materials import expected_errors
from mlmat.potentials import plain
from mlmat.potentials.graph import Graph, Species, graph_of, probe_graphs
from mlmat.potentials.mace_blocks import fast, is_fast, padded, put
from mlmat.potentials.potential import TORCH_LOCK, Evaluation, Evaluator, array_of, default_dtype, device_of, load
from mlmat.potentials.quiet import quiet, quiet_import

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from mlmat.potentials.mace_blocks import Part

#: Edges in a pass on a CPU: more leave its cache.
CPU_EDGES = 3000
#: The most that a probe may differ with other parts, relative to its largest number, in float64.
SAME = 1e-9
#: Classes of mace-torch 0.3.16 whose energy depends on the total charge.
CHARGED = {"PolarMACE"}
#: Of a GPU's free memory, what a pass may take; times that the probe is repeated to find out.
SHARE, PROBES = 0.6, 20


class Potential(Evaluator):
    """A MACE ready to compute: on one device, in one dtype, with one of its heads.

    batch_edges: by default CPU_EDGES, and on a GPU what fits into its memory. stock: with MACE's own parts alone, also
    where there are faster ones. Raises ModelError where the file holds no MACE model or no such head, RunnerError
    without the device.
    """

    def __init__(
        self, path: Path, dtype: str, device: str, head: str | None, batch_edges: int | None, *, stock: bool = False
    ) -> None:
        self.device = device_of(device)
        self.dtype = getattr(torch, dtype)
        self.model = load(path, self.dtype, self.device, _read_stock if stock else _read)
        self.fast = is_fast(self.model)
        unfit = expected_errors.unfit(provenance.sha256(path))
        self.species = Species(path.stem, self.model.atomic_numbers.tolist(), unfit)
        self.cutoff = float(self.model.r_max)
        self.charged = _knows_charge(self.model)
        self.head = _head_index(path.stem, getattr(self.model, "heads", None) or ["Default"], head)
        self.batch_edges = batch_edges or (CPU_EDGES if self.device.type == "cpu" else self._fitting())

    def _fitting(self) -> int:
        """How many edges fit into the free memory of the GPU, by what a small pass takes."""
        graphs = PROBES * probe_graphs(self.species.numbers, self.cutoff)
        self._forward(graphs)  # what is allocated once
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self._forward(graphs)
        used = torch.cuda.max_memory_allocated(self.device) - before
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(CPU_EDGES, int(SHARE * free / used * sum(graph.size for graph in graphs)))

    def _graph(self, atoms: Atoms) -> Graph:
        graph = graph_of(atoms, self.species, self.cutoff)
        return padded(graph, self.cutoff) if self.fast else graph

    def _forward(self, graphs: list[Graph]) -> list[Evaluation]:
        with TORCH_LOCK, default_dtype(self.dtype), torch.enable_grad():
            tensors = tensors_of(graphs, self.species.count, self.head, self.dtype, self.device)
            out = self.model(tensors, compute_stress=True)
            energy, forces, stress = (array_of(out[name]) for name in ("energy", "forces", "stress"))
        ends = np.cumsum([len(graph.species) for graph in graphs])[:-1]
        parts = zip(graphs, energy.tolist(), np.split(forces, ends), full_3x3_to_voigt_6_stress(stress), strict=True)
        return [Evaluation(e, f, s if graph.periodic else None) for graph, e, f, s in parts]


def tensors_of(
    graphs: list[Graph], elements: int, head: int, dtype: torch.dtype, device: torch.device
) -> dict[str, torch.Tensor]:
    """Join graphs into one that has no edges between them: the dictionary that MACE's forward reads.

    mace's own AtomicData and Batch give the same tensors, and 25 more that a prediction never reads, at a
    fifth of the forward's cost.
    """

    def reals(parts: list[np.ndarray]) -> torch.Tensor:
        return torch.as_tensor(np.concatenate(parts), dtype=dtype, device=device)

    def integers(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=device)

    counts = np.array([len(graph.species) for graph in graphs])
    starts = np.concatenate(([0], np.cumsum(counts)))
    edges = [graph.edges + start for graph, start in zip(graphs, starts[:-1], strict=True)]
    species = integers(np.concatenate([graph.species for graph in graphs]))
    return {
        "positions": reals([graph.positions for graph in graphs]),
        "node_attrs": torch.nn.functional.one_hot(species, elements).to(dtype),
        "edge_index": integers(np.concatenate(edges, axis=1)),
        "shifts": reals([graph.images @ graph.cell for graph in graphs]),
        "unit_shifts": reals([graph.images for graph in graphs]),
        "cell": reals([graph.cell for graph in graphs]),
        "batch": integers(np.repeat(np.arange(len(graphs)), counts)),
        "ptr": integers(starts),
        "head": integers(np.full(len(graphs), head)),
        "total_charge": reals([np.array([graph.charge for graph in graphs])]),
        "total_spin": reals([np.array([graph.multiplicity for graph in graphs])]),
    }


def _read(path: Path, device: torch.device) -> Any:
    """The model of a file, with faster parts where a probe finds the same numbers with them."""
    model = _read_stock(path, device).double()
    try:
        return _accelerated(model) if device.type == "cpu" else _with_cuequivariance(model, device)
    except Exception:  # a model that cannot be probed is computed as it is
        return model


def _accelerated(model: Any) -> Any:
    cutoff, device = float(model.r_max), torch.device("cpu")
    probe = probe_graphs(model.atomic_numbers.tolist(), cutoff)
    before = _probed(model, probe, device)
    parts: list[Part] = fast(model)
    same = False
    try:
        after = _probed(model.double(), [padded(graph, cutoff) for graph in probe], device) if parts else before
        same = _same(before, after)
    finally:
        if not same:
            put(parts, old=True)
    return model


def _with_cuequivariance(model: Any, device: torch.device) -> Any:
    """The model with NVIDIA's kernels, where they are installed."""
    if find_spec("cuequivariance_torch") is None:
        return model
    probe = probe_graphs(model.atomic_numbers.tolist(), float(model.r_max))
    with default_dtype(torch.float64):
        other = quiet_import("mace.cli.convert_e3nn_cueq").run(model, device=device.type, return_model=True)
    other = other.to(device).eval().requires_grad_(False)
    return other if _same(_probed(model, probe, device), _probed(other, probe, device)) else model


def _probed(model: Any, graphs: list[Graph], device: torch.device) -> list[np.ndarray]:
    with default_dtype(torch.float64), torch.enable_grad():
        tensors = tensors_of(graphs, len(model.atomic_numbers), 0, torch.float64, device)
        out = model(tensors, compute_stress=True)
    return [array_of(out[name]) for name in ("energy", "forces", "stress")]


def _same(before: list[np.ndarray], after: list[np.ndarray]) -> bool:
    return all(np.abs(a - b).max() <= SAME * np.abs(a).max() for a, b in zip(before, after, strict=True))


def _read_stock(path: Path, device: torch.device) -> Any:
    if path.suffix == ".npz":
        with quiet(), default_dtype(torch.float64):
            return plain.load(path)
    quiet_import("mace.modules")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = torch.load(path, map_location=device, weights_only=False)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"model file {path} cannot be loaded ({reason})") from error
    if not (isinstance(model, torch.nn.Module) and hasattr(model, "atomic_numbers") and hasattr(model, "r_max")):
        raise ModelError(f"{path} holds no MACE model: give the .model file, not a checkpoint or bare weights")
    return model.eval().requires_grad_(False)


def _knows_charge(model: Any) -> bool:
    """Whether the total charge is among what a model reads: as an embedding (OMol), or in its equations (Polar)."""
    classes = {kind.__name__ for kind in type(model).__mro__}
    return "total_charge" in (getattr(model, "embedding_specs", None) or {}) or bool(classes & CHARGED)


def _head_index(model: str, heads: Sequence[str], wanted: str | None) -> int:
    """Return the position of a head; without a wish the only one, or the one called default."""
    if wanted is None and len(heads) == 1:
        return 0
    for position, head in enumerate(heads):
        if head == wanted or (wanted is None and head.lower() == "default"):
            return position
    trouble = "needs a head" if wanted is None else f"has no head {wanted}"
    raise ModelError(f"model {model} {trouble}: use --set head=NAME with one of {', '.join(heads)}")
