"""What was written through the ase.db face, into the tables of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.asedb.row import as_text, as_value, from_columns, packed
from mlmat.store.access.connection import rows
from mlmat.store.tables import structures as structure_rows
from mlmat.store.tables.columns import insert
from mlmat.store.tables.results import add_row
from mlmat.store.tables.structures import ASEDB_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    import pyarrow as pa


def new_ids(con: duckdb.DuckDBPyConnection, count: int) -> list[int]:
    """Numbers for rows to come; those that are not used stay gaps."""
    return [number for (number,) in rows(con, "SELECT nextval('ase_id') FROM range(?)", [count])]


def put(con: duckdb.DuckDBPyConnection, written: Sequence[Mapping[str, Any]], run_id: str) -> list[int]:
    """Write rows (columns of `ase_row`, and what `to_structure` made), new or in the place of their ids; their ids.

    What is a crystal or molecule gets its structure and its entry in table `source`, so that screens find it.
    Raises ValueError for a unique_id that another row has.
    """
    if not written:
        return []
    fresh = iter(new_ids(con, sum("id" not in row for row in written)))
    written = [row if "id" in row else {**row, "id": next(fresh)} for row in written]
    _check_unique(con, written)
    linked = [(row, *(row["made"] or (None, None))) for row in written]
    replaced = {number for (number,) in rows(con, "SELECT id FROM ase_row")} & {row["id"] for row in written}
    _enter(con, linked, replaced, run_id)
    remove_rows(con, sorted(replaced))
    columns = [{**row, "structure_id": made["structure_id"] if made else None} for row, made, _ in linked]
    con.register("new_ase_rows", _table(con, "ase_row", columns))
    insert(con, "ase_row", "new_ase_rows")
    return [row["id"] for row in written]


def _check_unique(con: duckdb.DuckDBPyConnection, written: Sequence[Mapping[str, Any]]) -> None:
    con.register("new_names", _named(written))
    found = rows(con, "SELECT unique_id FROM ase_row AS a JOIN new_names AS n USING (unique_id) WHERE a.id <> n.id")
    found += rows(con, "SELECT unique_id FROM new_names GROUP BY ALL HAVING count(*) > 1")
    found += rows(
        con, "SELECT unique_id FROM new_names WHERE unique_id IN (SELECT rpad(structure_id, 32, '0') FROM structure)"
    )
    if found:
        raise ValueError(f"unique_id {found[0][0]}: another row has it; write the atoms instead of the row")


def _named(written: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    names = {"id": pa.array([row["id"] for row in written], pa.int64())}
    return pa.table({**names, "unique_id": pa.array([row["unique_id"] for row in written], pa.string())})


def _table(con: duckdb.DuckDBPyConnection, name: str, rows_: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the types of a table of the store."""
    import pyarrow as pa

    schema = con.sql(f"SELECT * FROM {name} LIMIT 0").to_arrow_table().schema
    return pa.Table.from_pylist(list(rows_), schema=schema)


def _enter(con: duckdb.DuckDBPyConnection, linked: Sequence[Any], replaced: set[int], run_id: str) -> None:
    """Structures of the rows, and their entries in the ledger."""
    import pyarrow as pa

    entries = [_entry(row, made, why, run_id) for row, made, why in linked if made or row["id"] in replaced]
    if not entries:
        return
    structures = _numbered(con, [(row["id"], made) for row, made, _ in linked if made])
    found = pa.Table.from_pylist(structures) if structures else None
    structure_rows.add(con, pa.Table.from_pylist(entries, schema=_table(con, "source", []).schema), found)
    _retire(con)


def _retire(con: duckdb.DuckDBPyConnection) -> None:
    """Entries that only say that there is nothing any more stay as history."""
    con.execute(
        "UPDATE source SET current = false "
        f"WHERE current AND starts_with(path, '{ASEDB_PATH}') AND outcome = 'rejected'"
    )


def _numbered(con: duckdb.DuckDBPyConnection, made: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each structure once, with a number: that of its row, where no other structure has it."""
    first: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, structure in made:
        first.setdefault(structure["structure_id"], (number, structure))
    wanted = [number for number, _ in first.values()]
    taken = {n for (n,) in rows(con, "SELECT id FROM structure WHERE id IN (SELECT unnest(?::BIGINT[]))", [wanted])}
    spare = iter(new_ids(con, len(taken)))
    return [{**row, "id": next(spare) if number in taken else number} for number, row in first.values()]


def _entry(row: Mapping[str, Any], made: Mapping[str, Any] | None, why: str | None, run_id: str) -> dict[str, Any]:
    """The row of table `source`; nothing to compute is an entry, too: it takes the place of what was there."""
    import ase

    name = made["structure_id"] if made else None
    outcome = "rejected" if made is None else "flagged" if why else "stored"
    return {
        "source_id": provenance.new_id(),
        "path": f"{ASEDB_PATH}{row['id']}",
        "block": "",
        "block_index": 0,
        "outcome": outcome,
        "reason": why if made else "no longer in ase.db",
        "warnings": [],
        "structure_id": name,
        "chemical_formula": made["chemical_formula_reduced"] if made else None,
        "parser": f"ase.db {ase.__version__}",
        "file_sha256": name or "",
        "file_size": 0,
        "file_mtime_ns": 0,
        "key_values": row["key_values"],
        "current": True,
        "run_id": run_id,
        "ingested_at": provenance.now(),
    }


def remove(con: duckdb.DuckDBPyConnection, ids: Sequence[int], run_id: str) -> None:
    """Delete rows, with their entries in the ledger; structures stay, as they do when their files go."""
    linked = rows(
        con, "SELECT id FROM ase_row WHERE structure_id IS NOT NULL AND id IN (SELECT unnest(?::BIGINT[]))", [list(ids)]
    )
    if linked:
        _enter(con, [({"id": number, "key_values": []}, None, None) for (number,) in linked], {n for (n,) in linked},
               run_id)  # fmt: skip
    remove_rows(con, ids)


def remove_rows(con: duckdb.DuckDBPyConnection, ids: Sequence[int]) -> None:
    """Delete rows of table `ase_row`."""
    if ids:
        con.execute("DELETE FROM ase_row WHERE id IN (SELECT unnest(?::BIGINT[]))", [list(ids)])


def annotate(con: duckdb.DuckDBPyConnection, notes: Sequence[Mapping[str, Any]]) -> None:
    """New key-value pairs and data (where given) of rows: id, structure_id, key_values, mtime.

    A row that no one has written yet is a structure: it gets a note.
    """
    if not notes:
        return
    con.register("new_notes", _table(con, "ase_row", notes))
    con.execute(
        "UPDATE ase_row SET key_values = n.key_values, mtime = n.mtime, data = coalesce(n.data, ase_row.data), "
        "external_tables = coalesce(n.external_tables, ase_row.external_tables) "
        "FROM new_notes AS n WHERE n.id = ase_row.id"
    )
    con.execute(
        "UPDATE source SET key_values = n.key_values FROM new_notes AS n "
        f"WHERE source.current AND source.path = '{ASEDB_PATH}' || n.id"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE fresh_notes AS FROM new_notes ANTI JOIN ase_row USING (id)")
    insert(con, "ase_row", "fresh_notes")


def has_run(con: duckdb.DuckDBPyConnection, run_id: str) -> bool:
    """Whether this connection has its row in table `run` already."""
    return bool(rows(con, "SELECT 1 FROM run WHERE run_id = ?", [run_id]))


def note_run(con: duckdb.DuckDBPyConnection, run: Mapping[str, Any]) -> None:
    """Who wrote: one row of table `run` for each connection that did, ended with its last transaction."""
    if not has_run(con, run["run_id"]):
        add_row(con, "run", run)
    con.execute("UPDATE run SET ended_at = current_timestamp, outcome = 'finished' WHERE run_id = ?", [run["run_id"]])


# -- what waits to be written ----------------------------------------------------------------------


def note(row: Any, pairs: Mapping[str, Any], data: Any, tables: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of `ase_row` that an update of pairs, data and external tables changes; None: left as they are."""
    from ase.db.core import now
    from ase.io.jsonio import encode

    return {
        "id": row.id,
        "structure_id": row._structure_id,
        "key_values": [(key, as_text(value)) for key, value in pairs.items()],
        "data": packed(data),
        "external_tables": encode({**row._tables, **tables}) if tables else None,
        "mtime": now(),
    }


def unwritten(columns: Mapping[str, Any]) -> dict[str, Any]:
    """A row that waits, as `fetch` will give it."""
    own = {key: as_value(text) for key, text in columns["key_values"]}
    return from_columns(columns) | {"own": own, "given": {}, "structure_id": None, "written": True}


def with_note(row: dict[str, Any], note: Mapping[str, Any] | None) -> dict[str, Any]:
    """A row with the note that waits for it."""
    if note is None:
        return row
    changed = {key: note[key] for key in ("mtime", "data") if key in note}
    return row | changed | {"own": {key: as_value(text) for key, text in note["key_values"]}}
