-- Ranks compare structures of one reduced formula and one method only. Unconverged relaxations are not ranked:
-- their rank is NULL and the reason says so. Space group and volume are those of the structure that the energy belongs
-- to: the relaxed one, where there is one.
CREATE OR REPLACE VIEW ranking AS
WITH ranked AS (
    -- Only what ranks need is sorted; names, space groups and volumes are looked up for the rows that a filter leaves.
    SELECT
        s.chemical_formula_reduced AS formula,
        CASE WHEN r.reason IS NULL THEN rank() OVER of_formula END AS rank,
        s.nsites,
        r.energy / s.nsites AS energy_per_atom,
        r.energy / s.nsites - first_value(CASE WHEN r.reason IS NULL THEN r.energy / s.nsites END) OVER of_formula
            AS energy_above_best,
        r.converged,
        r.reason,
        s.structure_id,
        s.chemical_system,
        r.method_id,
        r.result_id
    FROM (
        SELECT *, CASE WHEN converged IS FALSE THEN 'relaxation not converged' END AS reason
        FROM current_result
        WHERE status = 'ok' AND energy IS NOT NULL
    ) AS r
    JOIN structure AS s USING (structure_id)
    -- One order for both: those that are ranked come first, so that the first one is the best.
    WINDOW of_formula AS (
        -- A formula is of one system: with it here, a filter on it reaches the table.
        PARTITION BY r.method_id, s.chemical_formula_reduced, s.chemical_system
        ORDER BY r.reason NULLS FIRST, r.energy / s.nsites
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
    r.structure_id,
    p.structure_id AS relaxed_id,
    f.space_group_it_number,
    r.chemical_system,
    r.method_id,
    r.result_id
FROM ranked AS r
JOIN method AS m USING (method_id)
LEFT JOIN (SELECT result_id, structure_id FROM produced WHERE role = 'relaxed') AS p ON p.result_id = r.result_id
JOIN structure AS f ON f.structure_id = coalesce(p.structure_id, r.structure_id)
ORDER BY r.formula, m.method, r.rank NULLS LAST, r.structure_id;
COMMENT ON VIEW ranking IS 'Lowest energy per atom first among structures of one formula, per method';
COMMENT ON COLUMN ranking.formula IS 'Reduced formula';
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
COMMENT ON COLUMN ranking.structure_id IS 'The structure handed in';
COMMENT ON COLUMN ranking.method_id IS 'The method';
COMMENT ON COLUMN ranking.relaxed_id IS 'The relaxed structure, which the energy belongs to; NULL for single points';
