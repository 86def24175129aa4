"""Results that files bring along: checked in the reading process, packed for the store in the driver."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat import provenance
from mlmat.arrow_frames import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from mlmat.reader import Block

#: Columns of `result_imported`, under the names of ASE's calculators.
COLUMNS = {
    "free_energy": "DOUBLE -- Free energy of the cell in eV",
    "forces": "DOUBLE[3][] -- Forces in eV/Å, shape (nsites, 3)",
    "stress": "DOUBLE[6] -- Stress in eV/Å³, Voigt order (xx, yy, zz, yz, xz, xy)",
    "magmom": "DOUBLE -- Total magnetic moment of the cell in µB",
    "magmoms": "DOUBLE[] -- Magnetic moments in µB, shape (nsites,) or flattened (nsites, 3)",
    "charges": "DOUBLE[] -- Charges of the atoms in e, shape (nsites,)",
    "dipole": "DOUBLE[3] -- Dipole moment of the cell in e·Å",
    "energies": "DOUBLE[] -- Energy of each atom in eV, shape (nsites,)",
    "stresses": "DOUBLE[6][] -- Stress of each atom in eV/Å³, Voigt order, shape (nsites, 6)",
}
_SHAPES: dict[str, tuple[str | int, ...]] = {
    "energy": (), "free_energy": (), "magmom": (), "forces": ("n", 3), "stress": (6,), "magmoms": ("n",),
    "charges": ("n",), "dipole": (3,), "energies": ("n",), "stresses": ("n", 6),
}  # fmt: skip
#: Runner of all imported results, and the name of their view.
RUNNER = "imported"


def results_of(block: Block) -> tuple[dict[str, Any], list[str]]:
    """What a block's results are as plain values, with `calculator`; and a warning for each that makes no sense."""
    found: dict[str, Any] = {}
    problems = []
    for name in _SHAPES:
        if (value := block.results.get(name)) is not None:
            try:
                found[name] = _checked(name, value, len(block.atoms) if block.atoms is not None else 0)
            except (ValueError, TypeError, OverflowError) as error:
                problems.append(f"{name} in the file is left out: {str(error).splitlines()[0]:.100}")
    if found:
        found["calculator"] = str(block.results.get("calculator") or "")
    return found, problems


def _checked(name: str, value: Any, sites: int) -> Any:
    array = np.asarray(value, float)
    if name == "stress" and array.shape in ((3, 3), (9,)):
        array = array.reshape(9)[[0, 4, 8, 5, 2, 1]]
    shape = tuple(sites if size == "n" else int(size) for size in _SHAPES[name])
    if array.shape != shape and not (name == "magmoms" and array.size == 3 * sites):
        raise ValueError(f"its shape is {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        raise ValueError("not finite")
    return array.reshape(-1).tolist() if name == "magmoms" else array.tolist()


def packed(
    rows: Sequence[Mapping[str, Any]], run_id: str
) -> tuple[list[dict[str, Any]], pa.Table, bytes, list[dict[str, Any]]] | None:
    """What rows with `results` bring along; None without any.

    Methods, results (with the source_id of their block), their values, and the geometry that each is about: the file's
    own, since the store may hold the crystal in another orientation and atom order.
    """
    from mlmat.methods.columns import values_table

    having = [row for row in rows if row["results"]]
    if not having:
        return None
    names = _external_ids(rows)
    methods = [method_of(row) for row in having]
    results = [
        _result(row, method["method_id"], names[row["source_id"]], run_id)
        for row, method in zip(having, methods, strict=True)
    ]
    values = [{name: row["results"].get(name) for name in COLUMNS if name in row["results"]} for row in having]
    table = values_table([result["result_id"] for result in results], values, COLUMNS)
    unique = {method["method_id"]: method for method in methods}
    geometry = [
        {"result_id": result["result_id"], **row["structure"]} for result, row in zip(results, having, strict=True)
    ]
    return list(unique.values()), _result_table(results), pack({f"values:{RUNNER}": table}), geometry


def method_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The method that a file's results belong to: the file and the calculator it names."""
    path, calculator = row["path"], row["results"]["calculator"]
    if path == "-":
        path = f"-:{row['member']}"
    settings = {"path": path, **({"calculator": calculator} if calculator else {})}
    label = f"{RUNNER}/{PurePath(path).name}" + (f" ({calculator})" if calculator else "")
    identity = json.dumps([RUNNER, "1", settings]).encode()
    return {
        "method_id": hashlib.sha256(identity).hexdigest()[:10],
        "method": label,
        "runner": RUNNER,
        "runner_version": "1",
        "settings": settings,
    }


def _external_ids(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """For each row its place in the file: member and block, so that two results of one structure stay two."""
    taken: set[tuple[str, str]] = set()
    found = {}
    for row in rows:
        block = row["block"] or str(row["block_index"])
        member = row["member"]
        name = block if member is None or row["path"] == "-" else member
        if member not in (None, block) and row["path"] != "-" and (row["block"] or row["block_index"]):
            name = f"{member}/{block}"
        if (row["path"], name) in taken:
            name = f"{name}#{row['block_index']}"
        taken.add((row["path"], name))
        found[row["source_id"]] = name
    return found


def _result(row: Mapping[str, Any], method_id: str, external_id: str, run_id: str) -> dict[str, Any]:
    return {
        "result_id": provenance.new_id(),
        "source_id": row["source_id"],
        "structure_id": row["structure_id"],
        "external_id": external_id,
        "method_id": method_id,
        "run_id": run_id,
        "status": "ok",
        "energy": row["results"].get("energy"),
        "attempt": 1,
        "finished_at": provenance.now(),
    }


def _result_table(results: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    text = ("result_id", "source_id", "structure_id", "external_id", "method_id", "run_id", "status")
    kinds = [(name, pa.string()) for name in text]
    kinds += [("energy", pa.float64()), ("attempt", pa.int32()), ("finished_at", pa.timestamp("us", tz="UTC"))]
    return pa.Table.from_pylist(results, schema=pa.schema(kinds))
