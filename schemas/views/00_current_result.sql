-- The result that counts for each structure (and external id) and method: the latest ok one, else the latest failure.
-- What came with a file counts while the file has it; what was imported, until its id gets another one. What a later
-- version found to be wrong (superseded) counts no more.
CREATE OR REPLACE VIEW current_result AS
WITH gone AS (SELECT source_id FROM source WHERE NOT current),
replaced AS (
    SELECT result_id FROM import_row WHERE result_id IS NOT NULL GROUP BY result_id HAVING NOT bool_or(current)
)
-- Nearly all: the only result of this method. A filter passes these joins, whose right sides are small. NOT IN, because
-- an anti-join takes the results for the smaller side where filters are on them, and then collects them all.
SELECT r.*
FROM result AS r
ANTI JOIN repeated AS p ON p.method_id = r.method_id AND p.item = coalesce(r.structure_id, r.external_id)
WHERE (r.source_id IS NULL OR r.source_id NOT IN (FROM gone)) AND r.result_id NOT IN (FROM replaced)
    AND r.superseded IS NULL
UNION ALL
SELECT * EXCLUDE (place)
FROM (
    SELECT
        r.*,
        row_number() OVER (
            -- Plain columns first: a filter on them then reaches the table.
            PARTITION BY r.method_id, r.structure_id, r.external_id
            -- The driver's stamp on the run comes before the clocks of the workers.
            ORDER BY r.status = 'ok' DESC, r.run_id DESC NULLS LAST, r.finished_at DESC, r.result_id DESC
        ) AS place
    FROM result AS r
    SEMI JOIN repeated AS p ON p.method_id = r.method_id AND p.item = coalesce(r.structure_id, r.external_id)
    ANTI JOIN gone USING (source_id)
    ANTI JOIN replaced USING (result_id)
    WHERE r.superseded IS NULL
)
WHERE place = 1;
COMMENT ON VIEW current_result IS 'The result that counts for each structure and method: the latest ok one, else the latest failure';
