-- One row for each result: where the structure came from, and who computed it, where, when and with what.
-- What came with a file has that file; a structure that a runner returned has the file of the structure it was relaxed from, through any number of generations.
CREATE OR REPLACE VIEW provenance AS
WITH RECURSIVE origin AS (
    SELECT structure_id, path, member, block, parser, file_sha256
    FROM source
    WHERE structure_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY current DESC, source_id) = 1
),
parent AS (
    SELECT structure_id, parent_id
    FROM produced
    WHERE parent_id <> structure_id
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY result_id) = 1
),
line AS (
    SELECT structure_id, parent_id AS ancestor_id, 1 AS generation
    FROM parent
    WHERE structure_id NOT IN (SELECT structure_id FROM origin)
    UNION ALL
    SELECT line.structure_id, parent.parent_id, generation + 1
    FROM line
    JOIN parent ON parent.structure_id = line.ancestor_id
    -- Two structures may each have been relaxed to the other: a bound ends that circle.
    WHERE generation < 20 AND line.ancestor_id NOT IN (SELECT structure_id FROM origin)
),
ancestor AS (
    SELECT line.structure_id, origin.* EXCLUDE (structure_id)
    FROM line
    JOIN origin ON origin.structure_id = line.ancestor_id
),
imported AS (
    -- Several files may say the same.
    SELECT result_id, path, place, parser, file_sha256
    FROM import_row
    WHERE result_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY result_id ORDER BY current DESC, run_id) = 1
)
SELECT
    r.structure_id,
    coalesce(s.formula, e.formula) AS formula,
    r.status,
    r.energy,
    m.method,
    m.model_name,
    m.model_sha256,
    m.dtype,
    m.runner,
    m.runner_version,
    coalesce(own.path, i.path, a.path, b.path) AS path,
    CASE WHEN i.path IS NULL THEN coalesce(own.member, a.member, b.member) END AS member,
    CASE WHEN i.path IS NULL THEN coalesce(own.block, a.block, b.block) ELSE i.place END AS block,
    coalesce(own.parser, i.parser, a.parser, b.parser) AS parser,
    coalesce(own.file_sha256, i.file_sha256, a.file_sha256, b.file_sha256) AS file_sha256,
    CASE WHEN own.path IS NULL AND a.path IS NULL AND i.path IS NULL THEN parent.parent_id END AS parent_id,
    u.started_at AS run_started_at,
    u.user_name,
    u.arguments AS command,
    u.mlmat_version,
    u.python_version,
    u.versions,
    u.parsl_config,
    r.host,
    r.pid,
    r.attempt,
    r.seconds,
    r.finished_at,
    r.superseded,
    r.external_id,
    r.result_id,
    r.run_id,
    r.method_id
FROM result AS r
LEFT JOIN structure AS s USING (structure_id)
LEFT JOIN method AS m USING (method_id)
LEFT JOIN run AS u USING (run_id)
LEFT JOIN entry AS e USING (result_id)
LEFT JOIN imported AS i USING (result_id)
LEFT JOIN source AS own ON own.source_id = r.source_id
LEFT JOIN origin AS a ON a.structure_id = r.structure_id AND r.source_id IS NULL
LEFT JOIN parent ON parent.structure_id = r.structure_id
LEFT JOIN ancestor AS b ON b.structure_id = r.structure_id
ORDER BY r.result_id;
COMMENT ON VIEW provenance IS 'One row for each result: file, block, parser, run, versions, weights, host, seconds';
COMMENT ON COLUMN provenance.energy IS 'Total energy of the cell in eV';
COMMENT ON COLUMN provenance.path IS 'File that the result came with; else that the structure, or the structure it was relaxed from, came from';
COMMENT ON COLUMN provenance.parent_id IS 'The structure it was relaxed from, when no file gave it';
COMMENT ON COLUMN provenance.seconds IS 'Wall time in s; in a batch, its share of the batch';
COMMENT ON COLUMN provenance.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN provenance.run_started_at IS 'Start of the run';
