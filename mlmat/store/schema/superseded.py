"""Results of older versions that this one knows to be wrong, and that come late: from the journal of an old driver.

What a store had when it was migrated, the migration marked. A driver that began before then may have left more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store.tables.columns import quoted

if TYPE_CHECKING:
    import duckdb

WHY = "partly periodic: computed with neighbours that depended on the orientation of the cell"
#: As in migration 4.
_PARTLY_PERIODIC = """
    UPDATE {new} SET superseded = $why
    WHERE run_id IN (SELECT run_id FROM run WHERE schema_version IS NULL)
        AND method_id IN (
            SELECT method_id FROM method
            WHERE runner IN ('mace', 'chgnet') OR 'result_' || runner IN (
                SELECT table_name FROM duckdb_columns()
                WHERE column_name = 'stress'
                    AND comment LIKE 'eV/Å³, Voigt order xx yy zz yz xz xy, negative under compression;%'
            )
        )
        AND structure_id IN (
            SELECT structure_id FROM structure WHERE list_sum(dimension_types::INTEGER[]) IN (1, 2)
        )
"""


def mark_late(con: duckdb.DuckDBPyConnection, new: str) -> None:
    """Mark those among the rows of a table before they are added to `result`."""
    old = f"SELECT 1 FROM {quoted(new)} WHERE run_id IN (SELECT run_id FROM run WHERE schema_version IS NULL) LIMIT 1"
    if con.execute(old).fetchone():
        con.execute(_PARTLY_PERIODIC.format(new=quoted(new)), {"why": WHY})
