-- What somebody took out of hulls, rankings, reports and exports, one row for each structure or result, and why.
CREATE OR REPLACE VIEW excluded AS
SELECT
    coalesce(s.formula, e.formula) AS formula,
    h.kind,
    h.item,
    h.why,
    h.user_name,
    h.excluded_at,
    f.path,
    f.member,
    f.block,
    x.structure_id,
    x.result_id,
    m.method,
    h.host,
    h.exclusion_id
FROM exclusion_reach AS x
JOIN exclusion AS h USING (exclusion_id)
LEFT JOIN result AS r ON r.result_id = x.result_id
LEFT JOIN method AS m USING (method_id)
LEFT JOIN structure AS s ON s.structure_id = coalesce(x.structure_id, r.structure_id)
LEFT JOIN entry AS e ON e.result_id = x.result_id
LEFT JOIN (
    SELECT structure_id, path, member, block
    FROM source
    WHERE structure_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY current DESC, source_id) = 1
) AS f ON f.structure_id = coalesce(x.structure_id, r.structure_id)
ORDER BY h.excluded_at, formula, x.structure_id, x.result_id;
COMMENT ON VIEW excluded IS 'What somebody took out of hulls, rankings, reports and exports (mlmat exclude), and why';
COMMENT ON COLUMN excluded.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN excluded.kind IS 'What was named: structure, result or source';
COMMENT ON COLUMN excluded.item IS 'What was named: an id, or a file, folder, member (ARCHIVE!MEMBER) or pattern';
COMMENT ON COLUMN excluded.why IS 'Why, as it was given';
COMMENT ON COLUMN excluded.user_name IS 'Who excluded it';
COMMENT ON COLUMN excluded.host IS 'Host that it was done on';
COMMENT ON COLUMN excluded.excluded_at IS 'When';
COMMENT ON COLUMN excluded.path IS 'File that gave the structure';
COMMENT ON COLUMN excluded.structure_id IS 'The structure, of which no result counts; NULL where it is one result';
COMMENT ON COLUMN excluded.result_id IS 'The result; NULL where it is a structure with all its results';
COMMENT ON COLUMN excluded.method IS 'Method of the result; NULL where it is a structure with all its results';
COMMENT ON COLUMN excluded.exclusion_id IS 'The latest exclusion that reaches it';
