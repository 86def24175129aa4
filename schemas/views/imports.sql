-- What became of each row of the files that were imported; the refused ones first.
CREATE OR REPLACE VIEW imports AS
SELECT
    i.outcome,
    i.reason,
    e.formula,
    i.chemical_formula,
    r.energy,
    r.correction,
    i.external_id,
    m.method,
    i.scheme,
    i.path,
    i.place,
    i.warnings,
    i.structure_id,
    i.result_id,
    i.method_id,
    i.run_id
FROM import_row AS i
-- Where nothing of a file was taken there is no method.
LEFT JOIN method AS m USING (method_id)
LEFT JOIN result AS r USING (result_id)
LEFT JOIN entry AS e USING (result_id)
WHERE i.current
ORDER BY i.outcome = 'imported', m.method, i.path, try_cast(regexp_extract(i.place, '\d+') AS BIGINT), i.external_id;
COMMENT ON VIEW imports IS 'What became of each row of the files that import-results read; the refused ones first';
COMMENT ON COLUMN imports.outcome IS 'imported; duplicate (the file says it twice) or refused';
COMMENT ON COLUMN imports.reason IS 'Why, when it is not imported';
COMMENT ON COLUMN imports.formula IS 'Reduced formula, elements in order of electronegativity; NULL for what was not imported';
COMMENT ON COLUMN imports.chemical_formula IS 'Formula of the cell, elements in alphabetical order; NULL where it could not be read';
COMMENT ON COLUMN imports.method IS 'The method that its result belongs to; NULL where nothing was taken under this name';
COMMENT ON COLUMN imports.scheme IS 'Energy scheme that the row says; NULL where it says none';
COMMENT ON COLUMN imports.path IS 'Absolute path of the file';
COMMENT ON COLUMN imports.place IS 'Line, row or entry of the file, from 1';
COMMENT ON COLUMN imports.warnings IS 'What was noticed and accepted';
COMMENT ON COLUMN imports.structure_id IS 'The structure that it is about, where it came with one';
COMMENT ON COLUMN imports.result_id IS 'The result that it became';
COMMENT ON COLUMN imports.run_id IS 'The latest import that met this row';
