"""Rows of ase.db from the tables of the store, a chunk at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.asedb.row import as_value, from_columns, geometry, is_key, said_value, shaped, unpacked
from mlmat.asedb.tables import Runners, calculator_sql, history_sql, picked_sql, said_sql
from mlmat.store.tables.columns import quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_SEMI = "SEMI JOIN wanted AS w ON w.structure_id = {}"
#: Columns whose lists become NumPy arrays of 64-bit floats (or integers), not Python lists.
_LISTS = {
    "lattice_vectors", "cartesian_site_positions", "atomic_numbers", "dimension_types", "initial_magnetic_moments",
    "initial_charges", "numbers", "positions", "cell", "initial_magmoms", "masses", "tags", "momenta", "forces",
    "stress", "dipole", "magmoms", "charges",
}  # fmt: skip


def fetch(
    con: duckdb.DuckDBPyConnection, plan: pa.Table, method: str | None, runners: Runners, *, data: bool = True
) -> list[dict[str, Any]]:
    """What `AtomsRow` is made of, for rows (id, structure_id, written, own) in their order.

    Beside it: `own` pairs of the row, pairs `given` by files and results, structure_id, written, external `tables`.
    """
    con.register("wanted", plan)
    written = _by(con, f"SELECT a.* {'' if data else 'EXCLUDE (data)'} FROM ase_row AS a SEMI JOIN wanted USING (id)")
    found = _Found(con, method, runners, data=data)
    rows = (_row(plan_row, written.get(plan_row["id"]), found) for plan_row in plan.to_pylist())
    return [row for row in rows if row is not None]


class _Found:
    """What the store knows of the structures of a chunk, each by structure_id."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, method: str | None, runners: Runners, *, data: bool = True
    ) -> None:
        self.data = data
        self.structures = _by(con, f"SELECT s.* FROM structure AS s {_SEMI.format('s.structure_id')}", "structure_id")
        self.history = _by(con, history_sql(_SEMI.format("h.structure_id")), "structure_id")
        self.said = _by(con, said_sql(_SEMI.format("s.structure_id")), "structure_id")
        self.results = _results(con, method)
        con.register("picked", _picked_ids(self.results))
        self.values = {name: v for runner in runners.types for name, v in _values(con, runner, runners).items()}


def _results(con: duckdb.DuckDBPyConnection, method: str | None) -> dict[Any, dict[str, Any]]:
    """The results that count, with their methods. `aligned`: whether their atoms are in the structure's order.

    A relaxed structure that was known already keeps its first description.
    """
    query = f"""
        SELECT p.about, p.result_id::VARCHAR AS result_id, p.energy, p.converged, m.method, m.settings,
            {calculator_sql("m")} AS calculator, (epoch(p.finished_at) - 946681200.0) / 31557600.0 AS mtime,
            p.about = p.handed_in OR (
                p.about NOT IN (SELECT structure_id FROM source WHERE structure_id IS NOT NULL)
                AND p.result_id = (SELECT min(result_id) FROM produced AS q WHERE q.structure_id = p.about)
            ) AS aligned
        FROM ({picked_sql(method, _SEMI.format("r.about"))}) AS p JOIN method AS m USING (method_id)
    """
    return _by(con, query, "about", {"method": method} if method else None)


def _picked_ids(results: dict[Any, dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"result_id": pa.array([r["result_id"] for r in results.values()], pa.string())})


def _values(con: duckdb.DuckDBPyConnection, runner: str, runners: Runners) -> dict[Any, dict[str, Any]]:
    """What one runner returned for the results that count: arrays under ASE's names, scalars as pairs."""
    pairs, properties = runners.scalars(runner), runners.properties(runner)
    columns = ", ".join(["v.result_id::VARCHAR AS result_id", *(f"v.{quoted(n)}" for n in (*properties, *pairs))])
    query = (
        f"SELECT {columns} FROM {quoted('result_' + runner)} AS v "
        "SEMI JOIN picked ON v.result_id = picked.result_id::UUID"
    )
    return {
        name: {"pairs": {k: row[k] for k in pairs}, "results": {k: row[k] for k in properties}}
        for name, row in _by(con, query, "result_id").items()
    }


def _by(
    con: duckdb.DuckDBPyConnection, query: str, key: str = "id", parameters: Any = None
) -> dict[Any, dict[str, Any]]:
    """The rows of a query by one of their columns."""
    table = con.sql(query, params=parameters).to_arrow_table()
    columns = {name: _column(name, table.column(name)) for name in table.column_names}
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return {row[key]: row for row in rows}


def _column(name: str, column: pa.ChunkedArray) -> list[Any]:
    return _arrays(column) if name in _LISTS else column.to_pylist()


def _arrays(column: pa.ChunkedArray) -> list[Any]:
    """Each list of a column as one flat array: a hundred times faster than Python's numbers one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array, sizes = column.combine_chunks(), None
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    while pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
        counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(int)
        sizes = counts if sizes is None else _grouped(counts, sizes)
        array = pc.list_flatten(array)
    flat = array.to_numpy(zero_copy_only=False)
    ends = np.cumsum(sizes if sizes is not None else [])
    return [
        flat[end - size : end] if ok else None
        for end, size, ok in zip(ends, sizes, valid, strict=True)  # type: ignore[arg-type]
    ]


def _grouped(counts: Any, sizes: Any) -> Any:
    """Sums of counts over consecutive groups of these sizes."""
    total = np.concatenate([[0], np.cumsum(counts)])
    ends = np.cumsum(sizes)
    return total[ends] - total[ends - sizes]


# -- one row -------------------------------------------------------------------------------------


def _row(plan: dict[str, Any], written: dict[str, Any] | None, found: _Found) -> dict[str, Any] | None:
    name = plan["structure_id"]
    structure, result = found.structures.get(name), None if plan["own"] else found.results.get(name)
    if plan["written"]:
        if written is None or written["numbers"] is None:  # deleted since
            return None
        row = from_columns(written)
    elif structure is None:
        return None
    else:
        row = _of_structure(plan["id"], structure, found.history.get(name, {}), written)
    said = None if plan["written"] else found.said.get(name)
    given = {} if plan["written"] else _said(structure, said)
    if found.data and said is not None and (rest := _unsayable(said)):
        row["data"] = rest | unpacked(row.get("data"))
    if result is not None:
        # A row that was written may list the atoms of its structure in another order or orientation.
        alike = not plan["written"] or (structure is not None and _alike(row, structure))
        row |= _of_result(row, result, found.values.get(result["result_id"]), alike=alike)
        given |= _pairs_of(result, found.values.get(result["result_id"]))
    own = dict(written["key_values"] or []) if written else {}
    about = {"structure_id": name, "written": plan["written"]}
    return row | about | {"own": {key: as_value(value) for key, value in own.items()}, "given": given}


def _of_structure(
    number: int, structure: dict[str, Any], history: dict[str, Any], note: dict[str, Any] | None
) -> dict[str, Any]:
    from ase.io.jsonio import decode

    numbers = structure["atomic_numbers"]
    arrays = {"initial_magmoms": "initial_magnetic_moments", "initial_charges": "initial_charges"}
    known = {ours: structure[theirs] for ours, theirs in arrays.items() if structure[theirs] is not None}
    since = history.get("ctime") or 0.0
    return {
        "id": number,
        "unique_id": structure["structure_id"].ljust(32, "0"),
        "ctime": since,
        "mtime": max(since, note["mtime"]) if note else since,
        "user": history.get("user_name"),
        **geometry(numbers, structure["cartesian_site_positions"], structure["lattice_vectors"]),
        "pbc": structure["dimension_types"].astype(bool),
        **{key: shaped(key, values, len(numbers)) for key, values in known.items()},
        **({"data": note["data"]} if note and note.get("data") is not None else {}),
        "tables": decode(note["external_tables"]) if note and note["external_tables"] else {},
    }


def _of_result(
    row: dict[str, Any], result: dict[str, Any], values: dict[str, Any] | None, *, alike: bool
) -> dict[str, Any]:
    """Energy and the rest of a result; per-atom ones only where its atoms are those of the row, one by one."""
    found = {"energy": result["energy"], **(values["results"] if values else {})}
    if not (result["aligned"] and alike):
        found = {key: found[key] for key in ("energy", "free_energy", "magmom") if key in found}
    n = len(row["numbers"])
    known = {key: value for key, value in found.items() if value is not None}
    return {
        **{key: value if np.isscalar(value) else shaped(key, value, n) for key, value in known.items()},
        "calculator": result["calculator"],
        "calculator_parameters": dict(result["settings"] or []),
        "mtime": max(row["mtime"] or 0.0, result["mtime"]),
    }


def _alike(row: dict[str, Any], structure: dict[str, Any]) -> bool:
    """Whether a row lists the atoms of its structure in the same order and orientation."""
    theirs = geometry(structure["atomic_numbers"], structure["cartesian_site_positions"], structure["lattice_vectors"])
    same = np.array_equal(row["numbers"], theirs["numbers"])
    return same and all(np.allclose(row[key], theirs[key], atol=1e-4) for key in ("positions", "cell"))


def _said(structure: dict[str, Any] | None, said: dict[str, Any] | None) -> dict[str, Any]:
    """Pairs from the file and of the structure itself."""
    pairs = {key: said_value(text) for key, text in (said["key_values"] if said else []) if is_key(key)}
    if structure is None:
        return pairs
    name, symbol = structure["structure_id"], structure["space_group_symbol"]
    if isinstance(as_value(name), str):
        pairs["structure_id"] = name
    if symbol is not None:
        pairs |= {"space_group": symbol, "space_group_number": structure["space_group_it_number"]}
    return pairs


def _unsayable(said: dict[str, Any]) -> dict[str, Any]:
    """What a file says under names that ASE keeps to itself: data, not pairs."""
    return {key: said_value(text) for key, text in said["key_values"] if not is_key(key)}


def _pairs_of(result: dict[str, Any], values: dict[str, Any] | None) -> dict[str, Any]:
    """Pairs that a result brings: its method, and the runner's scalars."""
    scalars = {k: as_value(v) if isinstance(v, str) else v for k, v in (values["pairs"] if values else {}).items()}
    pairs = {**scalars, "method": result["method"], "converged": result["converged"]}
    return {key: value for key, value in pairs.items() if value is not None}
