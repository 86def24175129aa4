-- The result that counts for each structure (and external id) and method: the latest ok one, else the latest failure.
-- What came with a file counts while the file has it; what was imported, until its id gets another one.
CREATE OR REPLACE VIEW current_result AS
SELECT * EXCLUDE (place)
FROM (
    SELECT
        *,
        row_number() OVER (
            -- Plain columns first: a filter on them then reaches the table.
            PARTITION BY
                method_id,
                structure_id,
                external_id,
                CASE WHEN structure_id IS NULL AND external_id IS NULL THEN result_id END
            -- The driver's stamp on the run comes before the clocks of the workers.
            ORDER BY status = 'ok' DESC, run_id DESC NULLS LAST, finished_at DESC, result_id DESC
        ) AS place
    FROM result
    -- Those that do not count any more are few, and a filter passes these joins on its way to the table.
    ANTI JOIN (SELECT source_id FROM source WHERE NOT current) AS gone USING (source_id)
    ANTI JOIN (
        SELECT result_id FROM import_row WHERE result_id IS NOT NULL GROUP BY result_id HAVING NOT bool_or(current)
    ) AS replaced USING (result_id)
)
WHERE place = 1;
COMMENT ON VIEW current_result IS 'The result that counts for each structure and method: the latest ok one, else the latest failure';
