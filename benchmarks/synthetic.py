"""Stores of any size: structures with the sizes and compositions of real ones, made without reading a file."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mlmat import arrow_frames, provenance
from mlmat.materials.structure import anonymous_formula, reduced_formula

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.store import Store

SHARED = Path(os.environ.get("MLMAT_SHARED", Path(__file__).parents[2] / "shared"))
#: Structures that one transaction writes.
CHUNK = 20_000
#: Elements that take the places of the real ones: an element each store has a crystal of.
_NAMES = (
    "Li Be B C N O F Na Mg Al Si P S Cl K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y Zr Nb Mo Ru Rh Pd Ag "
    "Cd In Sn Sb Te I Cs Ba La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Th U"
)
ELEMENTS = _NAMES.split()
#: Where there are no shared data: compositions of common prototypes.
PLAIN = [{"A": 1}, {"A": 1, "B": 1}, {"A": 2, "B": 3}, {"A": 4, "B": 4}, {"A": 1, "B": 1, "C": 3},
         {"A": 4, "B": 8, "C": 16}, {"A": 8, "B": 8, "C": 24}, {"A": 6, "B": 6, "C": 1}]  # fmt: skip


def compositions() -> list[dict[str, int]]:
    """Amounts of the real crystals of the set `clean`; of plain prototypes where it is not here."""
    manifest = SHARED / "data" / "clean_manifest.csv"
    if not manifest.is_file():
        return PLAIN
    with manifest.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["gemmi_ok"] == "1"]
    found = [_amounts(row["gemmi_formula"], round(float(row["gemmi_natoms"]))) for row in rows]
    return [amounts for amounts in found if 0 < sum(amounts.values()) <= 500]


def _amounts(reduced: str, atoms: int) -> dict[str, int]:
    """Amounts in the cell of a crystal of this reduced formula."""
    found = {element: int(n or 1) for element, n in re.findall(r"([A-Z][a-z]?)(\d*)", reduced)}
    times = max(1, atoms // max(1, sum(found.values())))
    return {element: n * times for element, n in found.items()}


def fill(store: Store, count: int, seed: int = 0) -> None:
    """Write so many structures, each as a file of its own without text, a chunk a transaction."""
    rng = np.random.default_rng(seed)
    known = compositions()
    run = provenance.new_run("ingest", "synthetic")
    store.start_run(run)
    for start in range(0, count, CHUNK):
        structures = _structures(rng, known, start, min(CHUNK, count - start))
        store.add_sources(_sources(structures, run["run_id"]), structures)
    store.end_run(run["run_id"], "finished")


def _structures(rng: np.random.Generator, known: list[dict[str, int]], start: int, count: int) -> pa.Table:
    from ase.data import atomic_masses, atomic_numbers

    # The first ones are the elements, so that hulls have their end members.
    rows = [_composed(rng, known, start + i) for i in range(count)]
    n = np.array([sum(amounts.values()) for amounts in rows])
    volume = n * rng.uniform(8.0, 30.0, count)
    cells = np.zeros((count, 3, 3))
    cells[:, [0, 1, 2], [0, 1, 2]] = (volume ** (1 / 3))[:, None]
    numbers = [atomic_numbers[el] for amounts in rows for el, k in amounts.items() for _ in range(k)]
    masses = np.array([sum(atomic_masses[atomic_numbers[el]] * k for el, k in a.items()) for a in rows])
    edges = np.concatenate([[0], np.cumsum(n)]).astype(np.int32)
    ids = [hashlib.sha256(f"synthetic {start + i}".encode()).hexdigest()[:20] for i in range(count)]
    columns: dict[str, Any] = {
        "structure_id": pa.array(ids),
        "chemical_formula_reduced": pa.array([reduced_formula(a) for a in rows]),
        "chemical_formula_anonymous": pa.array([anonymous_formula(a) for a in rows]),
        "chemical_system": pa.array(["-".join(a) for a in rows]),
        "elements": pa.array([list(a) for a in rows]),
        "elements_ratios": pa.array([[k / m for k in a.values()] for a, m in zip(rows, n, strict=True)]),
        "nelements": pa.array([len(a) for a in rows], pa.int32()),
        "nsites": pa.array(n, pa.int32()),
        "space_group_it_number": pa.array(rng.integers(1, 231, count), pa.int32()),
        "space_group_symbol": pa.array(["P1"] * count),
        "space_group_symprec": pa.array(np.full(count, 0.01)),
        "volume": pa.array(volume),
        "density": pa.array(masses * 1.66053907 / volume),
        "lattice_vectors": _fixed(cells.reshape(-1), 3, 3),
        "cartesian_site_positions": pa.ListArray.from_arrays(
            edges, _fixed(rng.random((n.sum(), 3)).reshape(-1) * np.repeat(volume ** (1 / 3), n * 3), 3)
        ),
        "atomic_numbers": pa.ListArray.from_arrays(edges, pa.array(numbers, pa.uint8())),
        "dimension_types": _fixed(np.ones(3 * count, np.uint8), 3),
        "initial_magnetic_moments": pa.nulls(count, pa.list_(pa.float64())),
        "initial_charges": pa.nulls(count, pa.list_(pa.float64())),
    }
    return pa.table(columns)


def _composed(rng: np.random.Generator, known: list[dict[str, int]], place: int) -> dict[str, int]:
    if place < len(ELEMENTS):
        return {ELEMENTS[place]: 1}
    amounts = list(known[rng.integers(len(known))].values())
    chosen = rng.choice(len(ELEMENTS), len(amounts), replace=False)
    return dict(sorted(zip((ELEMENTS[i] for i in chosen), amounts, strict=True)))


def _fixed(values: np.ndarray, *sizes: int) -> pa.Array:
    found = pa.array(values)
    for size in sizes:
        found = pa.FixedSizeListArray.from_arrays(found, size)
    return found


def _sources(structures: pa.Table, run_id: str) -> pa.Table:
    count = structures.num_rows
    ids = structures["structure_id"].to_pylist()
    return pa.table(
        {
            "source_id": [provenance.new_id() for _ in ids],
            "path": [f"/synthetic/{i[:2]}/{i}.cif" for i in ids],
            "member": pa.nulls(count, pa.string()),
            "block": ids,
            "block_index": pa.array(np.zeros(count, np.int32)),
            "outcome": ["stored"] * count,
            "reason": pa.nulls(count, pa.string()),
            "warnings": pa.array([[]] * count, pa.list_(pa.string())),
            "structure_id": ids,
            "chemical_formula": structures["chemical_formula_reduced"],
            "declared_formula": pa.nulls(count, pa.string()),
            "parser": ["synthetic 1"] * count,
            "file_sha256": [hashlib.sha256(i.encode()).hexdigest() for i in ids],
            "file_size": pa.array(np.full(count, 1000)),
            "file_mtime_ns": pa.array(np.full(count, 1_700_000_000_000_000_000)),
            "block_sha256": [hashlib.sha256(i.encode()).hexdigest() for i in ids],
            "content": pa.nulls(count, pa.string()),
            "current": pa.array([True] * count),
            "run_id": [run_id] * count,
            "ingested_at": [provenance.now()] * count,
            "key_values": pa.nulls(count, pa.map_(pa.string(), pa.string())),
        }
    )


def screened(store: Store, method_id: str, seed: int = 1, failed: float = 0.002) -> None:
    """Results of a method for every structure, as a screen records them: merged from a journal."""
    rng = np.random.default_rng(seed)
    run = provenance.new_run("screen", "synthetic", method_id=method_id)
    about = {"method_id": method_id, "method": f"synthetic {method_id}", "runner": f"synthetic_{method_id}",
             "runner_version": "1", "settings": {"seed": str(seed)}}  # fmt: skip
    store.start_run(run, about)
    pending = store.pending(method_id)
    for start in range(0, pending.num_rows, CHUNK):
        with_journal(store, [results(rng, pending.slice(start, CHUNK), method_id, run["run_id"], failed)])
    store.end_run(run["run_id"], "stopped")


def with_journal(store: Store, frames: list[bytes]) -> int:
    """Merge frames as a driver does; the number of new results."""
    journal = store.journal(provenance.new_id())
    for one in frames:
        journal.append(one)
    count = store.merge(journal)
    journal.close()
    return count


def results(rng: np.random.Generator, some: pa.Table, method_id: str, run_id: str, failed: float = 0.0) -> bytes:
    """What workers would return for these structures (structure_id, nsites)."""
    count, n = some.num_rows, some["nsites"].to_numpy()
    bad = rng.random(count) < failed
    ids = [provenance.new_id() for _ in range(count)]
    energy = np.where(bad, np.nan, -4.0 * n + rng.normal(0.0, 0.2, count) * n)
    table = pa.table(
        {
            "result_id": ids,
            "structure_id": some["structure_id"],
            "method_id": [method_id] * count,
            "run_id": [run_id] * count,
            "status": np.where(bad, "failed", "ok"),
            "error_class": pa.array(np.where(bad, "ValueError", None).tolist(), pa.string()),
            "error_message": pa.array(np.where(bad, "no", None).tolist(), pa.string()),
            "energy": pa.array(energy, from_pandas=True),
            "converged": pa.array((rng.random(count) > 0.01).tolist()),
            "attempt": pa.array(np.ones(count, np.int32)),
            "host": ["node"] * count,
            "pid": pa.array(np.ones(count, np.int64)),
            "finished_at": [provenance.now()] * count,
            "seconds": pa.array(rng.gamma(2.0, 0.1, count)),
        }
    )
    edges = np.concatenate([[0], np.cumsum(n)]).astype(np.int32)
    forces = pa.ListArray.from_arrays(edges, _fixed(rng.normal(0.0, 0.1, 3 * n.sum()), 3))
    values = pa.table({"result_id": ids, "energy": energy, "forces": forces}).filter(pa.array(~bad))
    values = values.replace_schema_metadata({b"mlmat.columns": b"{}"})
    tables = {"result": table, f"values:synthetic_{method_id}": values}
    return arrow_frames.pack(tables, ok=int(count - bad.sum()), failed=int(bad.sum()), seconds=1.0)


def batches(pending: pa.Table, size: int) -> Iterator[pa.Table]:
    """Pending structures in parts."""
    for start in range(0, pending.num_rows, size):
        yield pending.slice(start, size)
