"""Table `repeated`: what a method has several results of. All others are current without being compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store.tables.columns import quoted

if TYPE_CHECKING:
    import duckdb


def note_repeated(con: duckdb.DuckDBPyConnection, new: str) -> None:
    """List what a method will have several results of, before the rows of a table are added to `result`."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE coming AS
        SELECT method_id, coalesce(structure_id, external_id) AS item FROM {quoted(new)} WHERE item IS NOT NULL
        """
    )
    con.execute(
        """
        INSERT INTO repeated
        SELECT DISTINCT method_id, item FROM (
            SELECT method_id, item FROM coming GROUP BY ALL HAVING count(*) > 1
            UNION ALL
            FROM coming SEMI JOIN (SELECT method_id, structure_id AS item FROM result) USING (method_id, item)
            UNION ALL
            FROM coming SEMI JOIN (SELECT method_id, external_id AS item FROM result WHERE structure_id IS NULL)
            USING (method_id, item)
        )
        ANTI JOIN repeated USING (method_id, item)
        """
    )
