"""Which structures are the same crystal, as `same_crystal` keeps it: what is to be compared, and how it is written.

Structures that are alone with their formula have no row there. A structure that comes later is compared with those
that stand for the crystals of its formula.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from mlmat.materials.matching import TOLERANCE, crystal, group
from mlmat.store.access.connection import rows
from mlmat.store.tables.structures import atoms_of, geometry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    import pyarrow as pa

#: Atoms in the cell above which no primitive cell is looked for.
MOST_SITES = 1_000
#: One bucket: ids of the structures that stand for the crystals of a formula, and of those to be compared.
Bucket = tuple[list[str], list[str]]


def uncompared(con: duckdb.DuckDBPyConnection) -> list[Bucket]:
    """Formulas (of one charge) with a structure that has not been compared with the others; older structures first."""
    query = """
        SELECT hash(chemical_formula_reduced, state), structure_id, crystal_id
        FROM (SELECT *, (coalesce(charge, 0), coalesce(spin_multiplicity, 1)) AS state FROM structure) AS structure
        LEFT JOIN (FROM same_crystal WHERE tolerance = $tolerance) AS known USING (structure_id)
        WHERE list_sum(dimension_types::INTEGER[]) = 3 AND nsites <= $most AND volume > 0
        WINDOW same AS (PARTITION BY chemical_formula_reduced, state)
        QUALIFY count(*) OVER same > 1 AND count(*) FILTER (crystal_id IS NULL) OVER same > 0
        ORDER BY chemical_formula_reduced, state, structure.id
    """
    found = rows(con, query, {"tolerance": TOLERANCE, "most": MOST_SITES})
    return [_bucket([(structure, crystal) for _, structure, crystal in same])
            for _, same in groupby(found, key=lambda row: row[0])]  # fmt: skip


def _bucket(same: Sequence[tuple[str, str | None]]) -> Bucket:
    standing = [structure for structure, crystal in same if structure == crystal]
    return standing, [structure for structure, crystal in same if crystal is None]


def read(con: duckdb.DuckDBPyConnection, buckets: Sequence[Bucket]) -> pa.Table:
    """Geometry of the structures of these buckets."""
    return geometry(con, [structure for standing, new in buckets for structure in (*standing, *new)])


def compared(buckets: Sequence[Bucket], table: pa.Table) -> dict[str, str]:
    """For each structure that had not been compared the one that stands for its crystal; table: their geometry."""
    known = {atoms.info["structure_id"]: crystal(atoms.info["structure_id"], atoms) for atoms in atoms_of(table)}
    found: dict[str, str] = {}
    for standing, new in buckets:
        found |= group([known[i] for i in standing], [known[i] for i in new])
    return found


def write(con: duckdb.DuckDBPyConnection, found: Mapping[str, str]) -> None:
    """Put this in the place of what the store says of these structures."""
    import pyarrow as pa

    con.register("new_same", pa.table({"structure_id": list(found), "crystal_id": list(found.values())}))
    con.execute("DELETE FROM same_crystal WHERE structure_id IN (SELECT structure_id FROM new_same)")
    con.execute("INSERT INTO same_crystal (structure_id, crystal_id, tolerance) "
                "SELECT structure_id, crystal_id, ? FROM new_same", [TOLERANCE])  # fmt: skip
