-- What may compete in a hull: every current ok result with an energy and a composition, by any method. An entry that
-- names its composition itself is taken at its word; else the composition is that of the structure. A mixture of methods,
-- where somebody asked for one, is a method here with the results of all of them.
CREATE OR REPLACE VIEW phase AS
WITH asked AS (
    SELECT method_id AS energy_method_id, method_id, method, NULL AS mixed_scheme, 0 AS place FROM method
    UNION ALL
    SELECT member_id, method_id, method, CASE WHEN different_schemes THEN 'different schemes' END, place FROM mixture
),
valued AS NOT MATERIALIZED (
    SELECT
        v.* REPLACE (x.method_id AS method_id, x.method AS method, coalesce(x.mixed_scheme, v.scheme) AS scheme),
        v.method_id AS energy_method_id,
        v.method AS energy_method,
        x.place
    FROM energies AS v
    JOIN asked AS x ON x.energy_method_id = v.method_id
),
floor AS MATERIALIZED (FROM reference_floor),
-- In two parts, with plain columns in both: a filter on them then reaches the tables.
composed AS NOT MATERIALIZED (
    SELECT
        v.*,
        s.elements,
        list_transform(s.elements_ratios, lambda x: round(x * s.nsites)) AS amounts,
        s.nsites::DOUBLE AS nsites,
        s.formula,
        s.chemical_formula_reduced,
        s.chemical_system,
        list_sum(s.dimension_types::INTEGER[]) AS periods,
        s.charge,
        NULL AS entry_id
    FROM valued AS v
    JOIN structure AS s USING (structure_id)
    ANTI JOIN entry USING (result_id)
    UNION ALL
    SELECT
        v.*, e.elements, e.amounts, e.nsites, e.formula, e.chemical_formula_reduced, e.chemical_system, s.periods,
        s.charge, v.external_id
    FROM valued AS v
    JOIN entry AS e USING (result_id)
    -- Summed below the join: DuckDB 2.0.0 takes what an outer join leaves of an array for a list of any length.
    LEFT JOIN (
        SELECT structure_id, list_sum(dimension_types::INTEGER[]) AS periods, charge FROM structure
    ) AS s USING (structure_id)
),
doubted AS NOT MATERIALIZED (
    SELECT
        c.* REPLACE (
            coalesce(
                c.suspect,
                list_filter(c.unfit, lambda x: list_contains(c.elements, x.element))[1].reason,
                CASE WHEN c.energy / c.nsites < f.energy_per_atom - f.tolerance THEN
                    printf(
                        '%.3f eV/atom below the lowest crystal of %s that ships with mlmat: more than %.2f eV/atom',
                        f.energy_per_atom - c.energy / c.nsites, f.element, f.tolerance
                    )
                END
            ) AS suspect
        )
    FROM composed AS c
    LEFT JOIN floor AS f ON f.method_id = c.energy_method_id AND f.element = c.chemical_system
),
judged AS NOT MATERIALIZED (
    SELECT
        *,
        CASE
            WHEN excluded IS NOT NULL THEN excluded
            WHEN suspect IS NOT NULL THEN 'suspect: ' || suspect
            WHEN uncorrected IS NOT NULL THEN uncorrected
            WHEN NOT isfinite(energy) THEN 'energy is not a number'
            WHEN converged IS FALSE THEN 'relaxation not converged'
            WHEN charge <> 0 THEN 'charged: no energy of formation from neutral elements'
            WHEN periods < 3 THEN 'not periodic in three directions'
        END AS reason
    FROM doubted
)
SELECT
    result_id,
    structure_id,
    external_id,
    method_id,
    method,
    scheme,
    formula,
    chemical_formula_reduced,
    chemical_system,
    elements,
    amounts,
    nsites,
    energy,
    correction,
    energy / nsites AS energy_per_atom,
    energy_method,
    converged,
    reason IS NULL AS competes,
    reason,
    suspect,
    excluded IS NOT NULL AS excluded
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
COMMENT ON COLUMN phase.scheme IS 'Energy scheme of the energy; NULL: not known; different schemes: a mixture that was insisted on';
COMMENT ON COLUMN phase.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN phase.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN phase.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN phase.amounts IS 'Atoms of each element in the cell, in the order of elements';
COMMENT ON COLUMN phase.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN phase.energy IS 'Total energy of the cell in eV, with its correction';
COMMENT ON COLUMN phase.correction IS 'Part of energy that is a correction, in eV per cell; NULL where there is none';
COMMENT ON COLUMN phase.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN phase.energy_method IS 'Method of the energy: another one than method in a mixture only (mlmat mix)';
COMMENT ON COLUMN phase.competes IS 'Whether it takes part in hulls, as far as the phase itself tells; formation_energy has the last word';
COMMENT ON COLUMN phase.reason IS 'Why it does not';
COMMENT ON COLUMN phase.suspect IS 'Why its energy is not believed; NULL where nothing speaks against it';
COMMENT ON COLUMN phase.excluded IS 'Whether somebody took it out (mlmat exclude)';
