"""What a report asks a store: SQL alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTS = """
SELECT
    (SELECT count(*) FROM source WHERE current) AS blocks,
    (SELECT count(DISTINCT path) FROM source WHERE current) AS files,
    (SELECT count(DISTINCT structure_id) FROM source
     WHERE current AND outcome IN ('stored', 'duplicate')) AS structures,
    (SELECT count(*) FROM phase WHERE NOT excluded) AS results,
    (SELECT count(*) FROM current_result WHERE status = 'failed') AS failed
"""

#: Tables of the page, by name.
TABLES = {
    "outcomes": "SELECT outcome, count(*) AS blocks FROM source WHERE current GROUP BY outcome ORDER BY blocks DESC",
    "imports": "SELECT outcome, count(*) AS blocks FROM import_row WHERE current GROUP BY outcome ORDER BY blocks DESC",
    "reasons": """
        SELECT outcome, reason, count(*) AS blocks, min(path) AS example
        FROM (
            SELECT outcome, reason, path FROM source WHERE current AND outcome NOT IN ('stored', 'duplicate')
            UNION ALL
            SELECT outcome, reason, path FROM import_row WHERE current AND outcome = 'refused'
            UNION ALL
            SELECT 'excluded', why, path FROM excluded
        )
        GROUP BY outcome, reason ORDER BY blocks DESC, outcome, reason LIMIT 50
    """,
    "systems": """
        SELECT method_id, chemical_system AS name, elements, competing_phases AS phases, missing_elements AS missing
        FROM chemical_systems WHERE nelements > 1 AND competing_phases > 0
        ORDER BY len(missing_elements) > 0, nelements, phases DESC, name LIMIT 10000
    """,
    "methods": """
        SELECT m.method_id, m.method, m.runner, m.runner_version, m.model_name, m.model_sha256, m.dtype,
            list_prepend(
                'energy scheme ' || coalesce(m.scheme, 'unknown'),
                list_transform(map_entries(m.settings), lambda x: x.key || '=' || x.value)
            ) AS settings,
            count(*) FILTER (r.status = 'ok') + coalesce(max(c.corrected), 0) AS ok,
            count(*) FILTER (r.status = 'failed') AS failed,
            count(*) FILTER (r.status = 'ok' AND r.converged IS FALSE) AS unconverged,
            sum(r.seconds) AS seconds
        FROM method AS m LEFT JOIN current_result AS r USING (method_id)
        LEFT JOIN (
            SELECT method_id, count(correction) AS corrected
            FROM corrected SEMI JOIN current_result USING (result_id) GROUP BY method_id
        ) AS c USING (method_id)
        GROUP BY ALL
        UNION ALL BY NAME
        SELECT x.method_id, any_value(x.method) AS method, 'mixture' AS runner,
            list_prepend(
                'energy scheme ' || CASE WHEN bool_or(x.different_schemes) THEN 'different schemes'
                ELSE coalesce(any_value(m.scheme), 'unknown') END,
                list('method ' || x.place || '=' || m.method ORDER BY x.place)
            ) AS settings,
            (SELECT count(*) FROM phase AS p WHERE p.method_id = x.method_id) AS ok
        FROM mixture AS x JOIN method AS m ON m.method_id = x.member_id
        GROUP BY x.method_id
        ORDER BY runner = 'mixture', ok DESC, method, method_id
    """,
    "worth": """
        SELECT f.method_id, any_value(f.scheme) AS scheme,
            count(*) FILTER (f.suspect IS NOT NULL AND NOT f.excluded) AS suspect,
            count(*) FILTER (f.excluded) AS excluded,
            any_value(x.error) AS error
        FROM formation_energy AS f
        LEFT JOIN (
            SELECT method_id, max(error) AS error FROM expected_error
            WHERE quantity = 'e_above_hull' AND class = 'all' GROUP BY method_id
        ) AS x USING (method_id)
        GROUP BY f.method_id
    """,
    "failures": """
        SELECT method_id, error_class, count(*) AS structures, min(error_message) AS example
        FROM failures GROUP BY method_id, error_class ORDER BY structures DESC, error_class LIMIT 100
    """,
    "suspects": """
        SELECT method_id, formula, suspect, coalesce(external_id, path) AS example
        FROM suspects ORDER BY method_id, suspect, formula, result_id LIMIT 2000
    """,
    "runs": """
        SELECT run_id::VARCHAR AS run_id, command, arguments, started_at, ended_at, outcome, user_name, host,
            mlmat_version, python_version, platform,
            list_transform(map_entries(versions), lambda x: x.key || ' ' || x.value) AS versions
        FROM run WHERE run_id IN (SELECT run_id FROM current_result) ORDER BY run_id
    """,
}

_NUMBERS = {"fmax": "DOUBLE", "steps": "INTEGER"}

_ROWS = """
WITH measured AS ({measured}),
relaxed AS (
    SELECT result_id, min(structure_id) AS relaxed_id FROM produced WHERE role = 'relaxed' GROUP BY result_id
),
noticed AS (
    SELECT result_id, array_to_string(list_distinct(flatten(list(warnings))), '; ') AS warnings
    FROM import_row WHERE current AND result_id IS NOT NULL AND len(warnings) > 0 GROUP BY result_id
)
SELECT
    p.result_id::VARCHAR AS result_id, p.structure_id, p.external_id, p.method_id, p.formula, p.chemical_system,
    p.elements, list_transform(p.amounts, lambda x: x / p.nsites) AS fractions,
    p.nsites, p.energy_per_atom, h.formation_energy_per_atom, h.e_above_hull, h.decomposition,
    h.e_decomposition, h.expected_error, h.expected_error_formation, h.verdict, h.competing_phases, h.competition,
    h.scheme,
    k.energy_above_best, k.rank, coalesce(p.reason, h.reason) AS reason, p.competes, w.warnings,
    CASE WHEN p.energy_method <> p.method THEN p.energy_method END AS energy_method,
    c.result_id IS NOT NULL AS candidate,
    s.space_group_symbol AS space_group, s.space_group_it_number AS space_group_number,
    s.volume / s.nsites AS volume_per_atom, s.density, s.structure_id AS shown_id,
    m.fmax, m.steps, v.path, v.member, v.block, v.parser, v.file_sha256, v.parent_id,
    v.run_id::VARCHAR AS run_id, v.host, v.seconds, v.attempt, v.finished_at
FROM phase AS p
LEFT JOIN hull AS h USING (result_id, method_id)
LEFT JOIN ranking AS k ON k.result_id = p.result_id AND k.method = p.energy_method
LEFT JOIN candidates AS c USING (result_id, method_id)
LEFT JOIN relaxed AS x USING (result_id)
LEFT JOIN noticed AS w USING (result_id)
LEFT JOIN structure AS s ON s.structure_id = coalesce(x.relaxed_id, p.structure_id)
LEFT JOIN measured AS m USING (result_id)
LEFT JOIN provenance AS v USING (result_id)
WHERE NOT p.excluded
ORDER BY p.competes DESC, h.e_above_hull NULLS LAST, len(p.elements) = 1, h.formation_energy_per_atom NULLS LAST,
    k.energy_above_best NULLS LAST, p.formula, p.result_id
LIMIT $rows
"""


def rows_of(runners: Mapping[str, set[str]]) -> str:
    """One row for each current ok result; runners: columns of the view of each runner."""
    parts = [
        f'SELECT result_id, {_or_null(columns)} FROM "{name}"'
        for name, columns in runners.items()
        if columns & set(_NUMBERS) and "result_id" in columns
    ]
    none = f"SELECT NULL::UUID AS result_id, {_or_null(set())} WHERE false"
    return _ROWS.format(measured=" UNION ALL ".join(parts or [none]))


def _or_null(columns: set[str]) -> str:
    return ", ".join(
        f"TRY_CAST({name} AS {kind}) AS {name}" if name in columns else f"NULL::{kind} AS {name}"
        for name, kind in _NUMBERS.items()
    )
