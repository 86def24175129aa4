"""What runners over interatomic potentials share: settings and their checks, columns, rows, relaxation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from mlmat.errors import UsageError
from mlmat.runner._base import WrappedAtomsRunner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from mlmat.potentials.potential import Evaluation, Evaluator
    from mlmat.potentials.relax import Relaxed

CHOICES = {
    "relax": ("none", "positions", "cell"),
    "dtype": ("float64", "float32"),
    "optimizer": ("FIRE", "FIRE2", "LBFGS", "BFGS", "MDMin", "LBFGSLineSearch", "BFGSLineSearch"),
}
COLUMNS = {
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
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class InteratomicRunner(WrappedAtomsRunner):
    """Energy, forces and stress of structures as they are or relaxed. A subclass says how its model is loaded."""

    columns: ClassVar[Mapping[str, str]] = COLUMNS

    def __init__(
        self,
        files: Any,
        *,
        model: str,
        dtype: str,
        relax: str,
        fmax: float,
        max_steps: int,
        optimizer: str,
        device: str,
        batch_edges: int | None,
    ) -> None:
        super().__init__(files)
        self.model = model
        self.dtype = dtype
        self.relax = relax
        self.fmax = fmax
        self.max_steps = max_steps
        self.optimizer = optimizer
        self.device = device
        self.batch_edges = batch_edges
        self._potential: Evaluator | None = None

    def _load(self) -> Evaluator:
        """The model, loaded once per process, file and dtype."""
        raise NotImplementedError

    def setup(self) -> None:
        """Load the model, once per process, file and dtype. Raises ModelError, RunnerError (no device)."""
        self._potential = self._load()

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
            return [self._row(atoms, one) for atoms, one in zip(batch, found, strict=True)]
        return [self._relaxed_row(one) for one in self._relax(batch, self._potential)]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_potential": None}  # a worker loads its own model

    def _relax(self, batch: Sequence[Atoms], potential: Evaluator) -> list[Relaxed | Exception]:
        from mlmat.potentials.relax import RelaxationSettings, relax

        goal = RelaxationSettings(self.relax, self.fmax, self.max_steps, self.optimizer)
        return relax(batch, potential.evaluate, goal)

    def _row(self, atoms: Atoms, found: Evaluation | Exception) -> dict[str, Any] | Exception:
        if isinstance(found, Exception):
            return found
        row = {
            "energy": found.energy,
            "forces": found.forces,
            "stress": found.stress,
            "fmax": found.fmax,
            "volume": float(atoms.cell.volume) if atoms.pbc.all() else None,
            "magmoms": found.magmoms,
        }
        return {name: row.get(name) for name in self.columns}

    def _relaxed_row(self, found: Relaxed | Exception) -> dict[str, Any] | Exception:
        if isinstance(found, Exception):
            return found
        row = self._row(found.atoms, found.evaluation)
        assert isinstance(row, dict)
        return row | {"converged": found.converged, "steps": found.steps, "relaxed": found.atoms}


def identity(full: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """The settings that decide the numbers; the model's weights speak for themselves by their SHA-256."""
    keys = ["dtype", "relax", *more]
    if full["relax"] != "none":
        keys += ["fmax", "max_steps", "optimizer"]
    return {key: full[key] for key in keys}


def batch_seconds(full: Mapping[str, Any]) -> float:
    """Relaxations travel in larger batches: towards the end of one few are left, in passes that are not full."""
    return 4.0 if full["relax"] == "none" else 10.0


def checked(runner: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings, the given over the defaults. UsageError says what is allowed."""
    for key in settings:
        require(key in defaults, f"{runner} has no setting {key}; it has {', '.join(defaults)}")
    full = dict(defaults) | dict(settings)
    for key, allowed in CHOICES.items():
        require(full[key] in allowed, f"{key}={full[key]!r}: use one of {', '.join(allowed)}")
    for key in ("max_steps", "batch_edges"):
        by_itself = full[key] is None and defaults[key] is None
        require(by_itself or _is_count(full[key]), f"{key}={full[key]!r}: use a whole number above 0")
    for key in ("model", "device"):
        require(isinstance(full[key], str) and bool(full[key]), f"{key}={full[key]!r}: use a text")
    require(bool(_DEVICE.fullmatch(full["device"])), f"device={full['device']}: use auto, cpu, cuda or cuda:N")
    require(_is_positive(full["fmax"]), f"fmax={full['fmax']!r}: use a number above 0, in eV/Å")
    return full | {"fmax": float(full["fmax"])}


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def require(holds: bool, message: str) -> None:
    """Raise UsageError with this message unless it holds."""
    if not holds:
        raise UsageError(message)
