-- What somebody took out of hulls, rankings, reports and exports: structures, and single results. An excluded source
-- takes those structures along that no other current block gave. Few rows, found without a look at what is large where
-- there are none.
CREATE OR REPLACE VIEW taken_out AS
WITH held AS (SELECT * FROM exclusion WHERE included_at IS NULL),
sources AS (
    SELECT h.*, s.source_id, s.structure_id
    FROM (SELECT *, try_cast(item AS UUID) AS source_id FROM held WHERE kind = 'source') AS h
    JOIN source AS s USING (source_id)
    WHERE s.structure_id IS NOT NULL
),
-- Structures that another block gives as well.
given AS (
    SELECT DISTINCT o.structure_id
    FROM source AS o
    SEMI JOIN sources USING (structure_id)
    ANTI JOIN sources AS h USING (source_id)
    WHERE o.current
)
SELECT structure_id, result_id, why, kind, user_name, host, excluded_at, exclusion_id
FROM (
    SELECT *, item AS structure_id, NULL::UUID AS result_id FROM held WHERE kind = 'structure'
    UNION ALL BY NAME
    SELECT *, NULL AS structure_id, try_cast(item AS UUID) AS result_id FROM held WHERE kind = 'result'
    UNION ALL BY NAME
    SELECT * EXCLUDE (source_id), NULL::UUID AS result_id FROM sources ANTI JOIN given USING (structure_id)
)
-- One reason for each, the latest.
QUALIFY row_number() OVER (PARTITION BY structure_id, result_id ORDER BY excluded_at DESC, exclusion_id DESC) = 1;
COMMENT ON VIEW taken_out IS 'Structures and results that somebody took out (mlmat exclude), and why; excluded shows them with their files';
COMMENT ON COLUMN taken_out.structure_id IS 'The structure, of which no result counts; NULL where one result was named';
COMMENT ON COLUMN taken_out.result_id IS 'The result; NULL where all of the structure are excluded';
COMMENT ON COLUMN taken_out.why IS 'Why, as it was given';
COMMENT ON COLUMN taken_out.kind IS 'What was named: structure, result or source';
COMMENT ON COLUMN taken_out.user_name IS 'Who excluded it';
COMMENT ON COLUMN taken_out.host IS 'Host that it was done on';
COMMENT ON COLUMN taken_out.excluded_at IS 'When';
COMMENT ON COLUMN taken_out.exclusion_id IS 'Id of the exclusion';
