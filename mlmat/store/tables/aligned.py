"""Values in the atom order and orientation in which the store holds the structures that they are about."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mlmat.store.access.connection import rows
from mlmat.store.tables.structures import geometry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb
    import pyarrow as pa

    from mlmat.materials.alignment import Alignment

#: How far atoms and cell vectors of two descriptions may lie apart to be the same, in Å: more than what ids leave open.
SAME = 1e-3


def known_twice(con: duckdb.DuckDBPyConnection, made: Iterable[pa.Table]) -> set[str]:
    """Ids of new structures that the store holds already, or that come more than once. Before they are added."""
    import pyarrow as pa

    ids = [table.select(["structure_id"]) for table in made]
    if not ids:
        return set()
    con.register("made_structures", pa.concat_tables(ids, promote_options="permissive"))
    query = """
        SELECT structure_id FROM made_structures GROUP BY structure_id HAVING count(*) > 1
        UNION SELECT structure_id FROM structure SEMI JOIN made_structures USING (structure_id)
    """
    return {structure_id for (structure_id,) in rows(con, query)}


def relaxed_rows(frames: Iterable[tuple[pa.Table, pa.Table]], ids: set[str]) -> dict[str, Mapping[str, Any]]:
    """For each result whose relaxed structure is among these ids: the runner's own description of it.

    frames: tables `structure` and `produced` of each, which list what was returned in the same order.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for structures, links in frames:
        own: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in _among(structures, ids):
            own[row["structure_id"]].append(row)
        for link in _among(links, ids):
            described = own[link["structure_id"]]
            if described and link["role"] == "relaxed":
                found[link["result_id"]] = described[0]
            del described[: len(described) > 1]
    return found


def _among(table: pa.Table, ids: set[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = pc.is_in(table["structure_id"], value_set=pa.array(sorted(ids), pa.string()))
    found: list[dict[str, Any]] = table.filter(mask).to_pylist()
    return found


def alignments(con: duckdb.DuckDBPyConnection, own: Mapping[str, Mapping[str, Any]]) -> dict[str, Alignment]:
    """How to turn values of each result, by result_id, whose description is not the one that the store holds.

    own: the description that the values refer to, a row of table `structure`, which the store has.
    """
    from mlmat.materials.alignment import Alignment
    from mlmat.materials.structure import from_row

    ids = sorted({row["structure_id"] for row in own.values()})
    stored = {row["structure_id"]: row for row in geometry(con, ids).to_pylist()} if ids else {}
    pairs = ((key, row, stored[row["structure_id"]]) for key, row in own.items())
    return {key: Alignment(from_row(one), from_row(other)) for key, one, other in pairs if not _same(one, other)}


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two descriptions of a crystal have the same atom order, lattice images aside, and orientation."""
    import numpy as np

    names = ("lattice_vectors", "cartesian_site_positions")
    return list(one["atomic_numbers"]) == list(other["atomic_numbers"]) and all(
        np.allclose([list(v) for v in one[name]], [list(v) for v in other[name]], rtol=0, atol=SAME) for name in names
    )


def aligned(values: pa.Table, found: Mapping[str, Alignment]) -> pa.Table:
    """Values, a row per result_id, with those turned for which an alignment was found."""
    from mlmat.materials.alignment import MOVED

    keys = values["result_id"].to_pylist()
    if not any(key in found for key in keys):
        return values
    for place, name in enumerate(values.column_names):
        if name in MOVED:
            column = values[name]
            moved = [
                found[key].moved(name, value) if key in found and value is not None else value
                for key, value in zip(keys, column.to_pylist(), strict=True)
            ]
            values = values.set_column(place, name, _typed(moved, column.type))
    return values


def _typed(values: list[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError):  # whole numbers that are turned are whole no more
        return pa.array(values)
