"""Results whose own numbers are not believed: column `result.suspect`.

What needs other results (references, energies of formation) is in the views `phase` and `formation_energy`. Bounds are
those of docs/plausibility.md. They are asked of columns that declare their unit, and of no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.store.access.connection import rows
from mlmat.store.tables.columns import comments_of, parse_declaration, quoted, runner_tables, types

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

#: Pressure in GPa: compression and tension beyond these are of no crystal that somebody wants ranked.
PRESSURE, TENSION = 300, -60
#: Largest force on an atom, in eV/Å.
FORCE = 20
#: Volume after a relaxation, in units of that before.
SHRUNK, GROWN = 0.4, 2.5
#: GPa in 1 eV/Å³.
_GPA = 160.21766208
_LISTS = ("DOUBLE[6]", "DOUBLE[]", "FLOAT[6]", "FLOAT[]")

#: Of the structure that an energy belongs to: the relaxed one, where there is one.
_GEOMETRY = f"""
    SELECT
        r.result_id,
        CASE
            WHEN p.structure_id IS NULL THEN s.implausible
            WHEN q.implausible IS NOT NULL THEN 'relaxed structure: ' || q.implausible
            WHEN q.volume / s.volume NOT BETWEEN {SHRUNK} AND {GROWN}
                THEN printf('relaxed to %.3g times its volume', q.volume / s.volume)
        END AS why
    FROM {{results}} AS r
    JOIN structure AS s USING (structure_id)
    LEFT JOIN (SELECT result_id, structure_id FROM produced WHERE role = 'relaxed') AS p USING (result_id)
    LEFT JOIN structure AS q ON q.structure_id = p.structure_id
    -- Entries that were imported say their composition and energy themselves: their structure made neither.
    WHERE r.status = 'ok' AND why IS NOT NULL AND r.result_id NOT IN (SELECT result_id FROM entry)
"""


def judge(con: duckdb.DuckDBPyConnection, results: str, declared: Mapping[str, Mapping[str, str]]) -> None:
    """Say in `result` which of these results are suspect, and why.

    results: a table with columns of `result`; declared: for each runner among them, what its columns declare.
    """
    parts = [_GEOMETRY.format(results=results)]
    for runner, columns in declared.items():
        table = f"result_{runner}"
        numbers = _numbers(con, table, columns)
        if numbers:
            joined = f"{results} JOIN {quoted(table)} USING (result_id)"
            parts.append(f"SELECT result_id, {numbers} AS why FROM {joined} WHERE why IS NOT NULL")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE doubted AS SELECT result_id, string_agg(why, '; ' ORDER BY why) AS why FROM ("
        + " UNION ALL ".join(f"({part})" for part in parts)
        + ") GROUP BY result_id"
    )
    if rows(con, "SELECT 1 FROM doubted LIMIT 1"):
        con.execute("UPDATE result SET suspect = d.why FROM doubted AS d WHERE result.result_id = d.result_id")


def judge_all(con: duckdb.DuckDBPyConnection) -> None:
    """The same of all results that the store has: those of an earlier version."""
    judge(con, "result", {name: comments_of(con, f"result_{name}") for name in runner_tables(con)})


def _numbers(con: duckdb.DuckDBPyConnection, table: str, declared: Mapping[str, str]) -> str | None:
    """SQL for what is wrong with the numbers of a runner; None where it returns none that are judged."""
    units = {name.lower(): parse_declaration(text)[1] or text for name, text in declared.items()}
    kinds = {name.lower(): kind for name, kind in types(con, table).items()} if units else {}
    cases = []
    if kinds.get("stress") in _LISTS and "eV/Å³" in units.get("stress", ""):
        # Of nine components, as some write them, the diagonal.
        trace = "(stress[1] + CASE WHEN len(stress) = 9 THEN stress[5] + stress[9] ELSE stress[2] + stress[3] END)"
        pressure = f"(-{_GPA} / 3 * {trace.replace('stress', '(stress::DOUBLE[])')})"
        cases.append(f"WHEN NOT isfinite({pressure}) OR {pressure} NOT BETWEEN {TENSION} AND {PRESSURE} "
                     f"THEN printf('pressure %.0f GPa', {pressure})")  # fmt: skip
    if kinds.get("fmax") in ("DOUBLE", "FLOAT") and "eV/Å" in units.get("fmax", ""):
        cases.append(f"WHEN NOT isfinite(fmax) OR fmax > {FORCE} THEN printf('largest force %.1f eV/Å', fmax)")
    elif kinds.get("forces", "").startswith("DOUBLE[3]") and "eV/Å" in units.get("forces", ""):
        largest = "sqrt(list_max(list_transform(forces, lambda f: f[1] * f[1] + f[2] * f[2] + f[3] * f[3])))"
        cases.append(f"WHEN {largest} > {FORCE} THEN printf('largest force %.1f eV/Å', {largest})")
    return f"CASE {' '.join(cases)} END" if cases else None
