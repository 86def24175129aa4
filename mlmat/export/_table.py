"""One row of a table for each structure: the columns that Parquet and CSV share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.export._cif_text import block, block_name, unfit
from mlmat.export._rows import ABOUT, GEOMETRY
from mlmat.export_marks import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from mlmat.export._rows import Row, Rows

#: Rows that are written together.
GROUP = 1_000


def schema(rows: Rows, *, arrays: bool) -> pa.Schema:
    """Names and types of the columns; arrays: those too that hold more than one value a row."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {"structure_id": pa.string(), "initial_id": pa.string()}
    kinds |= {name: rows.schema.field(name).type for name in ABOUT}
    if rows.method:
        kinds |= {"method": pa.string(), "method_id": pa.string(), "energy": pa.float64()}
        kinds |= {"energy_per_atom": pa.float64(), "converged": pa.bool_()}
    given = {name: rows.chosen.schema.field(name).type for name in rows.extra} | rows.runner_types()
    kinds |= {k: v for k, v in given.items() if k not in kinds and not pa.types.is_nested(v)}
    kinds |= {name: pa.string() for name in ("path", "member", "block")}
    if arrays:
        kinds |= {name: rows.schema.field(name).type for name in GEOMETRY}
        kinds |= {k: v for k, v in given.items() if k not in kinds and pa.types.is_nested(v)}
    kinds |= {"key_values": pa.map_(pa.string(), pa.string())} if "key_values" in rows.schema.names else {}
    kinds |= {"key_conflicts": pa.string(), MARK: pa.string(), "cif": pa.string()}
    return pa.schema(list(kinds.items()))


def tables(rows: Rows, columns: pa.Schema) -> Iterator[pa.Table]:
    """The rows as tables of a thousand."""
    import pyarrow as pa

    held: list[dict[str, Any]] = []
    for row in rows:
        held.append(_record(row, columns.names))
        if len(held) == GROUP:
            yield pa.Table.from_pylist(held, columns)
            held = []
    if held:
        yield pa.Table.from_pylist(held, columns)


def _record(row: Row, names: list[str]) -> dict[str, Any]:
    own = {"structure_id": row.structure_id, "initial_id": row.initial_id, "cif": _cif(row)}
    results = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.results.items()}
    pairs = {"key_values": list(row.key_values.items())}
    own |= {MARK: row.mark(names)}
    all_of_it: Mapping[str, Any] = {**row.arrays, **results, **row.values, **row.about, **row.geometry, **pairs, **own}
    return {name: all_of_it.get(name) for name in names}


def _cif(row: Row) -> str | None:
    """The structure as CIF text, by which `ingest --column cif` reads it again."""
    return None if unfit(row) else block(row, block_name(row))
