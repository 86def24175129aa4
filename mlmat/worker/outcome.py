"""What comes of each structure of a batch: `run` called, its row checked, its failure caught."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat.bisecting import halves
from mlmat.errors import MlmatError
from mlmat.methods.columns import storable
from mlmat.runner import WrappedAtomsRunner, attempt
from mlmat.worker.rows import BadRow, checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ase import Atoms

#: A message longer than this is cut in the row; the traceback holds the rest.
MESSAGE_LENGTH = 500


@dataclass(slots=True)
class OutcomeOf:
    """What came of one structure: a checked row, or an error with its class, message and traceback.

    seconds: wall time of `run`; structures: rows of table `structure` by column, for which the row has their ids;
    moved: how far their atoms are from those handed in (`alignment.displacement`, Å), by column.
    """

    seconds: float
    row: dict[str, Any] | None = None
    structures: dict[str, dict[str, Any]] = field(default_factory=dict)
    moved: dict[str, float | None] = field(default_factory=dict)
    error_class: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    workdir: str | None = None


def one_by_one(runner: WrappedAtomsRunner) -> bool:
    """Whether a runner takes its structures one by one; else a batch is one call."""
    return type(runner).run_batch is WrappedAtomsRunner.run_batch


def outcomes_of(runner: WrappedAtomsRunner, batch: Sequence[Atoms], scratch: Path) -> Iterator[OutcomeOf]:
    """Run a batch and judge what `run` returned, structure by structure."""
    if one_by_one(runner):
        for atoms in batch:
            yield _run_one(runner, atoms, scratch)
        return
    yield from _run_many(runner, batch, scratch)


def _run_many(runner: WrappedAtomsRunner, batch: Sequence[Atoms], scratch: Path) -> list[OutcomeOf]:
    """One call of the runner's own `run_batch`, with one scratch directory, kept when any structure failed."""
    runner.begin_scratch(scratch)
    start = time.perf_counter()
    found = _rows_of(runner, batch)
    share = (time.perf_counter() - start) / max(1, len(batch))
    outcomes = [_judge(runner, atoms, item, share) for atoms, item in zip(batch, found, strict=True)]
    kept = runner.end_scratch(keep=any(outcome.row is None for outcome in outcomes))
    for outcome in outcomes:
        outcome.workdir = str(kept) if kept and outcome.row is None else None
    return outcomes


def _rows_of(runner: WrappedAtomsRunner, batch: Sequence[Atoms]) -> list[Any]:
    """What `run_batch` says of each structure; one that fails as a whole is bisected."""
    try:
        found = list(runner.run_batch([atoms.copy() for atoms in batch]))
        if len(found) == len(batch):
            return found
        error: BaseException = BadRow(f"run_batch returned {len(found)} rows for {len(batch)} structures")
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        error = raised
    if len(batch) == 1:
        return [error]
    return [row for half in halves(batch) for row in _rows_of(runner, half)]


def _run_one(runner: WrappedAtomsRunner, atoms: Atoms, scratch: Path) -> OutcomeOf:
    """One call of `run` with a scratch directory of its own, which is kept when it fails."""
    runner.begin_scratch(scratch)
    given = atoms.copy()  # a runner may move the atoms that it gets
    start = time.perf_counter()
    found = attempt(runner, atoms)
    outcome = _judge(runner, given, found, time.perf_counter() - start)
    kept = runner.end_scratch(keep=outcome.row is None)
    outcome.workdir = str(kept) if kept else None
    return outcome


def _judge(runner: WrappedAtomsRunner, given: Atoms, found: Any, seconds: float) -> OutcomeOf:
    if not isinstance(found, BaseException):
        try:
            return _accepted(given, checked(found, runner.columns), seconds)
        except BadRow as error:
            found = error
        except Exception as error:  # a value with ideas of its own: whatever it does, it is this structure's alone
            found = BadRow(f"what run returned cannot be stored: {describe(error)}").with_traceback(error.__traceback__)
    text = "".join(traceback.format_exception(found))
    return OutcomeOf(seconds, error_class=type(found).__name__, error_message=describe(found), traceback=storable(text))


def describe(error: BaseException) -> str:
    """An exception's message in one line; its class where it has none."""
    try:
        text = " ".join(storable(str(error)).split())
    except Exception:  # its __str__ is broken, too
        text = ""
    return (text or type(error).__name__)[:MESSAGE_LENGTH]


def why(error: BaseException) -> str:
    """An exception in one line, with its class where it is not one of ours, whose messages say it all."""
    return describe(error) if isinstance(error, MlmatError) else f"{type(error).__name__}: {describe(error)}"


def _accepted(given: Atoms, row: dict[str, Any], seconds: float) -> OutcomeOf:
    """A row with ids in place of its structures, and the structures as rows by column. Raises BadRow."""
    from ase import Atoms

    from mlmat.materials.alignment import displacement

    returned = {name: value for name, value in row.items() if isinstance(value, Atoms)}
    structures = {name: _structure_row(name, atoms) for name, atoms in returned.items()}
    moved = {name: displacement(given, atoms) for name, atoms in returned.items()}
    return OutcomeOf(
        seconds, {**row, **{name: made["structure_id"] for name, made in structures.items()}}, structures, moved
    )


def _structure_row(name: str, atoms: Atoms) -> dict[str, Any]:
    import numpy as np

    from mlmat.materials.structure import to_row

    if not len(atoms):
        raise BadRow(f"column {name}: a structure without atoms")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise BadRow(f"column {name}: the positions or the cell of this structure are not finite")
    return to_row(atoms)
