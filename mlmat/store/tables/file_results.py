"""Results that came with files: written together with the blocks that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.arrow_frames import pack, unpack
from mlmat.store.access.connection import rows
from mlmat.store.tables.aligned import aligned, alignments
from mlmat.store.tables.results import add_row, merge
from mlmat.store.tables.structures import add as add_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import duckdb
    import pyarrow as pa


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
    differ = alignments(con, own)
    found = {name: aligned(table, differ) for name, table in unpack(values).items()}
    return merge(con, [pack({"result": table, **found})], {})
