"""What results of an earlier version get when their store is upgraded: columns that were not written then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store.access.connection import rows
from mlmat.store.quality.suspects import judge_all
from mlmat.store.tables.columns import quoted, runner_tables, types
from mlmat.store.tables.formulas import fill
from mlmat.store.tables.structures import geometry

if TYPE_CHECKING:
    import duckdb

#: Relaxations whose structures are read at once.
CHUNK = 5_000
_INTEGERS = ("INTEGER", "BIGINT", "SMALLINT", "TINYINT")


def complete(con: duckdb.DuckDBPyConnection) -> None:
    """Formulas as people write them; steps and displacements (Å) of relaxations; what is implausible and suspect."""
    fill(con, "structure")
    fill(con, "entry")
    _fill_steps(con)
    _fill_displacements(con)
    _fill_implausible(con)
    judge_all(con)


def _fill_implausible(con: duckdb.DuckDBPyConnection) -> None:
    """Only results ask for it, and those of them that have a structure."""
    query = """
        SELECT structure_id FROM structure SEMI JOIN (
            SELECT structure_id FROM result WHERE status = 'ok' UNION SELECT structure_id FROM produced
        ) USING (structure_id) WHERE nsites <= 10000
    """
    ids = [structure_id for (structure_id,) in rows(con, query)]
    for start in range(0, len(ids), CHUNK):
        _judge_some(con, ids[start : start + CHUNK])


def _judge_some(con: duckdb.DuckDBPyConnection, ids: list[str]) -> None:
    import pyarrow as pa

    from mlmat.materials.plausible import implausible
    from mlmat.materials.structure import from_table

    found = [implausible(a.numbers, a.positions, a.cell.array, a.pbc) for a in from_table(geometry(con, ids))]
    wrong = [(key, why) for key, why in zip(ids, found, strict=True) if why]
    if wrong:
        con.register("wrong", pa.table({"structure_id": [key for key, _ in wrong], "why": [why for _, why in wrong]}))
        con.execute("UPDATE structure SET implausible = w.why FROM wrong AS w "
                    "WHERE structure.structure_id = w.structure_id")  # fmt: skip
        con.unregister("wrong")


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

    from mlmat.materials.alignment import displacement
    from mlmat.materials.structure import from_table

    before, after = (from_table(geometry(con, [link[i] for link in links])) for i in (1, 2))
    moved = [displacement(first, last) for first, last in zip(before, after, strict=True)]
    con.register("moved", pa.table({"result_id": [link[0] for link in links], "rmsd": pa.array(moved, pa.float64())}))
    con.execute(
        "UPDATE produced SET rmsd = m.rmsd FROM moved AS m "
        "WHERE produced.result_id = m.result_id::UUID AND produced.role = 'relaxed'"
    )
