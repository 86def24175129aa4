-- Pairs of methods over what both have computed. Imported results are paired by their external id, all others by their
-- structure; of several results of one structure by one method the lowest counts. Energies per atom are compared as they
-- are: methods with other references differ by a constant per element, which mean_difference shows. Energies of formation
-- and above the hull are each relative to the references and the hull of their own method.
CREATE OR REPLACE VIEW method_comparison AS
WITH ok AS (
    SELECT
        result_id, structure_id, external_id, formula, method_id, method,
        energy_per_atom, formation_energy_per_atom, e_above_hull
    FROM hull
    WHERE converged IS NOT FALSE AND isfinite(energy_per_atom) AND method = energy_method
        AND suspect IS NULL AND NOT excluded
),
named AS (
    SELECT a.result_id AS result_id_a, b.result_id AS result_id_b, a.method_id AS method_id_a, b.method_id AS method_id_b
    FROM (FROM ok SEMI JOIN entry USING (result_id)) AS a
    JOIN (FROM ok SEMI JOIN entry USING (result_id)) AS b USING (external_id, formula)
    WHERE a.method_id < b.method_id
),
lowest AS (
    SELECT *
    FROM ok
    WHERE structure_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id, method_id ORDER BY energy_per_atom, result_id) = 1
),
alike AS (
    SELECT a.result_id AS result_id_a, b.result_id AS result_id_b, a.method_id AS method_id_a, b.method_id AS method_id_b
    FROM lowest AS a
    JOIN lowest AS b USING (structure_id)
    WHERE a.method_id < b.method_id
),
paired AS (
    FROM named
    UNION ALL
    FROM alike
    ANTI JOIN named USING (method_id_a, result_id_a, method_id_b)
    ANTI JOIN named USING (method_id_b, result_id_b, method_id_a)
),
pair AS (
    SELECT
        a.method AS method_a, b.method AS method_b, p.method_id_a, p.method_id_b,
        unnest([
            {'quantity': 'energy', 'x': a.energy_per_atom, 'y': b.energy_per_atom},
            {'quantity': 'formation', 'x': a.formation_energy_per_atom, 'y': b.formation_energy_per_atom},
            {'quantity': 'hull', 'x': a.e_above_hull, 'y': b.e_above_hull}
        ], recursive := true)
    FROM paired AS p
    -- A derived method has the result ids of its raw one.
    JOIN ok AS a ON a.result_id = p.result_id_a AND a.method_id = p.method_id_a
    JOIN ok AS b ON b.result_id = p.result_id_b AND b.method_id = p.method_id_b
),
ranked AS (
    -- Spearman's rho is Pearson's r of the ranks, ties sharing their mean rank.
    SELECT
        *,
        rank() OVER (PARTITION BY method_id_a, method_id_b, quantity ORDER BY x)
        + (count(*) OVER (PARTITION BY method_id_a, method_id_b, quantity, x) - 1) / 2.0 AS rx,
        rank() OVER (PARTITION BY method_id_a, method_id_b, quantity ORDER BY y)
        + (count(*) OVER (PARTITION BY method_id_a, method_id_b, quantity, y) - 1) / 2.0 AS ry
    FROM pair
    WHERE x IS NOT NULL AND y IS NOT NULL
),
measured AS (
    SELECT
        method_a, method_b, method_id_a, method_id_b, quantity,
        count(*) AS structures,
        avg(y - x) AS mean_difference,
        avg(abs(y - x)) AS mae,
        sqrt(avg((y - x) ** 2)) AS rmse,
        CASE WHEN count(DISTINCT rx) > 1 AND count(DISTINCT ry) > 1 THEN corr(rx, ry) END AS spearman
    FROM ranked
    GROUP BY method_a, method_b, method_id_a, method_id_b, quantity
)
SELECT
    e.method_a,
    e.method_b,
    e.structures,
    e.mean_difference,
    e.mae,
    e.rmse,
    e.spearman,
    coalesce(f.structures, 0) AS formation_structures,
    f.mae AS formation_mae,
    f.rmse AS formation_rmse,
    f.spearman AS formation_spearman,
    coalesce(h.structures, 0) AS hull_structures,
    h.mae AS hull_mae,
    h.rmse AS hull_rmse,
    h.spearman AS hull_spearman,
    e.method_id_a,
    e.method_id_b
FROM (FROM measured WHERE quantity = 'energy') AS e
LEFT JOIN (FROM measured WHERE quantity = 'formation') AS f USING (method_id_a, method_id_b)
LEFT JOIN (FROM measured WHERE quantity = 'hull') AS h USING (method_id_a, method_id_b)
ORDER BY e.method_a, e.method_b;
COMMENT ON VIEW method_comparison IS 'Pairs of methods on what both have computed: energies per atom, of formation and above the hull';
COMMENT ON COLUMN method_comparison.structures IS 'Structures, or imported results of one external id, with a converged result by both';
COMMENT ON COLUMN method_comparison.mean_difference IS 'Mean of b minus a of the energies per atom, in eV/atom';
COMMENT ON COLUMN method_comparison.mae IS 'Mean absolute difference of the energies per atom in eV/atom';
COMMENT ON COLUMN method_comparison.rmse IS 'Root mean square difference of the energies per atom in eV/atom';
COMMENT ON COLUMN method_comparison.spearman IS 'Spearman rank correlation of the energies per atom; NULL where a ranking has one value only';
COMMENT ON COLUMN method_comparison.formation_structures IS 'Those of them with an energy of formation by both';
COMMENT ON COLUMN method_comparison.formation_mae IS 'Mean absolute difference of the energies of formation in eV/atom';
COMMENT ON COLUMN method_comparison.formation_rmse IS 'Root mean square difference of the energies of formation in eV/atom';
COMMENT ON COLUMN method_comparison.formation_spearman IS 'Spearman rank correlation of the energies of formation';
COMMENT ON COLUMN method_comparison.hull_structures IS 'Those of them with an energy above hull by both';
COMMENT ON COLUMN method_comparison.hull_mae IS 'Mean absolute difference of the energies above hull in eV/atom';
COMMENT ON COLUMN method_comparison.hull_rmse IS 'Root mean square difference of the energies above hull in eV/atom';
COMMENT ON COLUMN method_comparison.hull_spearman IS 'Spearman rank correlation of the energies above hull';
COMMENT ON COLUMN method_comparison.method_a IS 'One method';
COMMENT ON COLUMN method_comparison.method_b IS 'The other method';
COMMENT ON COLUMN method_comparison.method_id_a IS 'Id of method_a';
COMMENT ON COLUMN method_comparison.method_id_b IS 'Id of method_b';
