"""MACE potentials: energy, forces and stress of many structures in one pass, relaxed first if asked for.

A model is a name from `mlmat models`: registered files, mace's foundation models (fetched once, in the driver), or
`untrained`. Loading one runs the pickle inside it, and importing mace switches torch's weights-only loading off for
the whole process. torch is imported by `setup`, or when a model has to be made.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlmat.errors import UsageError
from mlmat.runner import _models
from mlmat.runner._base import Prepared, WrappedAtomsRunner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from mlmat.runner._potential import Evaluation, Potential
    from mlmat.runner._relax import Relaxed

CHOICES = {
    "relax": ("none", "positions", "cell"),
    "dtype": ("float64", "float32"),
    "optimizer": ("FIRE", "FIRE2", "LBFGS", "BFGS", "MDMin", "LBFGSLineSearch", "BFGSLineSearch"),
}
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_UNTRAINED_NOTE = (
    "This MACE model is untrained: its numbers mean nothing. "
    "`mlmat models` lists trained ones; choose with --set model=NAME (medium-mpa-0, or a file you have added)."
)


class Runner(WrappedAtomsRunner):
    """Energy, forces and stress by MACE, of each structure as it is or relaxed.

    model: a name from `mlmat models`, or a registered file. dtype: float64 or float32. relax: none, positions,
    or cell (and positions). fmax: eV/Å, where a relaxation has converged; with relax=cell it also bounds the
    gradient of ASE's FrechetCellFilter. optimizer: a name from `ase.optimize`. device: cpu, cuda, cuda:N or
    auto. head: of a model that has several. batch_edges: neighbour pairs in one pass (on a GPU 100,000).
    """

    name: ClassVar[str | None] = "mace"
    version: ClassVar[str | None] = "1"
    columns: ClassVar[Mapping[str, str]] = {
        "energy": "DOUBLE -- eV, total energy of the cell",
        "forces": "DOUBLE[3][] -- eV/Å, force on each atom",
        "stress": "DOUBLE[6] -- eV/Å³, Voigt order xx yy zz yz xz xy, negative under compression; "
        "NULL unless periodic in three directions",
        "fmax": "DOUBLE -- eV/Å, largest force on an atom",
        "volume": "DOUBLE -- Å³, of the cell that was computed; NULL unless periodic in three directions",
        "converged": "BOOLEAN -- whether the relaxation reached fmax; NULL without relaxation",
        "steps": "INTEGER -- steps of the relaxation; NULL without relaxation",
        "relaxed": "STRUCTURE -- relaxed, the one that the other columns describe; NULL without relaxation",
    }

    def __init__(
        self,
        files: Any = (),
        *,
        model: str = _models.default(),
        dtype: str = "float64",
        relax: str = "none",
        fmax: float = 0.05,
        max_steps: int = 500,
        optimizer: str = "FIRE",
        device: str = "cpu",
        head: str | None = None,
        batch_edges: int = 3000,
    ) -> None:
        super().__init__(files)
        self.model = model
        self.dtype = dtype
        self.relax = relax
        self.fmax = fmax
        self.max_steps = max_steps
        self.optimizer = optimizer
        self.device = device
        self.head = head
        self.batch_edges = batch_edges
        self._potential: Potential | None = None

    @classmethod
    def prepare(cls, settings: Mapping[str, Any]) -> Prepared:
        """Check the settings and make sure of the model's file, with its SHA-256.

        Raises UsageError on a bad setting, ModelError where the model cannot be found, fetched or built.
        """
        full = _checked(settings, cls.__init__.__kwdefaults__ or {})
        model = _models.resolve(full["model"])
        return Prepared(
            settings=full | {"model": str(model.path)},
            identity=_identity(full),
            model_name=model.name,
            model_sha256=model.sha256,
            dtype=full["dtype"],
            packages=("torch", "mace-torch", "e3nn", "ase"),
            notes=tuple(note for note in (_UNTRAINED_NOTE if model.kind == "untrained" else model.note,) if note),
        )

    def setup(self) -> None:
        """Load the model, once per process, file and dtype. Raises ModelError, RunnerError (no device)."""
        from mlmat.runner._potential import Potential

        path = Path(self.model)
        if not path.is_absolute():  # made by hand, without `prepare`
            path = _models.resolve(self.model).path or path
        self._potential = Potential(path, self.dtype, self.device, self.head, self.batch_edges)

    def run(self, atoms: Atoms) -> dict[str, Any]:
        """Return the row of one structure, or raise what stopped it."""
        (found,) = self.run_batch([atoms])
        if isinstance(found, Exception):
            raise found
        return found

    def run_batch(self, batch: Sequence[Atoms]) -> list[dict[str, Any] | Exception]:
        """Return for each structure, in order, its row or the exception that stopped it.

        ValueError: the model cannot take it (an unknown element, no volume). FloatingPointError: NaN came
        out. ArithmeticError: the cell collapsed or exploded on the way.
        """
        if self._potential is None:
            self.setup()
        assert self._potential is not None
        if self.relax == "none":
            found = self._potential.evaluate(batch)
            return [_row(atoms, one) for atoms, one in zip(batch, found, strict=True)]
        return [_relaxed_row(one) for one in self._relax(batch, self._potential)]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_potential": None}  # a worker loads its own model

    def _relax(self, batch: Sequence[Atoms], potential: Potential) -> list[Relaxed | Exception]:
        from mlmat.runner._relax import Goal, relax

        goal = Goal(self.relax, self.fmax, self.max_steps, self.optimizer)
        return relax(batch, potential.evaluate, goal)


def _row(atoms: Atoms, found: Evaluation | Exception) -> dict[str, Any] | Exception:
    if isinstance(found, Exception):
        return found
    return {
        "energy": found.energy,
        "forces": found.forces,
        "stress": found.stress,
        "fmax": found.fmax,
        "volume": float(atoms.cell.volume) if atoms.pbc.all() else None,
        "converged": None,
        "steps": None,
        "relaxed": None,
    }


def _relaxed_row(found: Relaxed | Exception) -> dict[str, Any] | Exception:
    if isinstance(found, Exception):
        return found
    row = _row(found.atoms, found.evaluation)
    assert isinstance(row, dict)
    return row | {"converged": found.converged, "steps": found.steps, "relaxed": found.atoms}


def _identity(full: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide the numbers; the model's weights speak for themselves by their SHA-256."""
    keys = ["dtype", "relax"]
    if full["head"] is not None:
        keys.append("head")
    if full["relax"] != "none":
        keys += ["fmax", "max_steps", "optimizer"]
    return {key: full[key] for key in keys}


def _checked(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings, the given over the defaults. UsageError says what is allowed."""
    for key in settings:
        _require(key in defaults, f"mace has no setting {key}; it has {', '.join(defaults)}")
    full = dict(defaults) | dict(settings)
    for key, allowed in CHOICES.items():
        _require(full[key] in allowed, f"{key}={full[key]!r}: use one of {', '.join(allowed)}")
    for key in ("max_steps", "batch_edges"):
        _require(type(full[key]) is int and full[key] > 0, f"{key}={full[key]!r}: use a whole number above 0")
    for key in ("model", "device"):
        _require(isinstance(full[key], str) and bool(full[key]), f"{key}={full[key]!r}: use a text")
    _require(bool(_DEVICE.fullmatch(full["device"])), f"device={full['device']}: use auto, cpu, cuda or cuda:N")
    _require(_is_positive(full["fmax"]), f"fmax={full['fmax']!r}: use a number above 0, in eV/Å")
    head = full["head"]
    _require(head is None or isinstance(head, str), f"head={head!r}: use the name of one of the model's heads")
    return full | {"fmax": float(full["fmax"])}


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)
