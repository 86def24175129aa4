-- Lowest energy above hull first, each crystal once: of structures that are the same crystal in another setting, origin,
-- supercell or order of atoms, and of several results of one, the best is shown. Space group and volume are those of
-- the structure that the energy belongs to: the relaxed one, where there is one.
CREATE OR REPLACE VIEW candidates AS
WITH known AS (
    SELECT
        h.*,
        r.structure_id AS relaxed_id,
        f.space_group_symbol,
        f.space_group_it_number,
        f.nsites,
        f.volume / f.nsites AS volume_per_atom,
        coalesce(c.crystal_id, f.structure_id) AS crystal_id
    FROM hull AS h
    LEFT JOIN (SELECT result_id, structure_id FROM produced WHERE role = 'relaxed') AS r ON r.result_id = h.result_id
    LEFT JOIN structure AS f ON f.structure_id = coalesce(r.structure_id, h.structure_id)
    LEFT JOIN same_crystal AS c ON c.structure_id = f.structure_id
    WHERE NOT h.excluded
),
best AS (
    SELECT
        *,
        row_number() OVER (crystal ORDER BY e_above_hull NULLS LAST, energy_per_atom, result_id) AS place,
        count(*) OVER crystal - 1 AS hidden
    FROM known
    WINDOW crystal AS (PARTITION BY method_id, crystal_id, CASE WHEN crystal_id IS NULL THEN result_id END)
)
SELECT
    CASE WHEN e_above_hull IS NOT NULL
        THEN rank() OVER (PARTITION BY method_id, e_above_hull IS NULL ORDER BY e_above_hull) END AS rank,
    formula,
    space_group_symbol AS space_group,
    e_above_hull,
    expected_error,
    verdict,
    competition,
    formation_energy_per_atom,
    e_decomposition,
    decomposition,
    nsites,
    volume_per_atom,
    chemical_system,
    nelements,
    energy_per_atom,
    competing_phases,
    competitors,
    reason,
    method,
    scheme,
    energy_method,
    reference_check,
    expected_error_formation,
    class,
    coalesce(path, import_path) AS path,
    member,
    coalesce(block, CASE WHEN path IS NULL THEN import_place END) AS block,
    structure_id,
    external_id,
    relaxed_id,
    crystal_id,
    hidden,
    space_group_it_number,
    chemical_formula_reduced,
    method_id,
    result_id
FROM best
LEFT JOIN first_source USING (structure_id)
LEFT JOIN (
    SELECT result_id, arg_min(path, run_id) AS import_path, arg_min(place, run_id) AS import_place
    FROM import_row
    WHERE current AND result_id IS NOT NULL
    GROUP BY result_id
) USING (result_id)
WHERE best.place = 1
ORDER BY method, rank NULLS LAST, formation_energy_per_atom NULLS LAST, formula, result_id;
COMMENT ON VIEW candidates IS 'Lowest energy above hull first, each crystal once, per method';
COMMENT ON COLUMN candidates.rank IS '1 for the lowest energy above hull by this method; NULL when there is none';
COMMENT ON COLUMN candidates.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN candidates.space_group IS 'Hermann-Mauguin symbol, of the relaxed structure where there is one';
COMMENT ON COLUMN candidates.space_group_it_number IS 'Number of that space group';
COMMENT ON COLUMN candidates.e_above_hull IS 'Energy above the hull in eV/atom, 0 for stable phases; NULL where reason says why';
COMMENT ON COLUMN candidates.formation_energy_per_atom IS 'Energy of formation from the elements in eV/atom';
COMMENT ON COLUMN candidates.decomposition IS 'The stable phases at this composition, with their atomic fractions';
COMMENT ON COLUMN candidates.nsites IS 'Atoms in the cell; NULL for entries without a structure';
COMMENT ON COLUMN candidates.volume_per_atom IS 'Volume per atom in Å³, of the relaxed structure where there is one';
COMMENT ON COLUMN candidates.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN candidates.nelements IS 'Number of elements';
COMMENT ON COLUMN candidates.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN candidates.competing_phases IS 'Phases that the hull is made of';
COMMENT ON COLUMN candidates.reason IS 'Why it is not ranked';
COMMENT ON COLUMN candidates.method IS 'Method';
COMMENT ON COLUMN candidates.energy_method IS 'Method of the energy: another one than method in a mixture only (mlmat mix)';
COMMENT ON COLUMN candidates.path IS 'File that the structure handed in came from, the oldest of several; of an entry, the file of results';
COMMENT ON COLUMN candidates.member IS 'Member of the archive or table';
COMMENT ON COLUMN candidates.block IS 'Block of the file; of an entry, its line, row or entry';
COMMENT ON COLUMN candidates.structure_id IS 'The structure handed in; NULL for entries without one';
COMMENT ON COLUMN candidates.relaxed_id IS 'The relaxed structure, which the energy belongs to; NULL for single points';
COMMENT ON COLUMN candidates.crystal_id IS 'The structure that stands for this crystal, see crystals';
COMMENT ON COLUMN candidates.hidden IS 'Results of the same crystal that are not shown';
COMMENT ON COLUMN candidates.e_decomposition IS 'Energy in eV/atom above the hull of all phases of other compositions: below 0 for what is stable; NULL for elements';
COMMENT ON COLUMN candidates.scheme IS 'Energy scheme of the hull; NULL: not known; different schemes: a mixture that was insisted on';
COMMENT ON COLUMN candidates.reference_check IS 'References that could not be checked: their method has no crystal of the element that ships with mlmat; NULL where all were';
COMMENT ON COLUMN candidates.expected_error IS 'Expected error of e_above_hull in eV/atom: mean absolute error of the method against DFT of its scheme, for this class of compounds where it was measured, else for all; NULL: unknown';
COMMENT ON COLUMN candidates.expected_error_formation IS 'The same of formation_energy_per_atom';
COMMENT ON COLUMN candidates.verdict IS 'on the hull or above the hull, of what is in this store; undecided: by less than the expected error; NULL where there is no number';
COMMENT ON COLUMN candidates.competitors IS 'Compounds of other compositions that the hull is made of; NULL for elements';
COMMENT ON COLUMN candidates.competition IS 'The same in words; only the elements: nothing else of this system is in the store, and stable means no more than that';
COMMENT ON COLUMN candidates.class IS 'Class of compounds for the expected error, see hull';
