-- The result that counts for each structure (or external id) and method: the latest ok one, else the latest failure.
CREATE OR REPLACE VIEW current_result AS
SELECT * EXCLUDE (place)
FROM (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY method_id, coalesce(external_id, structure_id, result_id::VARCHAR)
            ORDER BY status = 'ok' DESC, finished_at DESC, result_id DESC
        ) AS place
    FROM result
)
WHERE place = 1;
COMMENT ON VIEW current_result IS 'The result that counts for each structure and method: the latest ok one, else the latest failure';
