"""What the ledger and the results say of one structure, and of files that gave none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlmat.errors import StoreError
from mlmat.store.access.connection import rows
from mlmat.store.tables.structures import FILE, PLACE, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa


#: Results with their method and their run.
_RESULTS = """
    SELECT r.* REPLACE (r.result_id::VARCHAR AS result_id, r.run_id::VARCHAR AS run_id), m.* EXCLUDE (method_id),
        u.arguments AS command, u.* EXCLUDE (run_id, method_id, arguments, command, host, pid, outcome),
        r.result_id IN (SELECT result_id FROM current_result) AS is_current,
        (SELECT any_value(h.why) FROM exclusion_reach AS x JOIN exclusion AS h USING (exclusion_id)
         WHERE x.result_id = r.result_id) AS excluded,
        (SELECT min(p.structure_id) FROM produced AS p
         WHERE p.result_id = r.result_id AND p.role = 'relaxed') AS relaxed_id,
        coalesce(
            (SELECT any_value(own.path) FROM source AS own WHERE own.source_id = r.source_id),
            (SELECT any_value(i.path) FROM import_row AS i WHERE i.result_id = r.result_id)
        ) AS came_with
    FROM result AS r JOIN method AS m USING (method_id) LEFT JOIN run AS u USING (run_id)
    WHERE CASE WHEN $result::VARCHAR IS NULL THEN r.structure_id = $structure ELSE r.result_id = $result::UUID END
    ORDER BY r.result_id
"""


def refused(con: duckdb.DuckDBPyConnection, files: Sequence[tuple[str, str | None]], limit: int) -> list[str]:
    """A place and its reason for each of some files in which nothing is a crystal; none where one of them has one."""
    import pyarrow as pa

    names = {"path": [path for path, _ in files], "member": [member for _, member in files]}
    con.register("named", pa.table(names, pa.schema([("path", pa.string()), ("member", pa.string())])))
    found = rows(
        con,
        f"""
        WITH found AS (
            SELECT * FROM source SEMI JOIN named
            ON source.path = named.path AND (named.member IS NULL OR named.member = source.member) WHERE current
        )
        SELECT {FILE} || ': ' || coalesce(reason, outcome) FROM found
        WHERE NOT EXISTS (FROM found WHERE outcome NOT IN ('unreadable', 'rejected'))
        QUALIFY row_number() OVER (PARTITION BY path ORDER BY source_id) = 1
        ORDER BY source_id LIMIT {limit:d}
        """,
    )
    return [text for (text,) in found]


def named(con: duckdb.DuckDBPyConnection, text: str) -> tuple[str | None, str | None]:
    """Structure and result of an id or its unambiguous beginning; no result where it is a structure's.

    Raises StoreError.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{0,27}", text.strip()):
        return resolve(con, text), None
    text = text.strip().lower()
    query = "SELECT structure_id, result_id::VARCHAR FROM result WHERE starts_with(result_id::VARCHAR, ?) LIMIT 2"
    found = rows(con, query, [text])
    if len(found) != 1:
        raise StoreError(f"several results begin with {text}; give more of it" if found else f"no result {text} here")
    return found[0]


def of_formula(con: duckdb.DuckDBPyConnection, formula: str) -> pa.Table:
    """Structures of a formula as the store writes it, each with the file that was first."""
    query = f"""
        SELECT s.structure_id, s.formula, s.space_group_symbol AS space_group, s.nsites,
            s.volume / s.nsites AS volume_per_atom, f.file
        FROM structure AS s
        LEFT JOIN (
            SELECT structure_id, arg_min({PLACE}, source_id) AS file FROM source
            WHERE current AND structure_id IN (SELECT structure_id FROM structure WHERE formula = $formula)
            GROUP BY structure_id
        ) AS f USING (structure_id)
        WHERE s.formula = $formula ORDER BY f.file IS NULL, s.nsites, s.structure_id
    """
    return con.sql(query, params={"formula": formula}).to_arrow_table()


def provenance_of(
    con: duckdb.DuckDBPyConnection, structure_id: str | None, result_id: str | None = None
) -> dict[str, Any]:
    """Everything that `mlmat show` prints of one structure, or of one of its results, as tables of Python values."""
    queries = {
        "structure": "SELECT * FROM structure WHERE structure_id = ?",
        "sources": f"SELECT path, member, block, {PLACE} AS place, outcome, reason, warnings, parser, current, "
        "ingested_at, key_values, file_sha256, block_sha256 FROM source WHERE structure_id = ? ORDER BY source_id",
        "excluded": "SELECT h.why, h.user_name, h.excluded_at FROM exclusion_reach AS x JOIN exclusion AS h "
        "USING (exclusion_id) WHERE x.structure_id = ?",
        "made_by": "SELECT p.parent_id, p.role, m.method, m.method_id FROM produced AS p JOIN method AS m "
        "USING (method_id) WHERE p.structure_id = ?",
        "became": "SELECT p.structure_id, p.role, m.method FROM produced AS p JOIN method AS m USING (method_id) "
        "WHERE p.parent_id = ?",
    }
    found = {name: con.sql(query, params=[structure_id]) for name, query in queries.items()}
    found["results"] = con.sql(_RESULTS, params={"structure": structure_id, "result": result_id})
    return {name: answer.to_arrow_table().to_pylist() for name, answer in found.items()}
