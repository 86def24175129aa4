-- Blocks that describe a structure some other block gave first.
CREATE OR REPLACE VIEW duplicates AS
SELECT
    s.formula,
    d.path,
    d.member,
    d.block,
    o.path AS first_path,
    o.member AS first_member,
    o.block AS first_block,
    d.file_sha256 = o.file_sha256 AS same_file_content,
    d.structure_id
FROM source AS d
JOIN structure AS s USING (structure_id)
LEFT JOIN (
    SELECT structure_id, path, member, block, file_sha256
    FROM source
    WHERE outcome = 'stored' AND current
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY source_id) = 1
) AS o USING (structure_id)
WHERE d.outcome = 'duplicate' AND d.current
ORDER BY formula, d.path, d.block_index;
COMMENT ON VIEW duplicates IS 'Blocks that describe a structure that another block gave first';
COMMENT ON COLUMN duplicates.path IS 'File of the duplicate';
COMMENT ON COLUMN duplicates.first_path IS 'File that gave the structure';
COMMENT ON COLUMN duplicates.same_file_content IS 'Whether both files are equal byte for byte';
COMMENT ON COLUMN duplicates.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN duplicates.first_member IS 'Member, when that file is an archive';
COMMENT ON COLUMN duplicates.first_block IS 'Data block that gave the structure';
