-- Ranks compare structures of one reduced formula and one method only. What is unconverged, suspect or not corrected is
-- not ranked: its rank is NULL and the reason says so. Space group and volume are those of the structure that the energy
-- belongs to: the relaxed one, where there is one.
CREATE OR REPLACE VIEW ranking AS
WITH valued AS NOT MATERIALIZED (
    SELECT
        v.*,
        s.formula,
        s.chemical_formula_reduced,
        s.chemical_system,
        s.nsites,
        s.charge,
        v.energy / s.nsites AS energy_per_atom,
        coalesce(v.suspect, list_filter(v.unfit, lambda x: list_contains(s.elements, x.element))[1].reason,
            CASE WHEN v.energy / s.nsites < f.energy_per_atom - f.tolerance
                THEN 'far below the crystals of this element that ship with mlmat' END) AS doubt
    FROM energies AS v
    JOIN structure AS s USING (structure_id)
    LEFT JOIN reference_floor AS f ON f.method_id = v.method_id AND f.element = s.chemical_system
    WHERE v.excluded IS NULL
),
ranked AS (
    -- Only what ranks need is sorted; names, space groups and volumes are looked up for the rows that a filter leaves.
    SELECT
        r.formula,
        CASE WHEN r.reason IS NULL THEN rank() OVER of_formula END AS rank,
        r.nsites,
        r.energy_per_atom,
        r.energy_per_atom - first_value(CASE WHEN r.reason IS NULL THEN r.energy_per_atom END) OVER of_formula
            AS energy_above_best,
        r.converged,
        r.reason,
        r.structure_id,
        r.chemical_formula_reduced,
        r.chemical_system,
        r.method_id,
        r.result_id
    FROM (
        SELECT
            *,
            CASE
                WHEN doubt IS NOT NULL THEN 'suspect: ' || doubt
                WHEN energy IS NULL THEN uncorrected
                WHEN converged IS FALSE THEN 'relaxation not converged'
                WHEN charge <> 0 THEN 'charged: ranked by no formula'
            END AS reason
        FROM valued
    ) AS r
    -- One order for both: those that are ranked come first, so that the first one is the best.
    WINDOW of_formula AS (
        -- A formula is of one system: with all of them here, a filter on any reaches the table.
        PARTITION BY r.method_id, r.formula, r.chemical_formula_reduced, r.chemical_system
        ORDER BY r.reason NULLS FIRST, r.energy_per_atom
    )
)
SELECT
    r.formula,
    r.rank,
    f.space_group_symbol AS space_group,
    r.nsites,
    r.energy_per_atom,
    r.energy_above_best,
    f.volume / f.nsites AS volume_per_atom,
    r.converged,
    r.reason,
    m.method,
    m.scheme,
    r.structure_id,
    p.structure_id AS relaxed_id,
    f.space_group_it_number,
    r.chemical_formula_reduced,
    r.chemical_system,
    r.method_id,
    r.result_id
FROM ranked AS r
JOIN method AS m USING (method_id)
LEFT JOIN (SELECT result_id, structure_id FROM produced WHERE role = 'relaxed') AS p ON p.result_id = r.result_id
JOIN structure AS f ON f.structure_id = coalesce(p.structure_id, r.structure_id)
ORDER BY r.formula, m.method, r.rank NULLS LAST, r.structure_id;
COMMENT ON VIEW ranking IS 'Lowest energy per atom first among structures of one formula, per method';
COMMENT ON COLUMN ranking.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN ranking.rank IS '1 for the lowest energy per atom of this formula by this method; NULL when not ranked';
COMMENT ON COLUMN ranking.space_group IS 'Hermann-Mauguin symbol, of the relaxed structure where there is one';
COMMENT ON COLUMN ranking.space_group_it_number IS 'Number of that space group';
COMMENT ON COLUMN ranking.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN ranking.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN ranking.energy_above_best IS 'Energy per atom above the best of this formula, in eV';
COMMENT ON COLUMN ranking.volume_per_atom IS 'Volume per atom in Å³, of the relaxed structure where there is one';
COMMENT ON COLUMN ranking.converged IS 'Whether the relaxation converged; NULL for single points';
COMMENT ON COLUMN ranking.reason IS 'Why it is not ranked';
COMMENT ON COLUMN ranking.method IS 'Method';
COMMENT ON COLUMN ranking.scheme IS 'Energy scheme of the method; NULL: not known';
COMMENT ON COLUMN ranking.structure_id IS 'The structure handed in';
COMMENT ON COLUMN ranking.method_id IS 'The method';
COMMENT ON COLUMN ranking.relaxed_id IS 'The relaxed structure, which the energy belongs to; NULL for single points';
