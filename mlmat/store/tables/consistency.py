"""What must hold between the tables of a store: each check is a query for the rows that break it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store.access.connection import rows
from mlmat.store.tables.columns import quoted, runner_tables

if TYPE_CHECKING:
    import duckdb

#: What is looked at, and the rows (one text each) that should not be there. Bytes that were no text are written as \xe9
#: in the text, and the SHA-256 of their block is of something else.
CHECKS = {
    "results whose structure is missing": """
        SELECT result_id::VARCHAR FROM result ANTI JOIN structure USING (structure_id)
        WHERE structure_id IS NOT NULL""",
    "results of no method": "SELECT result_id::VARCHAR FROM result ANTI JOIN method USING (method_id)",
    "results of no run": """
        SELECT result_id::VARCHAR FROM result ANTI JOIN run USING (run_id) WHERE run_id IS NOT NULL""",
    "results that stand twice": "SELECT result_id::VARCHAR FROM result GROUP BY result_id HAVING count(*) > 1",
    "structures with two current results of one method": """
        SELECT structure_id FROM current_result WHERE structure_id IS NOT NULL
        GROUP BY structure_id, external_id, method_id HAVING count(*) > 1""",
    "results without status": "SELECT result_id::VARCHAR FROM result WHERE status NOT IN ('ok', 'failed')",
    "structures that stand twice": "SELECT structure_id FROM structure GROUP BY structure_id HAVING count(*) > 1",
    "returned structures that are missing": """
        SELECT structure_id FROM produced ANTI JOIN structure USING (structure_id)""",
    "returned structures without their parent": """
        SELECT p.structure_id FROM produced AS p ANTI JOIN structure AS s ON s.structure_id = p.parent_id""",
    "returned structures without their result": """
        SELECT structure_id FROM produced ANTI JOIN (FROM result WHERE status = 'ok') USING (result_id)""",
    "blocks whose structure is missing": """
        SELECT path FROM source ANTI JOIN structure USING (structure_id)
        WHERE structure_id IS NOT NULL OR outcome IN ('stored', 'duplicate')""",
    "structures that two blocks claim to be first": """
        SELECT structure_id FROM source WHERE current AND outcome = 'stored'
        GROUP BY structure_id HAVING count(*) > 1""",
    "corrections without their result": """
        SELECT result_id::VARCHAR FROM corrected ANTI JOIN result USING (result_id)""",
    "corrections without their method": """
        SELECT c.result_id::VARCHAR FROM corrected AS c
        ANTI JOIN (FROM method WHERE derived_from IS NOT NULL) AS m USING (method_id)""",
    "results that are corrected twice": """
        SELECT result_id::VARCHAR FROM corrected GROUP BY method_id, result_id HAVING count(*) > 1""",
    "compositions without their result": """
        SELECT result_id::VARCHAR FROM entry ANTI JOIN result USING (result_id)""",
    "imported rows without their result": """
        SELECT path || ': ' || place FROM import_row ANTI JOIN result USING (result_id) WHERE outcome = 'imported'""",
    "imported rows that count, whose result does not": """
        SELECT path || ': ' || place FROM import_row ANTI JOIN current_result USING (result_id)
        WHERE current AND outcome = 'imported'""",
    "imported rows whose structure is missing": """
        SELECT path || ': ' || place FROM import_row ANTI JOIN structure USING (structure_id)
        WHERE structure_id IS NOT NULL""",
    "ids with two current energies of one imported method": """
        SELECT external_id FROM import_row WHERE current AND outcome = 'imported'
        GROUP BY method_id, external_id HAVING count(DISTINCT result_id) > 1""",
    "blocks of no run": "SELECT path FROM source ANTI JOIN run USING (run_id)",
    "exclusions that reach something else by now": """
        SELECT coalesce(structure_id, result_id::VARCHAR) FROM (
            (SELECT structure_id, result_id FROM exclusions EXCEPT SELECT structure_id, result_id FROM exclusion_reach)
            UNION ALL
            (SELECT structure_id, result_id FROM exclusion_reach EXCEPT SELECT structure_id, result_id FROM exclusions)
        )""",
    "texts that do not fit their SHA-256": """
        SELECT path FROM source WHERE content IS NOT NULL AND block_sha256 <> ''
        AND sha256(content) <> block_sha256 AND NOT regexp_matches(content, '\\\\x[0-9a-f]{2}')""",
}


def checks(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Name and query of each check of this store."""
    return CHECKS | _of_runners(con)


def broken(con: duckdb.DuckDBPyConnection, query: str) -> tuple[int, list[str]]:
    """How many rows break a check, and some of them."""
    count, some = rows(con, f"SELECT count(*), list(id ORDER BY id)[:3] FROM ({query}) AS t(id)")[0]
    return int(count), some or []


def _of_runners(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The checks of each runner's own table."""
    found = {}
    for runner in runner_tables(con):
        table = quoted(f"result_{runner}")
        found[f"rows of {runner} without their result"] = (
            f"SELECT result_id::VARCHAR FROM {table} ANTI JOIN (FROM result WHERE status = 'ok') USING (result_id)"
        )
        found[f"rows of {runner} that stand twice"] = (
            f"SELECT result_id::VARCHAR FROM {table} GROUP BY result_id HAVING count(*) > 1"
        )
    return found
