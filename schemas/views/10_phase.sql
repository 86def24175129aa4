-- What may compete in a hull: every current ok result with an energy and a composition, by any method. An entry that
-- names its composition itself is taken at its word; else the composition is that of the structure. A mixture of methods,
-- where somebody asked for one, is a method here with the results of all of them.
CREATE OR REPLACE VIEW phase AS
WITH valued AS NOT MATERIALIZED (
    SELECT
        r.result_id, r.structure_id, r.external_id, r.energy, r.converged,
        r.method_id, m.method, m.method AS energy_method, 0 AS place
    FROM current_result AS r
    JOIN method AS m USING (method_id)
    WHERE r.status = 'ok' AND r.energy IS NOT NULL
    UNION ALL
    SELECT
        r.result_id, r.structure_id, r.external_id, r.energy, r.converged,
        x.method_id, x.method, m.method, x.place
    FROM current_result AS r
    JOIN mixture AS x ON x.member_id = r.method_id
    JOIN method AS m ON m.method_id = r.method_id
    WHERE r.status = 'ok' AND r.energy IS NOT NULL
),
-- In two parts, with plain columns in both: a filter on them then reaches the tables.
composed AS NOT MATERIALIZED (
    SELECT
        v.*,
        s.elements,
        list_transform(s.elements_ratios, lambda x: round(x * s.nsites)) AS amounts,
        s.nsites::DOUBLE AS nsites,
        s.chemical_formula_reduced AS formula,
        s.chemical_system,
        list_sum(s.dimension_types::INTEGER[]) AS periods,
        NULL AS entry_id
    FROM valued AS v
    JOIN structure AS s USING (structure_id)
    ANTI JOIN entry USING (result_id)
    UNION ALL
    SELECT
        v.*, e.elements, e.amounts, e.nsites, e.chemical_formula_reduced, e.chemical_system, s.periods, v.external_id
    FROM valued AS v
    JOIN entry AS e USING (result_id)
    -- Summed below the join: DuckDB 2.0.0 takes what an outer join leaves of an array for a list of any length.
    LEFT JOIN (
        SELECT structure_id, list_sum(dimension_types::INTEGER[]) AS periods FROM structure
    ) AS s USING (structure_id)
),
judged AS NOT MATERIALIZED (
    SELECT
        *,
        CASE
            WHEN NOT isfinite(energy) THEN 'energy is not a number'
            WHEN converged IS FALSE THEN 'relaxation not converged'
            WHEN periods < 3 THEN 'not periodic in three directions'
        END AS reason
    FROM composed
)
SELECT
    result_id,
    structure_id,
    external_id,
    method_id,
    method,
    formula,
    chemical_system,
    elements,
    amounts,
    nsites,
    energy,
    energy / nsites AS energy_per_atom,
    energy_method,
    converged,
    reason IS NULL AS competes,
    reason
FROM (
    FROM judged WHERE place = 0
    UNION ALL
    SELECT
        j.* REPLACE (
            -- Of a structure or an external id that several methods of a mixture have, the first one counts.
            coalesce(j.reason, CASE
                WHEN (j.structure_id IS NOT NULL AND j.place > first_value(j.place) OVER (
                    PARTITION BY j.method_id, j.structure_id ORDER BY (j.reason IS NULL) DESC, j.place
                )) OR (j.entry_id IS NOT NULL AND j.place > first_value(j.place) OVER (
                    PARTITION BY j.method_id, j.entry_id, j.formula ORDER BY (j.reason IS NULL) DESC, j.place
                )) THEN 'another method of the mixture counts'
            END) AS reason
        )
    FROM judged AS j
    WHERE place > 0
);
COMMENT ON VIEW phase IS 'What may compete in a hull: every current result with an energy and a composition';
COMMENT ON COLUMN phase.method IS 'Method; phases of different methods compete in a mixture only (mlmat mix)';
COMMENT ON COLUMN phase.formula IS 'Reduced formula, elements in alphabetical order';
COMMENT ON COLUMN phase.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN phase.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN phase.amounts IS 'Atoms of each element in the cell, in the order of elements';
COMMENT ON COLUMN phase.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN phase.energy IS 'Total energy of the cell in eV, with its correction';
COMMENT ON COLUMN phase.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN phase.energy_method IS 'Method of the energy: another one than method in a mixture only (mlmat mix)';
COMMENT ON COLUMN phase.competes IS 'Whether it takes part in hulls';
COMMENT ON COLUMN phase.reason IS 'Why it does not';
