"""A model in memory: many structures in; energy, forces and stress of each out, in shared passes. MACE is one.

Loading a model runs the pickle inside its file, and importing mace switches torch's weights-only loading off
for the whole process: only files that the user named are loaded.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.stress import full_3x3_to_voigt_6_stress

from mlmat.errors import ModelError, RunnerError
from mlmat.runner import _plain
from mlmat.runner._graph import Graph, Species, graph_of, pack
from mlmat.runner._quiet import quiet, quiet_import

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ase import Atoms

    Read = Callable[[Path, torch.device], Any]

#: Held while torch works: its default dtype belongs to the process, and so do its threads.
TORCH = threading.RLock()

_loaded: dict[tuple[Any, ...], Any] = {}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model says of one structure of n atoms.

    energy: eV; forces: (n, 3), eV/Å; stress: (6,), eV/Å³, in ASE's sign and order (xx, yy, zz, yz, xz, xy),
    None unless the structure is periodic in three directions; magmoms: (n,), µB, of models that know them.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    magmoms: np.ndarray | None = None

    @property
    def fmax(self) -> float:
        """The largest force on an atom, in eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())

    @property
    def finite(self) -> bool:
        """Whether energy and forces are numbers."""
        return bool(np.isfinite(self.energy) and np.isfinite(self.forces).all())


class Evaluator:
    """A model that computes graphs of structures together, in passes of `batch_edges` at most.

    Subclasses say what the graph of a structure is (`_graph`; it has a `size`) and compute some (`_forward`).
    """

    batch_edges: int

    def evaluate(self, batch: Sequence[Atoms]) -> list[Evaluation | Exception]:
        """Return for each structure, in order, its evaluation or the exception that stopped it."""
        graphs = [self._graph_or_reason(atoms) for atoms in batch]
        good = [graph for graph in graphs if not isinstance(graph, Exception)]
        found: list[Evaluation | Exception] = []
        for group in pack([graph.size for graph in good], self.batch_edges):
            found += self._together([good[i] for i in group])
        computed = iter(found)
        return [graph if isinstance(graph, Exception) else next(computed) for graph in graphs]

    def _graph(self, atoms: Atoms) -> Any:
        raise NotImplementedError

    def _forward(self, graphs: list[Any]) -> list[Evaluation]:
        raise NotImplementedError

    def _graph_or_reason(self, atoms: Atoms) -> Any:
        try:
            return self._graph(atoms)
        except Exception as error:
            return error

    def _together(self, graphs: list[Any]) -> list[Evaluation | Exception]:
        """One forward pass; if it fails, or one structure's NaN spoils the forces of others, one for each."""
        try:
            found = self._forward(graphs)
        except Exception as error:
            if len(graphs) == 1:
                return [error]
        else:
            if all(one.finite for one in found):
                return list(found)
            if len(graphs) == 1:
                return [FloatingPointError("the model's energy or forces are not finite: do atoms overlap?")]
        return [self._together([graph])[0] for graph in graphs]


class Potential(Evaluator):
    """A MACE ready to compute: on one device, in one dtype, with one of its heads.

    Raises ModelError where the file holds no MACE model or no such head, RunnerError without the device.
    """

    def __init__(self, path: Path, dtype: str, device: str, head: str | None, batch_edges: int) -> None:
        self.device = device_of(device)
        self.dtype = getattr(torch, dtype)
        self.batch_edges = batch_edges
        self.model = load(path, self.dtype, self.device)
        self.species = Species(path.stem, self.model.atomic_numbers.tolist())
        self.cutoff = float(self.model.r_max)
        self.head = _head_index(path.stem, getattr(self.model, "heads", None) or ["Default"], head)

    def _graph(self, atoms: Atoms) -> Graph:
        return graph_of(atoms, self.species, self.cutoff)

    def _forward(self, graphs: list[Graph]) -> list[Evaluation]:
        with TORCH, default_dtype(self.dtype), torch.enable_grad():
            out = self.model(self._tensors(graphs), compute_stress=True)
            energy, forces, stress = (array_of(out[name]) for name in ("energy", "forces", "stress"))
        ends = np.cumsum([len(graph.species) for graph in graphs])[:-1]
        return [
            Evaluation(float(e), f, full_3x3_to_voigt_6_stress(s) if graph.periodic else None)
            for graph, e, f, s in zip(graphs, energy, np.split(forces, ends), stress, strict=True)
        ]

    def _tensors(self, graphs: list[Graph]) -> dict[str, torch.Tensor]:
        """Join graphs into one that has no edges between them: the dictionary that MACE's forward reads.

        mace's own AtomicData and Batch give the same tensors, and 25 more that a prediction never reads, at a
        fifth of the forward's cost.
        """
        counts = np.array([len(graph.species) for graph in graphs])
        starts = np.concatenate(([0], np.cumsum(counts)))
        edges = [graph.edges + start for graph, start in zip(graphs, starts[:-1], strict=True)]
        shifts = [graph.images @ graph.cell for graph in graphs]
        species = self._integers(np.concatenate([graph.species for graph in graphs]))
        per_graph = torch.ones(len(graphs), dtype=self.dtype, device=self.device)
        return {
            "positions": self._reals([graph.positions for graph in graphs]),
            "node_attrs": torch.nn.functional.one_hot(species, self.species.count).to(self.dtype),
            "edge_index": self._integers(np.concatenate(edges, axis=1)),
            "shifts": self._reals(shifts),
            "unit_shifts": self._reals([graph.images for graph in graphs]),
            "cell": self._reals([graph.cell for graph in graphs]),
            "batch": self._integers(np.repeat(np.arange(len(graphs)), counts)),
            "ptr": self._integers(starts),
            "head": self._integers(np.full(len(graphs), self.head)),
            "total_charge": per_graph * 0.0,
            "total_spin": per_graph,
        }

    def _reals(self, parts: list[np.ndarray]) -> torch.Tensor:
        return torch.as_tensor(np.concatenate(parts), dtype=self.dtype, device=self.device)

    def _integers(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.int64, device=self.device)


def load(path: Path, dtype: torch.dtype, device: torch.device, read: Read | None = None) -> Any:
    """Return the model of a file, the same object for the same file, dtype and device in all threads."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size, dtype, device)
    with TORCH:
        if key not in _loaded:
            _loaded[key] = (read or _read)(path, device).to(device=device, dtype=dtype)
        return _loaded[key]


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype for a while. Hold TORCH around it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _read(path: Path, device: torch.device) -> Any:
    if path.suffix == ".npz":
        with quiet(), default_dtype(torch.float64):
            return _plain.load(path)
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


def device_of(name: str) -> torch.device:
    """The device of a name; auto is a GPU where there is one. Raises RunnerError where it is missing."""
    cuda = torch.cuda.is_available()
    if name.startswith("cuda") and not cuda:
        raise RunnerError(f"device {name}: torch sees no GPU here; use --set device=cpu, or auto")
    return torch.device(("cuda" if cuda else "cpu") if name == "auto" else name)


def _head_index(model: str, heads: Sequence[str], wanted: str | None) -> int:
    """Return the position of a head; without a wish the only one, or the one called default."""
    if wanted is None and len(heads) == 1:
        return 0
    for position, head in enumerate(heads):
        if head == wanted or (wanted is None and head.lower() == "default"):
            return position
    trouble = "needs a head" if wanted is None else f"has no head {wanted}"
    raise ModelError(f"model {model} {trouble}: use --set head=NAME with one of {', '.join(heads)}")


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array of float64."""
    array: np.ndarray = tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
    return array
