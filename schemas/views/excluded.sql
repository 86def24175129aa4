-- What somebody took out of hulls, rankings, reports and exports, with the file that gave the structure.
CREATE OR REPLACE VIEW excluded AS
SELECT
    coalesce(s.formula, e.formula) AS formula,
    l.kind,
    l.why,
    l.user_name,
    l.excluded_at,
    f.path,
    f.member,
    f.block,
    l.structure_id,
    l.result_id,
    l.host,
    l.exclusion_id
FROM taken_out AS l
LEFT JOIN result AS r ON r.result_id = l.result_id
LEFT JOIN structure AS s ON s.structure_id = coalesce(l.structure_id, r.structure_id)
LEFT JOIN entry AS e ON e.result_id = l.result_id
LEFT JOIN (
    SELECT structure_id, path, member, block
    FROM source
    WHERE current AND structure_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY source_id) = 1
) AS f ON f.structure_id = coalesce(l.structure_id, r.structure_id)
ORDER BY l.excluded_at, formula, l.structure_id, l.result_id;
COMMENT ON VIEW excluded IS 'What somebody took out of hulls, rankings, reports and exports (mlmat exclude), and why';
COMMENT ON COLUMN excluded.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN excluded.kind IS 'What was named: structure, result or source';
COMMENT ON COLUMN excluded.why IS 'Why, as it was given';
COMMENT ON COLUMN excluded.user_name IS 'Who excluded it';
COMMENT ON COLUMN excluded.host IS 'Host that it was done on';
COMMENT ON COLUMN excluded.excluded_at IS 'When';
COMMENT ON COLUMN excluded.path IS 'File that gave the structure';
COMMENT ON COLUMN excluded.structure_id IS 'The structure, of which no result counts; NULL where one result was named';
COMMENT ON COLUMN excluded.result_id IS 'The result; NULL where all of the structure are excluded';
COMMENT ON COLUMN excluded.exclusion_id IS 'Id of the exclusion';
