"""A model in memory: many structures in; energy, forces and stress of each out, in shared passes."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlmat.bisecting import halves
from mlmat.errors import RunnerError
from mlmat.materials.electrons import state_of
from mlmat.potentials.graph import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ase import Atoms

    from mlmat.potentials.graph import Species

    Read = Callable[[Path, torch.device], Any]

#: Held while torch works: its default dtype belongs to the process, and so do its threads.
TORCH_LOCK = threading.RLock()

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
    #: What the model is called in messages, and whether it knows the total charge of a structure.
    species: Species
    charged = False

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
            self._check_charge(atoms)
            return self._graph(atoms)
        except Exception as error:
            return error

    def _check_charge(self, atoms: Atoms) -> None:
        """Raises ValueError for a charged structure where the model would compute the neutral one without a word."""
        charge = state_of(atoms.info).charge
        if charge and not self.charged:
            raise ValueError(
                f"a total charge of {charge:+g} e, which model {self.species.model} does not know: its numbers would "
                "be those of the neutral structure"
            )

    def _together(self, graphs: list[Any]) -> list[Evaluation | Exception]:
        """One forward pass; if it fails, or one structure's NaN spoils the forces of others, one for each.

        Where memory does not suffice, two of half the size, which is the limit from then on.
        """
        parts = [[graph] for graph in graphs]
        try:
            found = self._forward(graphs)
        except torch.OutOfMemoryError as error:
            if len(graphs) == 1:
                return [error]
            self.batch_edges = max(1, min(self.batch_edges, sum(graph.size for graph in graphs)) // 2)
            parts = halves(graphs)
        except Exception as error:
            if len(graphs) == 1:
                return [error]
        else:
            if all(one.finite for one in found):
                return list(found)
            if len(graphs) == 1:
                return [FloatingPointError("the model's energy or forces are not finite: do atoms overlap?")]
        # Not where it was raised: the exception would hold the memory that it asked for.
        return [one for part in parts for one in self._together(part)]


def load(path: Path, dtype: torch.dtype, device: torch.device, read: Read) -> Any:
    """Return the model that `read` makes of a file, the same object for the same request in all threads."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size, dtype, device, read)
    with TORCH_LOCK:
        if key not in _loaded:
            _loaded[key] = read(path, device).to(device=device, dtype=dtype)
        return _loaded[key]


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype for a while. Hold TORCH_LOCK around it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def device_of(name: str) -> torch.device:
    """The device of a name; auto is a GPU where there is one. Raises RunnerError where it is missing."""
    cuda = torch.cuda.is_available()
    if name.startswith("cuda") and not cuda:
        raise RunnerError(f"device {name}: torch sees no GPU here; use --set device=cpu, or auto")
    return torch.device(("cuda" if cuda else "cpu") if name == "auto" else name)


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array of float64."""
    array: np.ndarray = tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
    return array
