"""Relax many structures together: ASE's own optimizers and filters, one shared evaluation per step.

Each structure keeps its own optimizer. Before every step, energies, forces and stresses of all structures
still moving are computed together and put into their calculators, where the optimizer finds them. What it asks
for beyond that (a line search), its calculator computes alone. Steps and energies are those of one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import ase.optimize
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmat.potentials.cell import CellFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms

    from mlmat.potentials.potential import Evaluation

    Evaluate = Callable[[Sequence[Atoms]], list[Evaluation | Exception]]

#: A cell that shrinks or grows by more than this factor in volume has left the model's ground.
GROWTH = 10.0


@dataclass(frozen=True, slots=True)
class RelaxationSettings:
    """How to relax: mode `positions` or `cell`; fmax in eV/Å; optimizer: a class of `ase.optimize`."""

    mode: str
    fmax: float
    max_steps: int
    optimizer: str


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The end of a relaxation: the structure, what the model says of it, and how it went."""

    atoms: Atoms
    evaluation: Evaluation
    converged: bool
    steps: int


class PrecomputedCalculator(Calculator):  # type: ignore[misc]
    """An ASE calculator over an evaluate function; results can also be put into it from outside."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, evaluate: Evaluate) -> None:
        super().__init__()
        self.evaluate = evaluate
        self.evaluation: Evaluation | None = None

    def put(self, atoms: Atoms, found: Evaluation | Exception) -> None:
        """Keep what was computed for `atoms` as they stand; raise it if it is an exception."""
        if isinstance(found, Exception):
            raise found
        self.atoms = atoms.copy()
        self.evaluation = found
        self.results = {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        if found.stress is not None:
            self.results["stress"] = found.stress

    def check_state(self, atoms: Any, tol: float = 1e-15) -> list[str]:
        """What has changed since the last evaluation: only positions and cell can. ASE's own looks at everything."""
        known = self.atoms
        if known is None or len(known) != len(atoms):
            return list(all_changes)
        changed = {name: (getattr(known, name), getattr(atoms, name)) for name in ("positions", "cell")}
        return [name for name, (old, new) in changed.items() if not np.array_equal(old, new)]

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        """Evaluate one structure alone."""
        (found,) = self.evaluate([atoms])
        self.put(atoms, found)


class _Job:
    """One structure on its way down. `outcome` is set when it has ended."""

    def __init__(self, atoms: Atoms, evaluate: Evaluate, goal: RelaxationSettings) -> None:
        self.atoms = atoms.copy()
        self.shelf = self.atoms.calc = PrecomputedCalculator(evaluate)
        self.goal = goal
        self.volume = _volume(atoms)
        self.outcome: Relaxed | Exception | None = None
        self.steps = 0
        self.optimizer: Any = None

    def advance(self, found: Evaluation | Exception) -> None:
        """Take the evaluation of the structure as it stands, and end there or make the next step."""
        try:
            self.shelf.put(self.atoms, found)
            converged = self._converged()
            if converged or self.steps >= self.goal.max_steps:
                self.outcome = self._end(converged)
            else:
                self._step()
        except Exception as error:
            self.outcome = error

    def _converged(self) -> bool:
        if self.optimizer is None:
            self.optimizer = self._start()
        gradient = self.optimizer.optimizable.get_gradient()
        return bool(self.optimizer.gradient_converged(gradient))

    def _start(self) -> Any:
        target = self.atoms
        if self.goal.mode == "cell":
            if not self.atoms.pbc.all():
                raise ValueError(
                    "relax=cell needs a structure that is periodic in three directions; use relax=positions"
                )
            target = CellFilter(self.atoms)
        optimizer = getattr(ase.optimize, self.goal.optimizer)(target, logfile=None)
        optimizer.fmax = self.goal.fmax
        return optimizer

    def _step(self) -> None:
        self.optimizer.step()
        self.steps += 1
        self.optimizer.nsteps = self.steps
        volume = _volume(self.atoms)
        if not self.volume / GROWTH <= volume <= self.volume * GROWTH:
            fate = "exploded" if volume > self.volume else "collapsed"
            sizes = f"from {self.volume:.4g} to {volume:.4g} Å³"
            raise ArithmeticError(f"the cell {fate} in step {self.steps} of the relaxation, {sizes}")

    def _end(self, converged: bool) -> Relaxed:
        evaluation = self.shelf.evaluation
        assert evaluation is not None
        return Relaxed(self.atoms.copy(), evaluation, converged, self.steps)


def relax(batch: Sequence[Atoms], evaluate: Evaluate, goal: RelaxationSettings) -> list[Relaxed | Exception]:
    """Relax copies of all structures; for each, in order, the end of it or the exception that stopped it."""
    jobs = [_Job(atoms, evaluate, goal) for atoms in batch]
    active = jobs
    while active:
        found = evaluate([job.atoms for job in active])
        for job, one in zip(active, found, strict=True):
            job.advance(one)
        active = [job for job in active if job.outcome is None]
    return [job.outcome for job in jobs if job.outcome is not None]


def _volume(atoms: Atoms) -> float:
    """The volume in Å³, or 1 where the structure is not periodic in three directions."""
    return float(abs(np.linalg.det(atoms.cell))) if atoms.pbc.all() else 1.0
