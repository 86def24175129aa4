-- The file of each structure: of its current blocks the oldest, though others may have the same structure.
CREATE OR REPLACE VIEW first_source AS
SELECT
    structure_id,
    first.path AS path,
    first.member AS member,
    first.block AS block
FROM (
    -- A structure is a group: a filter on structures reaches the table.
    SELECT structure_id, arg_min({'path': path, 'member': member, 'block': block}, source_id) AS first
    FROM source
    WHERE current AND structure_id IS NOT NULL
    GROUP BY structure_id
);
COMMENT ON VIEW first_source IS 'The file of each structure: the oldest of its current blocks';
COMMENT ON COLUMN first_source.path IS 'Absolute path of the file';
COMMENT ON COLUMN first_source.member IS 'Member of the archive or table; NULL for a file that is none';
COMMENT ON COLUMN first_source.block IS 'Block of the file';
