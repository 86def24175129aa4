-- Results whose numbers are not believed: they compete in no hull and have no rank. One row each; the file is that which
-- gave the structure handed in.
CREATE OR REPLACE VIEW suspects AS
SELECT
    f.formula,
    f.suspect,
    f.energy_per_atom,
    s.volume / s.nsites AS volume_per_atom,
    f.nsites,
    f.method,
    o.path,
    o.member,
    o.block,
    f.structure_id,
    r.structure_id AS relaxed_id,
    f.external_id,
    f.chemical_system,
    f.method_id,
    f.result_id
FROM formation_energy AS f
LEFT JOIN (SELECT result_id, structure_id FROM produced WHERE role = 'relaxed') AS r ON r.result_id = f.result_id
LEFT JOIN structure AS s ON s.structure_id = coalesce(r.structure_id, f.structure_id)
LEFT JOIN (
    SELECT structure_id, path, member, block
    FROM source
    WHERE current AND structure_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY source_id) = 1
) AS o ON o.structure_id = f.structure_id
WHERE f.suspect IS NOT NULL AND NOT f.excluded
ORDER BY f.method, f.suspect, f.formula, f.result_id;
COMMENT ON VIEW suspects IS 'Results whose numbers are not believed, and why: they compete in no hull and no ranking';
COMMENT ON COLUMN suspects.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN suspects.suspect IS 'Why its numbers are not believed';
COMMENT ON COLUMN suspects.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN suspects.volume_per_atom IS 'Volume per atom in Å³, of the relaxed structure where there is one';
COMMENT ON COLUMN suspects.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN suspects.method IS 'Method';
COMMENT ON COLUMN suspects.path IS 'File that gave the structure handed in';
COMMENT ON COLUMN suspects.relaxed_id IS 'The relaxed structure; NULL for single points';
COMMENT ON COLUMN suspects.chemical_system IS 'Elements in alphabetical order, joined by -';
