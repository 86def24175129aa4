"""Stored results, computed again by the method that made them."""

from __future__ import annotations

import tempfile
from collections import deque
from typing import TYPE_CHECKING, Any

from mlmat import arrow_frames, provenance
from mlmat.bisecting import halves
from mlmat.errors import MlmatError, RunnerError
from mlmat.verify._check import SOME, Check
from mlmat.verify._compare import distances, tolerance_of
from mlmat.verify._rebuild import rebuild
from mlmat.worker.messages import LostStructures, RunnerBroken, from_frame
from mlmat.worker.packing import BatchContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from mlmat.methods.method import ResolvedMethod
    from mlmat.store import Store

_METHODS = """
    SELECT m.*, coalesce(ok, 0) AS ok FROM method AS m
    LEFT JOIN (SELECT method_id, count(*) AS ok FROM current_result WHERE status = 'ok' GROUP BY method_id)
    USING (method_id) ORDER BY created_at
"""
_SAMPLE = """
    SELECT r.result_id::VARCHAR AS result_id, r.structure_id, r.energy, r.converged
    FROM current_result AS r JOIN structure AS s USING (structure_id)
    WHERE method_id = $method AND status = 'ok'
        -- What the model refuses by now is suspect, not wrong.
        AND NOT list_has_any(
            s.elements, coalesce((SELECT list(element) FROM unfit_element WHERE method_id = $method), [])
        )
    ORDER BY random() LIMIT $limit
"""


def recompute(
    store: Store,
    sample: int | None,
    only: str | None,
    tolerance: float | None,
    say: Callable[[str], None] | None,
) -> Iterator[Check]:
    """A check for each method: a sample of its results is computed again, in a process of its own."""
    if sample == 0:
        return
    try:
        for method in store.arrow(_METHODS).to_pylist():
            if only in (None, method["method_id"]):
                yield _checked(store, method, sample, tolerance, say)
    finally:
        from mlmat.worker.sandbox import end_child

        end_child()


def _checked(
    store: Store, method: dict[str, Any], sample: int | None, tolerance: float | None, say: Callable[[str], None] | None
) -> Check:
    what = f"results of {method['method']} ({method['method_id']})"
    if method["runner"] == "imported":
        return Check(what, method["ok"], 0, "ok", "came with files: nothing to compute again")
    if method["derived_from"]:
        return _derived(store, what, method)
    limit = method["ok"] if sample is None else min(sample, method["ok"])
    wanted = store.arrow(_SAMPLE, {"method": method["method_id"], "limit": limit}).to_pylist()
    if not wanted:
        return Check(what, 0, 0, "ok", "there is none")
    try:
        plan = rebuild(store, method)
        if say is not None:
            say(f"computing {len(wanted)} {what} again")
        again = _computed(store, plan, [row["structure_id"] for row in wanted])
    except MlmatError as error:
        return Check(what, 0, 0, "note", f"cannot be computed again: {error}")
    return _judged(what, _stored(store, plan.runner, wanted), again, tolerance or tolerance_of(method["dtype"]))


def _derived(store: Store, what: str, method: dict[str, Any]) -> Check:
    """A derived method has no results of its own: do its corrections still fit the raw ones?"""
    stale = "method_id = $m AND energy IS NULL AND contains(uncorrected, ' by now')"
    if found := store.arrow(f"SELECT uncorrected FROM energies WHERE {stale} LIMIT 1", {"m": method["method_id"]}):
        return Check(what, 0, 1, "wrong", found["uncorrected"][0].as_py())
    return Check(what, 0, 0, "ok", f"{method['derived_from']} with corrections: its results are those that count")


def _stored(store: Store, runner: str, wanted: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All columns of the results, by structure."""
    ids = {"ids": [row["result_id"] for row in wanted]}
    values = {row.pop("result_id"): row for row in store.values_of(runner, ids["ids"])}
    return {row["structure_id"]: {**_plain(row), **values.get(row["result_id"], {})} for row in wanted}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("energy", "converged")}


def _computed(store: Store, plan: ResolvedMethod, ids: list[str]) -> dict[str, dict[str, Any]]:
    """What the runner returns now, by structure; a failure as its class and message. Raises RunnerError."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="mlmat-verify-") as scratch:
        context = BatchContext(provenance.new_id(), plan.method["method_id"], plan.runner, scratch)
        todo = deque(_batches(store.geometry(ids), plan.batch_atoms))
        while todo:
            part = todo.popleft()
            now, lost = _batch(plan, context, part)
            found |= now
            if len(part) > 1:  # what ran when the process ended: which one ended it?
                suspects = list(lost)
                todo.extend(store.geometry(ids) for ids in (halves(suspects) if suspects[1:] else [suspects]) if ids)
            else:
                found |= lost
    return found


def _batch(
    plan: ResolvedMethod, context: BatchContext, part: pa.Table
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """What came of a batch, and of those that were lost with the process that computed them. Raises RunnerError."""
    from mlmat.worker.sandbox import compute

    found: dict[str, dict[str, Any]] = {}
    lost: dict[str, dict[str, Any]] = {}
    for frame in compute(plan.spec, context, arrow_frames.to_ipc(part)):
        message = from_frame(frame)
        if isinstance(message, RunnerBroken):
            raise RunnerError(f"the runner could not start on {message.broken}")
        if isinstance(message, LostStructures):
            lost |= {one: {"error": f"WorkerLost: {message.how}"} for one in message.lost}
        found.update(_rows(arrow_frames.unpack(frame), plan.runner))
    return found, lost


def _batches(geometry: pa.Table, atoms: int) -> Iterator[pa.Table]:
    start, size = 0, 0
    for at, nsites in enumerate(geometry["nsites"].to_pylist()):
        if at > start and size + nsites > atoms:
            yield geometry.slice(start, at - start)
            start, size = at, 0
        size += nsites
    yield geometry.slice(start)


def _rows(tables: dict[str, pa.Table], runner: str) -> Iterator[tuple[str, dict[str, Any]]]:
    values = tables.get(f"values:{runner}")
    columns = {row.pop("result_id"): row for row in values.to_pylist()} if values is not None else {}
    for row in tables["result"].to_pylist() if "result" in tables else ():
        failed = {"error": f"{row['error_class']}: {row['error_message']}"} if row["status"] != "ok" else {}
        yield row["structure_id"], {**_plain(row), **columns.get(row["result_id"], {}), **failed}


def _judged(what: str, stored: dict[str, dict[str, Any]], again: dict[str, dict[str, Any]], tolerance: float) -> Check:
    bad, worst, same = [], 0.0, 0
    for structure_id, row in stored.items():
        new = again[structure_id]
        if "error" in new:
            bad.append(f"{structure_id} fails now ({new['error']})")
            continue
        apart = distances(row, new)
        far = {name: distance for name, distance in apart.items() if distance > tolerance}
        if far:
            bad.append(f"{structure_id} ({', '.join(_said(name, row, new, d) for name, d in far.items())})")
        worst = max([worst, *apart.values()])
        same += not any(apart.values())
    if bad:
        says = f"differ by more than {tolerance:g} when computed again: find out why before you trust this method"
        return Check(what, len(stored), len(bad), "wrong", says, bad[:SOME])
    how = "bit by bit" if same == len(stored) else f"within {worst:.1g} (tolerance {tolerance:g})"
    return Check(what, len(stored), 0, "ok", f"the same when computed again, {how}")


def _said(name: str, row: dict[str, Any], new: dict[str, Any], distance: float) -> str:
    one, other = row.get(name), new.get(name)
    if isinstance(one, float) and isinstance(other, float):
        return f"{name} {other:.10g} instead of {one:.10g}"
    return f"{name} by {distance:.2g}"
