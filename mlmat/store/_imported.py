"""Results that came with files: written together with the blocks that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.frame import pack, unpack
from mlmat.store._connection import rows
from mlmat.store._results import add_row, merge
from mlmat.store._structures import add as add_blocks
from mlmat.store._structures import geometry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import duckdb
    import pyarrow as pa

#: How far atoms and cell vectors of two descriptions may lie apart to be the same, in Å: more than what ids leave open.
SAME = 1e-3


def add(
    con: duckdb.DuckDBPyConnection,
    sources: pa.Table | None,
    structures: pa.Table | None,
    *,
    containers: pa.Table | None = None,
    imported: tuple[Iterable[Mapping[str, Any]], pa.Table, bytes, Sequence[Mapping[str, Any]]] | None = None,
) -> list[tuple[str, int]]:
    """Write blocks as `_structures.add` does, and the results of those that are new; counts as there.

    imported: rows of `method`, rows of `result` with the source_id of their block, a frame with their values, and the
    geometry that each result_id is about.
    """
    counts = add_blocks(con, sources, structures, containers)
    added = _add_results(con, *imported) if imported is not None else 0
    return [*counts, ("results", added)]


def _add_results(
    con: duckdb.DuckDBPyConnection,
    methods: Iterable[Mapping[str, Any]],
    results: pa.Table,
    values: bytes,
    own_geometry: Sequence[Mapping[str, Any]],
) -> int:
    # A file that was read again and has not changed has its results already: its rows were not taken.
    con.register("new_imported", results)
    fresh = con.sql("SELECT * FROM new_imported WHERE source_id::UUID IN (SELECT source_id FROM judged)")
    table = fresh.to_arrow_table()
    if not table.num_rows:
        return 0
    known = {method for (method,) in rows(con, "SELECT method_id FROM method")}
    used = set(table["method_id"].to_pylist())
    for method in methods:
        if method["method_id"] in used - known:
            add_row(con, "method", method)
    kept = set(table["result_id"].to_pylist())
    own = {row["result_id"]: row for row in own_geometry if row["result_id"] in kept}
    found = {name: _as_stored(con, rows, own) for name, rows in unpack(values).items()}
    return merge(con, [pack({"result": table.drop_columns(["source_id"]), **found})])


def _as_stored(con: duckdb.DuckDBPyConnection, values: pa.Table, own: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Values in the atom order and orientation in which the store holds their structures."""
    import pyarrow as pa

    ids = sorted({row["structure_id"] for row in own.values()})
    stored = {row["structure_id"]: row for row in geometry(con, ids).to_pylist()}
    differ = {key for key, row in own.items() if not _same(row, stored[row["structure_id"]])}
    if not differ:
        return values
    renewed = [
        _renewed(row, own[row["result_id"]], stored) if row["result_id"] in differ else row
        for row in values.to_pylist()
    ]
    return pa.Table.from_pylist(renewed, schema=values.schema)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two descriptions of a crystal have the same atom order, lattice images aside, and orientation."""
    names = ("lattice_vectors", "cartesian_site_positions")
    return list(one["atomic_numbers"]) == list(other["atomic_numbers"]) and all(
        np.allclose([list(v) for v in one[name]], [list(v) for v in other[name]], rtol=0, atol=SAME) for name in names
    )


def _renewed(
    row: Mapping[str, Any], own: Mapping[str, Any], stored: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    from mlmat.alignment import realigned
    from mlmat.structure import from_row

    return realigned(row, from_row(own), from_row(stored[own["structure_id"]]))
