-- Pairs of methods over the structures that both have computed. Energies per atom are compared as they are: methods
-- with other references differ by a constant per element, which mean_difference shows.
CREATE OR REPLACE VIEW method_comparison AS
WITH ok AS (
    SELECT r.structure_id, r.method_id, m.method, r.energy / s.nsites AS e
    FROM current_result AS r
    JOIN structure AS s USING (structure_id)
    JOIN method AS m USING (method_id)
    WHERE r.status = 'ok' AND r.energy IS NOT NULL AND r.converged IS NOT FALSE
    -- A file may bring several results of one structure: the latest counts here.
    QUALIFY row_number() OVER (
        PARTITION BY r.structure_id, r.method_id
        ORDER BY r.run_id DESC NULLS LAST, r.finished_at DESC, r.result_id DESC
    ) = 1
),
pair AS (
    SELECT
        a.method AS method_a, b.method AS method_b,
        a.method_id AS method_id_a, b.method_id AS method_id_b,
        a.e AS x, b.e AS y
    FROM ok AS a
    JOIN ok AS b USING (structure_id)
    WHERE a.method_id < b.method_id
),
ranked AS (
    -- Spearman's rho is Pearson's r of the ranks, ties sharing their mean rank.
    SELECT
        *,
        rank() OVER (PARTITION BY method_id_a, method_id_b ORDER BY x)
        + (count(*) OVER (PARTITION BY method_id_a, method_id_b, x) - 1) / 2.0 AS rx,
        rank() OVER (PARTITION BY method_id_a, method_id_b ORDER BY y)
        + (count(*) OVER (PARTITION BY method_id_a, method_id_b, y) - 1) / 2.0 AS ry
    FROM pair
)
SELECT
    method_a,
    method_b,
    count(*) AS structures,
    avg(y - x) AS mean_difference,
    avg(abs(y - x)) AS mae,
    sqrt(avg((y - x) ** 2)) AS rmse,
    CASE WHEN count(DISTINCT rx) > 1 AND count(DISTINCT ry) > 1 THEN corr(rx, ry) END AS spearman,
    method_id_a,
    method_id_b
FROM ranked
GROUP BY method_a, method_b, method_id_a, method_id_b
ORDER BY method_a, method_b;
COMMENT ON VIEW method_comparison IS 'Energies per atom of pairs of methods on the structures that both have';
COMMENT ON COLUMN method_comparison.structures IS 'Structures with a converged result by both';
COMMENT ON COLUMN method_comparison.mean_difference IS 'Mean of b minus a, in eV/atom';
COMMENT ON COLUMN method_comparison.mae IS 'Mean absolute difference in eV/atom';
COMMENT ON COLUMN method_comparison.rmse IS 'Root mean square difference in eV/atom';
COMMENT ON COLUMN method_comparison.spearman IS 'Spearman rank correlation; NULL where a ranking has one value only';
COMMENT ON COLUMN method_comparison.method_a IS 'One method';
COMMENT ON COLUMN method_comparison.method_b IS 'The other method';
COMMENT ON COLUMN method_comparison.method_id_a IS 'Id of method_a';
COMMENT ON COLUMN method_comparison.method_id_b IS 'Id of method_b';
