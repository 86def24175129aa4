"""What the ledger and the results say of one structure, and of files that gave none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.store._connection import rows
from mlmat.store._structures import FILE, PLACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


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


def provenance_of(con: duckdb.DuckDBPyConnection, structure_id: str) -> dict[str, Any]:
    """Everything that `mlmat show` prints of one structure, as tables of Python values."""
    queries = {
        "structure": "SELECT * FROM structure WHERE structure_id = ?",
        "sources": f"SELECT path, member, block, {PLACE} AS place, outcome, reason, warnings, parser, current, "
        "ingested_at, key_values FROM source WHERE structure_id = ? ORDER BY source_id",
        "made_by": "SELECT p.parent_id, p.role, m.method FROM produced AS p JOIN method AS m USING (method_id) "
        "WHERE p.structure_id = ?",
        "became": "SELECT p.structure_id, p.role, m.method FROM produced AS p JOIN method AS m USING (method_id) "
        "WHERE p.parent_id = ?",
        "results": "SELECT r.*, m.method, u.arguments AS command, r.result_id IN (SELECT result_id FROM current_result "
        "WHERE structure_id = $1) AS is_current, (SELECT min(p.structure_id) FROM produced AS p "
        "WHERE p.result_id = r.result_id AND p.role = 'relaxed') AS relaxed_id FROM result AS r "
        "JOIN method AS m USING (method_id) LEFT JOIN run AS u USING (run_id) "
        "WHERE r.structure_id = $1 ORDER BY r.result_id",
    }
    return {name: con.sql(query, params=[structure_id]).to_arrow_table().to_pylist() for name, query in queries.items()}
