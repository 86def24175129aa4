-- What exclusions reach, one row for each structure or result that counts nowhere. An excluded source takes along what no
-- other current file gives; an excluded structure or result takes along what runners made of it alone.
CREATE OR REPLACE VIEW exclusions AS
WITH RECURSIVE held AS (
    SELECT
        exclusion_id, kind, item, try_cast(item AS UUID) AS id,
        -- A file, a folder or a member (ARCHIVE!MEMBER), or a pattern with * and ?.
        CASE WHEN regexp_matches(item, '[*?]') THEN
            replace(replace(regexp_replace(item, '([\\%_])', '\\\1', 'g'), '*', '%'), '?', '_') END AS pattern
    FROM exclusion
    WHERE included_at IS NULL
),
block AS (
    SELECT s.source_id, s.structure_id, h.exclusion_id
    FROM source AS s
    JOIN (FROM held WHERE kind = 'source') AS h
        ON s.path = h.item OR starts_with(s.path, h.item || '/') OR s.path || '!' || s.member = h.item
        OR s.path LIKE h.pattern ESCAPE '\' OR s.source_id = h.id
),
line AS (
    SELECT i.rowid AS line, i.result_id, i.structure_id, h.exclusion_id
    FROM import_row AS i
    JOIN (FROM held WHERE kind = 'source') AS h
        ON i.path = h.item OR starts_with(i.path, h.item || '/') OR i.path LIKE h.pattern ESCAPE '\'
),
named AS (
    SELECT item AS structure_id, exclusion_id, true AS asked FROM held WHERE kind = 'structure'
    UNION ALL
    SELECT structure_id, exclusion_id, false
    FROM (FROM block UNION ALL BY NAME SELECT structure_id, exclusion_id FROM line)
    WHERE structure_id IS NOT NULL
),
named_result AS (
    SELECT id AS result_id, exclusion_id FROM held WHERE kind = 'result'
    UNION ALL
    SELECT r.result_id, b.exclusion_id FROM result AS r JOIN block AS b USING (source_id)
    UNION ALL
    SELECT result_id, exclusion_id FROM line WHERE result_id NOT IN (
        SELECT o.result_id FROM import_row AS o SEMI JOIN line AS l USING (result_id)
        ANTI JOIN line AS same ON same.line = o.rowid WHERE o.current
    )
),
-- All that may come of these.
reach AS (
    SELECT structure_id FROM named
    UNION
    SELECT p.structure_id FROM produced AS p JOIN named_result USING (result_id)
    UNION
    SELECT p.structure_id FROM produced AS p JOIN reach AS r ON r.structure_id = p.parent_id
),
-- What else gives them: files that are not excluded. Small tables first: the large ones are only looked through.
given AS (
    SELECT structure_id FROM (SELECT * FROM source SEMI JOIN reach USING (structure_id) WHERE current)
    ANTI JOIN block USING (source_id)
    UNION ALL
    SELECT structure_id
    FROM (SELECT structure_id, rowid AS line FROM import_row SEMI JOIN reach USING (structure_id) WHERE current)
    ANTI JOIN line USING (line)
),
edge AS (
    SELECT p.* FROM produced AS p SEMI JOIN reach USING (structure_id) WHERE p.structure_id <> p.parent_id
),
root AS (
    SELECT structure_id, exclusion_id FROM named WHERE asked OR structure_id NOT IN (FROM given)
),
made AS (
    SELECT structure_id, exclusion_id FROM root
    UNION
    SELECT e.structure_id, r.exclusion_id
    FROM edge AS e
    JOIN named_result AS r USING (result_id)
    WHERE e.structure_id NOT IN (FROM given)
    UNION
    SELECT e.structure_id, m.exclusion_id
    FROM edge AS e
    JOIN made AS m ON m.structure_id = e.parent_id
    WHERE e.structure_id NOT IN (FROM given)
),
-- Of these, what a runner also made of something that counts.
kept AS (
    SELECT structure_id
    FROM edge
    SEMI JOIN made USING (structure_id)
    ANTI JOIN root USING (structure_id)
    ANTI JOIN made AS m ON m.structure_id = edge.parent_id
    ANTI JOIN named_result USING (result_id)
    UNION
    SELECT e.structure_id
    FROM edge AS e
    JOIN kept AS k ON k.structure_id = e.parent_id
    ANTI JOIN root ON root.structure_id = e.structure_id
)
SELECT structure_id, NULL::UUID AS result_id, max(exclusion_id) AS exclusion_id
FROM made
ANTI JOIN kept USING (structure_id)
GROUP BY structure_id
UNION ALL
SELECT NULL, result_id, max(exclusion_id)
FROM (
    FROM named_result
    UNION ALL BY NAME
    -- The energy of a relaxation is that of the relaxed structure.
    SELECT p.result_id, n.exclusion_id FROM root AS n JOIN produced AS p USING (structure_id) WHERE p.role = 'relaxed'
)
WHERE result_id IS NOT NULL
GROUP BY result_id;
COMMENT ON VIEW exclusions IS 'What table exclusion_reach is made of: structures and results that count nowhere, because of which exclusion';
COMMENT ON COLUMN exclusions.structure_id IS 'The structure, of which no result counts; NULL where it is one result';
COMMENT ON COLUMN exclusions.result_id IS 'The result; NULL where it is a structure with all its results';
COMMENT ON COLUMN exclusions.exclusion_id IS 'The latest exclusion that reaches it';
