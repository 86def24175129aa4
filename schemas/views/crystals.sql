-- Structures that are one crystal, beyond identical files (duplicates): in another setting, origin, supercell or order of
-- atoms, within the tolerance. mlmat reduce crystals compares those that have not been compared.
CREATE OR REPLACE VIEW crystals AS
SELECT
    s.formula,
    count(*) OVER (PARTITION BY c.crystal_id) AS structures,
    s.space_group_symbol AS space_group,
    s.nsites,
    s.volume / s.nsites AS volume_per_atom,
    f.path,
    f.member,
    f.block,
    c.tolerance,
    c.crystal_id,
    c.structure_id
FROM same_crystal AS c
JOIN structure AS s USING (structure_id)
LEFT JOIN (
    SELECT structure_id, path, member, block
    FROM source
    WHERE current AND structure_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY source_id) = 1
) AS f USING (structure_id)
QUALIFY structures > 1
ORDER BY formula, crystal_id, s.id;
COMMENT ON VIEW crystals IS 'Structures that are one crystal in another setting, origin, supercell or order of atoms';
COMMENT ON COLUMN crystals.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN crystals.structures IS 'Structures that are this crystal';
COMMENT ON COLUMN crystals.space_group IS 'Hermann-Mauguin symbol';
COMMENT ON COLUMN crystals.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN crystals.volume_per_atom IS 'Volume per atom in Å³';
COMMENT ON COLUMN crystals.path IS 'File that gave the structure; NULL for one that a runner returned';
COMMENT ON COLUMN crystals.tolerance IS 'How near they have to be: ltol (relative), stol (relative to the cube root of the volume per atom), angle_tol (degrees)';
COMMENT ON COLUMN crystals.crystal_id IS 'The structure that stands for the crystal';
COMMENT ON COLUMN crystals.structure_id IS 'The structure';
