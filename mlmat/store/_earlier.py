"""What results of an earlier version get when their store is upgraded: columns that were not written then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store._columns import quoted, runner_tables, types
from mlmat.store._connection import rows
from mlmat.store._formulas import fill
from mlmat.store._structures import geometry

if TYPE_CHECKING:
    import duckdb

#: Relaxations whose structures are read at once.
CHUNK = 5_000
_INTEGERS = ("INTEGER", "BIGINT", "SMALLINT", "TINYINT")


def complete(con: duckdb.DuckDBPyConnection) -> None:
    """Formulas as people write them; steps and displacements (Å) of relaxations."""
    fill(con, "structure")
    fill(con, "entry")
    _fill_steps(con)
    _fill_displacements(con)


def _fill_steps(con: duckdb.DuckDBPyConnection) -> None:
    for table in (f"result_{runner}" for runner in runner_tables(con)):
        if types(con, table).get("steps") in _INTEGERS:
            con.execute(
                f"UPDATE produced SET steps = v.steps FROM {quoted(table)} AS v "
                "WHERE produced.result_id = v.result_id AND v.steps IS NOT NULL"
            )


def _fill_displacements(con: duckdb.DuckDBPyConnection) -> None:
    """Where the store has the atoms of a relaxed structure in the order of its runner: it had them from nobody else."""
    query = """
        SELECT result_id::VARCHAR, parent_id, structure_id FROM produced
        WHERE role = 'relaxed' AND structure_id <> parent_id
            AND structure_id NOT IN (SELECT structure_id FROM source WHERE structure_id IS NOT NULL)
        QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY result_id) = 1
    """
    links = rows(con, query)
    for start in range(0, len(links), CHUNK):
        _fill_some(con, links[start : start + CHUNK])


def _fill_some(con: duckdb.DuckDBPyConnection, links: list[tuple[str, str, str]]) -> None:
    import pyarrow as pa

    from mlmat.alignment import displacement
    from mlmat.structure import from_table

    before, after = (from_table(geometry(con, [link[i] for link in links])) for i in (1, 2))
    moved = [displacement(first, last) for first, last in zip(before, after, strict=True)]
    con.register("moved", pa.table({"result_id": [link[0] for link in links], "rmsd": pa.array(moved, pa.float64())}))
    con.execute(
        "UPDATE produced SET rmsd = m.rmsd FROM moved AS m "
        "WHERE produced.result_id = m.result_id::UUID AND produced.role = 'relaxed'"
    )
