-- Key-value pairs that files gave beside their structures, one a row: of ase.db rows, table columns, extended XYZ, …
CREATE OR REPLACE VIEW key_value AS
SELECT
    p.structure_id,
    s.formula,
    p.chemical_formula,
    p.entry.key AS key,
    p.entry.value AS text,
    try_cast(p.entry.value AS DOUBLE) AS number,
    p.outcome,
    p.path,
    p.member,
    p.block
FROM (
    SELECT structure_id, chemical_formula, outcome, path, member, block, unnest(map_entries(key_values)) AS entry
    FROM source
    WHERE current AND key_values IS NOT NULL
) AS p
LEFT JOIN structure AS s USING (structure_id)
ORDER BY key, s.formula, p.path, p.member, p.block;
COMMENT ON VIEW key_value IS 'Key-value pairs that files gave beside their structures, one a row';
COMMENT ON COLUMN key_value.formula IS 'Reduced formula, elements in order of electronegativity; NULL where there is no ordered structure';
COMMENT ON COLUMN key_value.chemical_formula IS 'Formula of the sites in the cell, elements in alphabetical order';
COMMENT ON COLUMN key_value.key IS 'Key: a column of a table, a key of an ase.db row, …';
COMMENT ON COLUMN key_value.text IS 'Value as text';
COMMENT ON COLUMN key_value.number IS 'Value as a number, where it is one, in the unit of the file';
COMMENT ON COLUMN key_value.path IS 'File that says so';
