-- Structures whose current result is a failure: what to look at before `screen --retry-failed`.
CREATE OR REPLACE VIEW failures AS
SELECT
    s.formula,
    r.error_class,
    r.error_message,
    f.path,
    f.member,
    f.block,
    s.nsites,
    r.attempt,
    r.host,
    r.seconds,
    r.finished_at,
    r.workdir,
    m.method,
    r.structure_id,
    r.method_id,
    r.result_id
FROM current_result AS r
LEFT JOIN structure AS s USING (structure_id)
JOIN method AS m USING (method_id)
LEFT JOIN first_source AS f ON f.structure_id = r.structure_id
WHERE r.status = 'failed'
ORDER BY m.method, r.error_class, formula, r.structure_id;
COMMENT ON VIEW failures IS 'Structures whose current result is a failure';
COMMENT ON COLUMN failures.error_class IS 'Class of the error';
COMMENT ON COLUMN failures.error_message IS 'Message of the error; the traceback is in result and in mlmat show ID';
COMMENT ON COLUMN failures.path IS 'File that the structure came from, the oldest of several; NULL for what a runner returned';
COMMENT ON COLUMN failures.member IS 'Member of the archive or table';
COMMENT ON COLUMN failures.block IS 'Block of the file';
COMMENT ON COLUMN failures.seconds IS 'Wall time in s';
COMMENT ON COLUMN failures.workdir IS 'Scratch directory that was kept';
COMMENT ON COLUMN failures.formula IS 'Reduced formula, elements in order of electronegativity';
