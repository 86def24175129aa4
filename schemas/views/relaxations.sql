-- Relaxed structures beside those handed in: what became of the symmetry, the volume and the places of the atoms. Current
-- results only. A relaxation that leaves its structure says so in `left_structure`: the space group is another one, the
-- volume has changed by more than 15 % (5 % in length, more than functionals and models err), or the atoms have moved by
-- more than 0.5 Å (root mean square), a fifth of a bond.
CREATE OR REPLACE VIEW relaxations AS
WITH goal AS (
    -- Single points by the same model: the method is the same but for what a relaxation asks.
    SELECT
        r.method_id,
        list(p.method_id) AS single_points
    FROM method AS r
    JOIN method AS p ON p.method_id <> r.method_id
        AND p.runner = r.runner
        AND p.model_sha256 IS NOT DISTINCT FROM r.model_sha256
        AND p.runner_version = r.runner_version
        AND p.dtype IS NOT DISTINCT FROM r.dtype
        AND p.settings['relax'] = 'none'
        AND list_filter(map_entries(r.settings), lambda x: x.key NOT IN ('relax', 'fmax', 'max_steps', 'optimizer'))
            = list_filter(map_entries(p.settings), lambda x: x.key NOT IN ('relax', 'fmax', 'max_steps', 'optimizer'))
    GROUP BY r.method_id
),
started AS NOT MATERIALIZED (
    SELECT g.method_id, c.structure_id, min(c.energy) AS energy
    FROM (SELECT method_id, unnest(single_points) AS single_point FROM goal) AS g
    JOIN current_result AS c ON c.method_id = g.single_point
    WHERE c.status = 'ok'
    GROUP BY g.method_id, c.structure_id
),
compared AS NOT MATERIALIZED (
    SELECT
        a.formula,
        a.space_group_symbol AS space_group_before,
        b.space_group_symbol AS space_group_after,
        CASE WHEN a.volume > 0 THEN 100 * (b.volume / a.volume - 1) END AS volume_change,
        CASE WHEN p.structure_id = p.parent_id THEN coalesce(p.rmsd, 0) ELSE p.rmsd END AS rmsd,
        (r.energy - s.energy) / a.nsites AS energy_change_per_atom,
        p.steps,
        r.converged,
        p.structure_id = p.parent_id AS unchanged,
        a.space_group_it_number AS number_before,
        b.space_group_it_number AS number_after,
        a.chemical_system,
        p.parent_id AS structure_id,
        p.structure_id AS relaxed_id,
        r.method_id,
        r.result_id
    FROM (FROM produced WHERE role = 'relaxed') AS p
    JOIN (FROM current_result WHERE status = 'ok') AS r ON r.result_id = p.result_id
    JOIN structure AS a ON a.structure_id = p.parent_id
    JOIN structure AS b ON b.structure_id = p.structure_id
    LEFT JOIN started AS s ON s.method_id = r.method_id AND s.structure_id = p.parent_id
)
SELECT
    c.formula,
    c.space_group_before,
    c.space_group_after,
    c.volume_change,
    c.rmsd,
    c.energy_change_per_atom,
    c.steps,
    c.converged,
    c.unchanged,
    nullif(concat_ws('; ',
        CASE WHEN c.number_before <> c.number_after
            THEN 'space group ' || c.space_group_before || ' became ' || c.space_group_after END,
        CASE WHEN abs(c.volume_change) > 15 THEN printf('volume changed by %+.0f %%', c.volume_change) END,
        CASE WHEN c.rmsd > 0.5 THEN printf('atoms moved by %.2f Å', c.rmsd) END
    ), '') AS left_structure,
    f.path,
    f.member,
    f.block,
    m.method,
    c.structure_id,
    c.relaxed_id,
    c.chemical_system,
    c.method_id,
    c.result_id
FROM compared AS c
JOIN method AS m USING (method_id)
LEFT JOIN first_source AS f ON f.structure_id = c.structure_id
ORDER BY m.method, left_structure IS NULL, abs(c.volume_change) DESC, c.formula, c.structure_id;
COMMENT ON VIEW relaxations IS 'Relaxed structures beside those handed in: symmetry, volume, how far the atoms moved';
COMMENT ON COLUMN relaxations.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN relaxations.space_group_before IS 'Hermann-Mauguin symbol of the structure handed in';
COMMENT ON COLUMN relaxations.space_group_after IS 'Hermann-Mauguin symbol of the relaxed structure';
COMMENT ON COLUMN relaxations.volume_change IS 'Change of the volume in % of that before; NULL for what is not periodic in three directions';
COMMENT ON COLUMN relaxations.rmsd IS 'Root mean square displacement of the atoms in Å, from fractional coordinates, the mean removed; NULL where an earlier version stored none';
COMMENT ON COLUMN relaxations.energy_change_per_atom IS 'Energy after minus before in eV/atom; NULL where the store has no single point by the same model';
COMMENT ON COLUMN relaxations.steps IS 'Steps of the relaxation, where the runner says them';
COMMENT ON COLUMN relaxations.converged IS 'Whether it converged';
COMMENT ON COLUMN relaxations.unchanged IS 'Whether it came back as the same structure: relaxed_id is structure_id';
COMMENT ON COLUMN relaxations.left_structure IS 'Why it is another structure now: another space group, volume by over 15 %, atoms by over 0.5 Å; NULL where none of these';
COMMENT ON COLUMN relaxations.path IS 'File that the structure handed in came from, the first one';
COMMENT ON COLUMN relaxations.member IS 'Member of the archive or table';
COMMENT ON COLUMN relaxations.block IS 'Block of the file';
COMMENT ON COLUMN relaxations.structure_id IS 'The structure handed in';
COMMENT ON COLUMN relaxations.relaxed_id IS 'The relaxed structure';
COMMENT ON COLUMN relaxations.chemical_system IS 'Elements in alphabetical order, joined by -';
