"""Outcomes as frames: the rows of a batch on their way to the journal and the store."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.methods.columns import storable, values_table
from mlmat.worker.messages import results_frame
from mlmat.worker.outcome import OutcomeOf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What the driver knows of a batch: the run, the method, which attempt of each structure this is, its limits.

    driver: host and process of the driver, as `provenance.here()`; versions: of its packages that make the numbers;
    time_limit: seconds for each structure; memory_limit: bytes for the process that computes.
    """

    run_id: str
    method_id: str
    runner: str
    scratch: str
    attempts: int = 1
    driver: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    time_limit: float | None = None
    memory_limit: int | None = None


def pack(
    context: BatchContext, declared: Mapping[str, str], ids: Sequence[str], outcomes: Iterable[OutcomeOf]
) -> bytes:
    """The frame of outcomes; declared: the runner's columns."""
    good: list[tuple[str, dict[str, Any]]] = []
    results: list[dict[str, Any]] = []
    produced: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    for structure_id, outcome in zip(ids, outcomes, strict=True):
        result = _result(context, structure_id, outcome)
        results.append(result)
        if result["status"] == "ok":
            good.append((result["result_id"], outcome.row or {}))
            made += outcome.structures.values()
            produced += [_link(context, result, role, outcome) for role in outcome.structures]
    return _packed(context, declared, results, good, produced, made)


def _packed(
    context: BatchContext,
    declared: Mapping[str, str],
    results: list[dict[str, Any]],
    good: list[tuple[str, dict[str, Any]]],
    produced: list[dict[str, Any]],
    made: list[dict[str, Any]],
) -> bytes:
    import pyarrow as pa

    tables = {}
    if good:
        tables[f"values:{context.runner}"] = values_table([i for i, _ in good], [row for _, row in good], declared)
    if made:
        tables["structure"] = pa.Table.from_pylist(made)
        tables["produced"] = pa.Table.from_pylist(produced)
    tables["result"] = pa.Table.from_pylist(results, schema=_result_schema())
    failures = Counter(r["error_class"] for r in results if r["status"] == "failed")
    return results_frame(tables, failures, sum(r["seconds"] for r in results))


def _result_schema() -> Any:
    import pyarrow as pa

    text = ("result_id", "structure_id", "method_id", "run_id", "status", "error_class", "error_message", "traceback",
            "workdir", "host")  # fmt: skip
    return pa.schema(
        [(name, pa.string()) for name in text]
        + [("energy", pa.float64()), ("converged", pa.bool_()), ("attempt", pa.int32()), ("pid", pa.int64())]
        + [("finished_at", pa.timestamp("us", tz="UTC")), ("seconds", pa.float64())]
    )


def _result(context: BatchContext, structure_id: str, outcome: OutcomeOf) -> dict[str, Any]:
    row = outcome.row or {}
    return {
        "result_id": provenance.new_id(),
        "structure_id": structure_id,
        "method_id": context.method_id,
        "run_id": context.run_id,
        "status": "failed" if outcome.row is None else "ok",
        "energy": row.get("energy"),
        "converged": row.get("converged"),
        "attempt": context.attempts,
        "host": provenance.host(),
        "pid": os.getpid(),
        "finished_at": provenance.now(),
        "seconds": outcome.seconds,
        "error_class": outcome.error_class,
        "error_message": outcome.error_message,
        "traceback": outcome.traceback,
        "workdir": storable(outcome.workdir) if outcome.workdir else None,
    }


def _link(context: BatchContext, result: Mapping[str, Any], role: str, outcome: OutcomeOf) -> dict[str, Any]:
    steps = (outcome.row or {}).get("steps")
    return {
        "structure_id": outcome.structures[role]["structure_id"],
        "parent_id": result["structure_id"],
        "result_id": result["result_id"],
        "method_id": context.method_id,
        "role": role,
        "steps": steps if isinstance(steps, int) else None,
        "rmsd": outcome.moved.get(role),
    }


def failure_frame(context: BatchContext, structure_id: str, error_class: str, message: str, **more: Any) -> bytes:
    """The frame of a structure that no worker survived; more: seconds, traceback."""
    seconds, text = more.get("seconds") or 0.0, more.get("traceback")
    outcome = OutcomeOf(
        seconds, error_class=error_class, error_message=storable(message), traceback=storable(text) if text else None
    )
    return pack(context, {}, [structure_id], [outcome])
