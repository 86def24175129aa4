"""What the rows of ase.db are made of: SQL over the tables of the store.

A row is a structure that a file or a runner gave (its number is `structure.id`), or what was written through the face
(table `ase_row`). Where both have one number the written row stands for both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlmat.asedb.row import is_key
from mlmat.store.access.connection import rows
from mlmat.store.tables.columns import quoted, runner_tables, types
from mlmat.store.tables.structures import ASEDB_PATH, outcomes

if TYPE_CHECKING:
    import duckdb

#: The runner of results that came with files.
IMPORTED = "imported"
#: Keys of pairs that the face itself gives to rows that were not written through it.
GIVEN = ("structure_id", "space_group", "space_group_number", "method", "converged")
_SCALAR = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|BOOLEAN|VARCHAR)")
_FLOATS = re.compile(r"(DOUBLE|FLOAT)((?:\[\d*\])*)")
#: Dimensions of the results that the face takes from the tables of runners.
PROPERTIES = {"forces": 2, "stress": 1, "dipole": 1, "magmoms": 1, "charges": 1, "magmom": 0, "free_energy": 0}
YEARS = "(epoch({}) - 946681200.0) / 31557600.0"  # since 2000, as ASE counts
_EXISTING = f"""
    SELECT structure_id FROM source
    WHERE current AND outcome IN ({outcomes()}) AND NOT starts_with(path, '{ASEDB_PATH}')
    UNION
    SELECT structure_id FROM produced
"""
_VOLUME = """nullif(abs(
    c[1][1] * (c[2][2] * c[3][3] - c[2][3] * c[3][2]) - c[1][2] * (c[2][1] * c[3][3] - c[2][3] * c[3][1])
    + c[1][3] * (c[2][1] * c[3][2] - c[2][2] * c[3][1])), 0)"""


def rows_sql() -> str:
    """All rows, with what needs no results; columns of written rows that say what structures say elsewhere are NULL."""
    own = ", ".join(f"NULL AS own_{name}" for name in ("energy", "magmom", "fmax", "smax", "calculator", "constraints"))
    written = ", ".join(f"a.{name}" for name in ("energy", "magmom", "fmax", "smax", "calculator", "constraints"))
    masses = ", ".join(map(repr, _masses()))
    return f"""
        SELECT s.id, s.structure_id, false AS written, false AS own, a.key_values, s.nsites AS natoms,
            s.atomic_numbers::INTEGER[] AS numbers, rpad(s.structure_id, 32, '0') AS unique_id,
            d[1] + 2 * d[2] + 4 * d[3] AS pbc, {_VOLUME} AS volume,
            list_sum(list_transform(s.atomic_numbers, lambda z: ([{masses}])[z + 1])) AS mass,
            coalesce(list_sum(s.initial_charges), 0) AS charge,
            NULL AS ctime, a.mtime, NULL AS user_name, s.space_group_symbol, s.space_group_it_number, {own}
        FROM (SELECT *, lattice_vectors AS c, dimension_types::INTEGER[3] AS d FROM structure) AS s
        SEMI JOIN ({_EXISTING}) AS e ON e.structure_id = s.structure_id
        LEFT JOIN ase_row AS a ON a.id = s.id
        WHERE a.numbers IS NULL
        UNION ALL
        SELECT a.id, a.structure_id, true, a.calculator IS NOT NULL, a.key_values, a.natoms, a.numbers, a.unique_id,
            a.pbc, a.volume, a.mass, a.charge, a.ctime, a.mtime, a.user_name, NULL, NULL, {written}
        FROM ase_row AS a WHERE a.numbers IS NOT NULL
    """


def _masses() -> list[float]:
    from ase.data import atomic_masses

    return [float(mass) for mass in atomic_masses]


def only_computed(con: duckdb.DuckDBPyConnection) -> str | None:
    """The id of the method whose results a runner computed, where there is exactly one."""
    query = (
        "SELECT DISTINCT r.method_id FROM result AS r JOIN method USING (method_id) "
        f"WHERE r.status = 'ok' AND r.superseded IS NULL AND runner <> '{IMPORTED}' LIMIT 2"
    )
    found = rows(con, query)
    return str(found[0][0]) if len(found) == 1 else None


def picked_sql(method: str | None, only: str = "") -> str:
    """The result that counts for each structure: the latest ok one, of a method where one was asked for.

    Without a method those that came with files count only where nothing was computed. What a runner returned for a
    structure that it relaxed is about the relaxed one. What is excluded is not picked. only: a SEMI JOIN over
    structure_id.
    """
    return f"""
        SELECT * FROM (
            SELECT r.*, r.structure_id AS handed_in, coalesce(p.structure_id, r.structure_id) AS about,
                m.runner = '{IMPORTED}' AS imported
            FROM result AS r JOIN method AS m USING (method_id)
            ANTI JOIN (SELECT source_id FROM source WHERE NOT current) AS gone USING (source_id)
            LEFT JOIN (SELECT result_id, structure_id FROM produced WHERE role = 'relaxed') AS p USING (result_id)
            WHERE r.status = 'ok' AND r.superseded IS NULL {"AND r.method_id = $method" if method else ""}
                AND r.structure_id NOT IN (SELECT structure_id FROM exclusion_reach WHERE structure_id IS NOT NULL)
                AND r.result_id NOT IN (SELECT result_id FROM exclusion_reach WHERE result_id IS NOT NULL)
        ) AS r {only}
        QUALIFY row_number() OVER (PARTITION BY about
            ORDER BY energy IS NOT NULL DESC, imported, run_id DESC NULLS LAST, finished_at DESC, result_id DESC) = 1
    """


def history_sql(only: str = "") -> str:
    """When each structure came into the store, and by whom; only: a SEMI JOIN over structure_id."""
    return f"""
        SELECT structure_id, {YEARS.format("min(since)")} AS ctime, arg_min(user_name, since) AS user_name
        FROM (
            SELECT s.structure_id, s.ingested_at AS since, r.user_name
            FROM source AS s LEFT JOIN run AS r USING (run_id) WHERE s.structure_id IS NOT NULL
            UNION ALL
            SELECT p.structure_id, r.finished_at, u.user_name
            FROM produced AS p JOIN result AS r USING (result_id) LEFT JOIN run AS u USING (run_id)
        ) AS h {only} GROUP BY structure_id
    """


def said_sql(only: str = "") -> str:
    """Key-value pairs that came with a structure: those of its oldest entry that has any.

    A relaxed structure that no file gave has those of the structure that was handed in.
    """
    return f"""
        WITH entry AS (
            SELECT structure_id, key_values, source_id FROM source
            WHERE current AND structure_id IS NOT NULL AND cardinality(key_values) > 0
                AND NOT starts_with(path, '{ASEDB_PATH}')
        )
        SELECT structure_id, arg_min(key_values, (inherited, source_id)) AS key_values FROM (
            SELECT *, false AS inherited FROM entry
            UNION ALL
            SELECT p.structure_id, e.key_values, e.source_id, true
            FROM produced AS p JOIN entry AS e ON e.structure_id = p.parent_id WHERE p.role = 'relaxed'
        ) AS s {only} GROUP BY structure_id
    """


class Runners:
    """What the tables of runners hold that ase.db can show."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.types = {runner: types(con, f"result_{runner}") for runner in runner_tables(con)}

    def scalars(self, runner: str) -> list[str]:
        """Columns of a runner that are key-value pairs."""
        found = self.types[runner].items()
        return [name for name, kind in found if _SCALAR.fullmatch(kind) and is_key(name)]

    def properties(self, runner: str) -> list[str]:
        """Columns of a runner that are results by ASE's names and shapes."""
        return [name for name, depth in PROPERTIES.items() if _depth(self.types[runner].get(name, "")) == depth]

    def values_sql(self) -> str | None:
        """Forces, stress and magnetic moment of every result, of all runners; None where there are no runners."""
        return " UNION ALL ".join(self._part(runner) for runner in self.types) or None

    def _part(self, runner: str) -> str:
        has = self.properties(runner)
        kinds = {"forces": "DOUBLE[][]", "stress": "DOUBLE[]", "magmom": "DOUBLE"}
        columns = ", ".join(f"{name if name in has else 'NULL'}::{kind} AS {name}" for name, kind in kinds.items())
        return f"SELECT result_id, {columns} FROM {quoted('result_' + runner)}"


def _depth(kind: str) -> int | None:
    match = _FLOATS.fullmatch(kind)
    return match[2].count("[") if match else None


def calculator_sql(method: str) -> str:
    """What ASE calls the calculator: that of an imported result, else the runner."""
    return f"lower(coalesce({method}.settings['calculator'], {method}.runner))"
