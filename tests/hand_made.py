"""Rows made by hand: crystals, blocks of files, methods and what workers returned."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from ase import Atoms
from ase.build import bulk

from mlmat import arrow_frames, provenance
from mlmat.materials.structure import to_row
from mlmat.methods.columns import values_table
from mlmat.store import Store

_seconds = itertools.count()


def crystal(symbol: str = "Cu", a: float = 3.6, cells: int = 1) -> Atoms:
    return bulk(symbol, "fcc", a=a) * (cells, 1, 1)


def salt(a: float = 5.6) -> Atoms:
    return bulk("NaCl", "rocksalt", a=a)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def block(path: str, atoms: Atoms | None, outcome: str = "stored", **columns: Any) -> dict[str, Any]:
    """A row of `source` with the structure's row under `structure`, as ingest makes them."""
    made = to_row(atoms) if atoms is not None else None
    return {
        "source_id": provenance.new_id(), "path": path, "block": "b", "block_index": 0, "outcome": outcome,
        "reason": None, "warnings": [], "structure_id": made["structure_id"] if made else None,
        "chemical_formula": str(atoms.symbols) if atoms is not None else None, "declared_formula": None,
        "parser": "by hand 1", "file_sha256": sha(path + str(made)), "file_size": 1, "file_mtime_ns": 1,
        "block_sha256": "", "content": "", "current": True, "run_id": provenance.new_id(),
        "ingested_at": provenance.now(), "structure": made, **columns,
    }  # fmt: skip


def add(store: Store, *blocks: dict[str, Any]) -> dict[str, int]:
    """Write blocks in one transaction; the counts that the store reports."""
    rows = [dict(b) for b in blocks]
    made = [row.pop("structure") for row in rows]
    structures = [m for m in made if m is not None]
    return store.add_sources(pa.Table.from_pylist(rows), pa.Table.from_pylist(structures) if structures else None)


def stored(store: Store, *crystals: Atoms) -> list[str]:
    """Store crystals, each as a file of its own; their ids."""
    rows = [block(f"/files/{provenance.new_id()}.cif", atoms) for atoms in crystals]
    add(store, *rows)
    return [row["structure_id"] for row in rows]


def method(store: Store, method_id: str, runner: str = "toy", label: str | None = None) -> str:
    """Register a method; its run's id."""
    run = provenance.new_run("screen", method_id=method_id)
    about = {"method_id": method_id, "method": label or f"{runner} {method_id}", "runner": runner,
             "runner_version": "1", "settings": {"a": "1"}}  # fmt: skip
    store.start_run(run, about)
    return str(run["run_id"])


def result(structure_id: str | None, method_id: str = "m", status: str = "ok", **columns: Any) -> dict[str, Any]:
    """A row of `result`; later calls finish later."""
    failure = {"error_class": "ValueError", "error_message": "no", "traceback": "…"} if status == "failed" else {}
    finished = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=next(_seconds))
    return {"result_id": provenance.new_id(), "structure_id": structure_id, "external_id": None,
            "method_id": method_id, "run_id": None, "status": status, "energy": None, "converged": None,
            "attempt": 1, "finished_at": finished, "seconds": 0.5, **failure, **columns}  # fmt: skip


def packed(
    results: list[dict[str, Any]],
    values: list[dict[str, Any]] | None = None,
    runner: str = "toy",
    declared: dict[str, str] | None = None,
    produced: list[tuple[dict[str, Any], Atoms]] = (),  # type: ignore[assignment]
) -> bytes:
    """A frame as a worker returns it."""
    columns = list(dict.fromkeys(name for row in results for name in row))
    tables = {"result": pa.table({name: [row.get(name) for row in results] for name in columns})}
    if values is not None:
        tables[f"values:{runner}"] = values_table([r["result_id"] for r in results], values, declared or {})
    if produced:
        made = [(parent, to_row(atoms)) for parent, atoms in produced]
        tables["structure"] = pa.Table.from_pylist([row for _, row in made])
        tables["produced"] = pa.Table.from_pylist(
            [{"structure_id": row["structure_id"], "parent_id": parent["structure_id"],
              "result_id": parent["result_id"], "method_id": parent["method_id"], "role": "relaxed"}
             for parent, row in made]
        )  # fmt: skip
    return arrow_frames.pack(tables, ok=len(results), failed=0, seconds=0.1)


def merge(store: Store, *frames: bytes) -> int:
    """Merge frames through a journal; the number of new results."""
    journal = store.journal(provenance.new_id())
    for one in frames:
        journal.append(one)
    count = store.merge(journal)
    journal.close()
    return count


def record(store: Store, *results: dict[str, Any], **options: Any) -> int:
    return merge(store, packed(list(results), **options))


def by_hand(store: Store, *statements: str) -> None:
    """Change the tables of a store as somebody in a DuckDB shell may, whom nothing stops."""
    with store.database.write() as con:
        for statement in statements:
            con.execute(statement)
