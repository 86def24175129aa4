"""What runs on a worker: a batch of structures in, a frame of rows out. Nothing here raises towards parsl.

parsl cannot carry every exception home (one that cannot be unpickled hangs every later future), so that a failure
travels as data: a failed row, or a note in the frame that the runner itself could not start.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import frame, provenance
from mlmat.errors import MlmatError
from mlmat.runner._base import WrappedAtomsRunner
from mlmat.runner._rows import BadRow, checked, storable, values_table
from mlmat.runner._sent import wait_until_sent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ase import Atoms

    from mlmat.runner._load import Recipe

#: A message longer than this is cut in the row; the traceback holds the rest.
MESSAGE_LENGTH = 500
#: Runners that a worker keeps set up.
KEPT = 4
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the driver knows of a batch: the run, the method, and which attempt of each structure this is."""

    run_id: str
    method_id: str
    runner: str
    scratch: str
    attempts: int = 1


def run_task(recipe: Recipe, ticket: Ticket, structures: bytes) -> bytes:
    """Compute a batch (Arrow IPC of geometry) and return its frame."""
    from mlmat.structure import from_row

    wait_until_sent()
    try:
        runner = ready(recipe)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a worker that dies here would be replaced and die again
        return frame.pack({}, broken=f"{provenance.host()}: {why(error)}", traceback=traceback.format_exc())
    rows = frame.from_ipc(structures).to_pylist()
    return pack_batch(runner, ticket, [row["structure_id"] for row in rows], [from_row(row) for row in rows])


def ready(recipe: Recipe) -> WrappedAtomsRunner:
    """The runner of this thread: built and set up once, kept for the batches that follow."""
    runners: dict[str, WrappedAtomsRunner] = _local.__dict__.setdefault("runners", {})
    if recipe.key not in runners:
        runner = recipe.build()
        runner.setup()
        while len(runners) >= KEPT:  # a notebook edits its runner many times, and each may hold a model
            runners.pop(next(iter(runners)))
        runners[recipe.key] = runner
    return runners[recipe.key]


def pack_batch(runner: WrappedAtomsRunner, ticket: Ticket, ids: Sequence[str], batch: Sequence[Atoms]) -> bytes:
    """Run a batch and pack what came of each structure."""
    outcomes = list(outcomes_of(runner, batch, Path(ticket.scratch)))
    declared = dict(runner.columns)
    good: list[tuple[str, dict[str, Any]]] = []
    results: list[dict[str, Any]] = []
    produced: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    for structure_id, outcome in zip(ids, outcomes, strict=True):
        result = _result(ticket, structure_id, outcome)
        results.append(result)
        if result["status"] == "ok":
            good.append((result["result_id"], outcome.row or {}))
            made += outcome.structures.values()
            produced += [_link(ticket, result, role, one["structure_id"]) for role, one in outcome.structures.items()]
    return _packed(ticket, declared, results, good, produced, made)


def _packed(
    ticket: Ticket,
    declared: Mapping[str, str],
    results: list[dict[str, Any]],
    good: list[tuple[str, dict[str, Any]]],
    produced: list[dict[str, Any]],
    made: list[dict[str, Any]],
) -> bytes:
    import pyarrow as pa

    tables = {}
    if good:
        tables[f"values:{ticket.runner}"] = values_table([i for i, _ in good], [row for _, row in good], declared)
    if made:
        tables["structure"] = pa.Table.from_pylist(made)
        tables["produced"] = pa.Table.from_pylist(produced)
    tables["result"] = pa.Table.from_pylist(results, schema=_result_schema())
    failed = sum(r["status"] == "failed" for r in results)
    return frame.pack(tables, ok=len(results) - failed, failed=failed, seconds=sum(r["seconds"] for r in results))


def _result_schema() -> Any:
    import pyarrow as pa

    text = ("result_id", "structure_id", "method_id", "run_id", "status", "error_class", "error_message", "traceback",
            "workdir", "host")  # fmt: skip
    return pa.schema(
        [(name, pa.string()) for name in text]
        + [("energy", pa.float64()), ("converged", pa.bool_()), ("attempt", pa.int32()), ("pid", pa.int64())]
        + [("finished_at", pa.timestamp("us", tz="UTC")), ("seconds", pa.float64())]
    )


@dataclass(slots=True)
class OutcomeOf:
    """What came of one structure: a checked row, or an error with its class, message and traceback.

    seconds: wall time of `run`; structures: rows of table `structure` by column, for which the row has their ids.
    """

    seconds: float
    row: dict[str, Any] | None = None
    structures: dict[str, dict[str, Any]] = field(default_factory=dict)
    error_class: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    workdir: str | None = None


def outcomes_of(runner: WrappedAtomsRunner, batch: Sequence[Atoms], scratch: Path) -> Iterator[OutcomeOf]:
    """Run a batch and judge what `run` returned, structure by structure."""
    if type(runner).run_batch is WrappedAtomsRunner.run_batch:
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
    outcomes = [_judge(runner, item, share) for item in found]
    kept = runner.end_scratch(keep=any(outcome.row is None for outcome in outcomes))
    for outcome in outcomes:
        outcome.workdir = str(kept) if kept and outcome.row is None else None
    return outcomes


def _rows_of(runner: WrappedAtomsRunner, batch: Sequence[Atoms]) -> list[Any]:
    """What `run_batch` says of each structure; one that fails as a whole is halved until the guilty is alone."""
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
    middle = len(batch) // 2
    return [*_rows_of(runner, batch[:middle]), *_rows_of(runner, batch[middle:])]


def _run_one(runner: WrappedAtomsRunner, atoms: Atoms, scratch: Path) -> OutcomeOf:
    """One call of `run` with a scratch directory of its own, which is kept when it fails."""
    runner.begin_scratch(scratch)
    start = time.perf_counter()
    found = attempt(runner, atoms)
    outcome = _judge(runner, found, time.perf_counter() - start)
    kept = runner.end_scratch(keep=outcome.row is None)
    outcome.workdir = str(kept) if kept else None
    return outcome


def _judge(runner: WrappedAtomsRunner, found: Any, seconds: float) -> OutcomeOf:
    if not isinstance(found, BaseException):
        try:
            row, structures = _split_structures(checked(found, runner.columns))
            return OutcomeOf(seconds, row, structures)
        except BadRow as error:
            found = error
        except Exception as error:  # a value with ideas of its own: whatever it does, it is this structure's alone
            found = BadRow(f"what run returned cannot be stored: {describe(error)}").with_traceback(error.__traceback__)
    text = "".join(traceback.format_exception(found))
    return OutcomeOf(seconds, None, {}, type(found).__name__, describe(found), storable(text))


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


def _result(ticket: Ticket, structure_id: str, outcome: OutcomeOf) -> dict[str, Any]:
    row = outcome.row or {}
    return {
        "result_id": provenance.new_id(),
        "structure_id": structure_id,
        "method_id": ticket.method_id,
        "run_id": ticket.run_id,
        "status": "failed" if outcome.row is None else "ok",
        "energy": row.get("energy"),
        "converged": row.get("converged"),
        "attempt": ticket.attempts,
        "host": provenance.host(),
        "pid": os.getpid(),
        "finished_at": provenance.now(),
        "seconds": outcome.seconds,
        "error_class": outcome.error_class,
        "error_message": outcome.error_message,
        "traceback": outcome.traceback,
        "workdir": storable(outcome.workdir) if outcome.workdir else None,
    }


def _split_structures(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A row with ids in place of its structures, and the structures as rows by column. Raises BadRow."""
    from ase import Atoms

    structures = {name: _structure_row(name, value) for name, value in row.items() if isinstance(value, Atoms)}
    return {**row, **{name: made["structure_id"] for name, made in structures.items()}}, structures


def _structure_row(name: str, atoms: Atoms) -> dict[str, Any]:
    import numpy as np

    from mlmat.structure import to_row

    if not len(atoms):
        raise BadRow(f"column {name}: a structure without atoms")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise BadRow(f"column {name}: the positions or the cell of this structure are not finite")
    return to_row(atoms)


def _link(ticket: Ticket, result: Mapping[str, Any], role: str, made: str) -> dict[str, Any]:
    return {
        "structure_id": made,
        "parent_id": result["structure_id"],
        "result_id": result["result_id"],
        "method_id": ticket.method_id,
        "role": role,
    }


def failure_frame(ticket: Ticket, structure_id: str, error_class: str, message: str) -> bytes:
    """The frame of a structure that no worker survived or that no runner could take."""
    outcome = OutcomeOf(0.0, None, {}, error_class, storable(message))
    return _packed(ticket, {}, [_result(ticket, structure_id, outcome)], [], [], [])


def run_each(runner: WrappedAtomsRunner, batch: Iterable[Atoms]) -> Iterator[Any]:
    """The row of each structure, or the exception that stopped it."""
    return (attempt(runner, atoms) for atoms in batch)


def attempt(runner: WrappedAtomsRunner, atoms: Atoms) -> Any:
    """What `run` returned or raised."""
    try:
        return runner.run(atoms)
    except KeyboardInterrupt:  # the user's, or the worker is being ended: not the structure's failure
        raise
    except BaseException as error:
        return error
