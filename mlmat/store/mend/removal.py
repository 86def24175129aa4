"""Takes out of every table what `_forget.plan` found, and leaves the rest as true as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store.access.connection import rows
from mlmat.store.tables import structures
from mlmat.store.tables.columns import quoted, runner_tables
from mlmat.store.tables.structures import ASEDB_PATH

if TYPE_CHECKING:
    import duckdb

#: Rows that belong to what goes, by the table that they are in; the order does not matter, the ids are in going_….
_ROWS = {
    "entry": "result_id IN (FROM going_result)",
    "produced": "result_id IN (FROM going_result)",
    "corrected": "result_id IN (FROM going_result) OR method_id IN (FROM going_method)",
    "hull_row": "result_id IN (FROM going_result) OR method_id IN (FROM going_method UNION ALL FROM going_mixture)",
    "exclusion": "exclusion_id IN (FROM going_exclusion)",
    "reference_polymorph": "structure_id IN (FROM going_structure)",
    "expected_error": "method_id IN (FROM going_method)",
    "unfit_element": "method_id IN (FROM going_method)",
    "mixture": "method_id IN (FROM going_mixture)",
    "same_crystal": """crystal_id IN (
        SELECT crystal_id FROM same_crystal WHERE structure_id IN (FROM going_structure)
    )""",
    "ase_row": f"""(numbers IS NULL AND structure_id IN (FROM going_structure)) OR '{ASEDB_PATH}' || id IN (
        SELECT path FROM source WHERE source_id IN (FROM going_source)
    )""",
    "import_row": "rowid IN (FROM going_line)",
    "result": "result_id IN (FROM going_result)",
    "method": "method_id IN (FROM going_method)",
    "run": "run_id IN (FROM going_run)",
    "structure": "structure_id IN (FROM going_structure)",
}


def remove(con: duckdb.DuckDBPyConnection) -> None:
    """Take out what `plan` found, and leave the rest as true as it was."""
    items = "SELECT method_id, coalesce(structure_id, external_id) AS item FROM result"
    con.execute(f"CREATE OR REPLACE TEMP TABLE touched AS {items} WHERE result_id IN (FROM going_result)")
    for runner in runner_tables(con):
        con.execute(f"DELETE FROM {quoted(f'result_{runner}')} WHERE result_id IN (FROM going_result)")
    for table, which in _ROWS.items():
        con.execute(f"DELETE FROM {table} WHERE {which}")
    structures.take_out(con, "going_source")
    con.execute("UPDATE import_row SET run_id = r.run_id FROM result AS r WHERE r.result_id = import_row.result_id "
                "AND import_row.run_id IN (FROM going_run)")  # fmt: skip
    con.execute("DELETE FROM hull_system WHERE (method_id, chemical_system) NOT IN "
                "(SELECT (method_id, chemical_system) FROM hull_row)")  # fmt: skip
    still = f"SELECT method_id, item FROM ({items}) SEMI JOIN touched USING (method_id, item) GROUP BY ALL"
    con.execute(f"CREATE OR REPLACE TEMP TABLE still AS {still} HAVING count(*) > 1")
    con.execute("DELETE FROM repeated WHERE (method_id, item) IN (SELECT (method_id, item) FROM touched) "
                "AND (method_id, item) NOT IN (SELECT (method_id, item) FROM still)")  # fmt: skip
    _drop_runners(con)


def _drop_runners(con: duckdb.DuckDBPyConnection) -> None:
    """Tables and views of runners that no method has any more."""
    left = {runner for (runner,) in rows(con, "SELECT DISTINCT runner FROM method")}
    for runner in runner_tables(con):
        if runner not in left and not rows(con, f"FROM {quoted(f'result_{runner}')} LIMIT 1"):
            con.execute(f"DROP VIEW IF EXISTS {quoted(runner)}")
            con.execute(f"DROP TABLE {quoted(f'result_{runner}')}")
