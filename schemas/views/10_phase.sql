-- What may compete in a hull: every current ok result with an energy and a composition, by any method. An entry that
-- names its composition itself is taken at its word; else the composition is that of the structure. A mixture of methods,
-- where somebody asked for one, is a method here with the results of all of them.
CREATE OR REPLACE VIEW phase AS
WITH composed AS (
    SELECT
        r.result_id, r.structure_id, r.external_id, r.method_id, r.energy, r.converged,
        coalesce(e.elements, s.elements) AS elements,
        coalesce(e.amounts, list_transform(s.elements_ratios, lambda x: round(x * s.nsites))) AS amounts,
        coalesce(e.nsites, s.nsites)::DOUBLE AS nsites,
        coalesce(e.chemical_formula_reduced, s.chemical_formula_reduced) AS formula,
        coalesce(e.chemical_system, s.chemical_system) AS chemical_system,
        s.dimension_types,
        CASE WHEN e.result_id IS NOT NULL THEN r.external_id END AS entry_id
    FROM current_result AS r
    LEFT JOIN structure AS s USING (structure_id)
    LEFT JOIN entry AS e ON e.result_id = r.result_id
    WHERE r.status = 'ok' AND r.energy IS NOT NULL AND coalesce(e.elements, s.elements) IS NOT NULL
),
judged AS (
    SELECT
        *,
        CASE
            WHEN NOT isfinite(energy) THEN 'energy is not a number'
            WHEN converged IS FALSE THEN 'relaxation not converged'
            WHEN list_sum(dimension_types::INTEGER[]) < 3 THEN 'not periodic in three directions'
        END AS reason
    FROM composed
),
member AS (
    SELECT x.method_id, x.method, x.place, x.member_id, m.method AS energy_method
    FROM mixture AS x
    JOIN method AS m ON m.method_id = x.member_id
),
mixed AS (
    SELECT
        j.* REPLACE (
            x.method_id AS method_id,
            -- Of a structure or an external id that several methods of a mixture have, the first one counts.
            coalesce(j.reason, CASE
                WHEN (j.structure_id IS NOT NULL AND x.place > first_value(x.place) OVER (
                    PARTITION BY x.method_id, j.structure_id ORDER BY (j.reason IS NULL) DESC, x.place
                )) OR (j.entry_id IS NOT NULL AND x.place > first_value(x.place) OVER (
                    PARTITION BY x.method_id, j.entry_id, j.formula ORDER BY (j.reason IS NULL) DESC, x.place
                )) THEN 'another method of the mixture counts'
            END) AS reason
        ),
        x.method,
        x.energy_method
    FROM judged AS j
    JOIN member AS x ON x.member_id = j.method_id
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
    SELECT j.*, m.method, m.method AS energy_method FROM judged AS j JOIN method AS m USING (method_id)
    UNION ALL
    FROM mixed
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
