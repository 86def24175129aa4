-- Energy above the convex hull of all phases of one method. The geometry is computed by mlmat and kept in hull_row; rows
-- of a system whose phases have changed since are not shown.
CREATE OR REPLACE VIEW hull AS
SELECT
    f.result_id,
    f.structure_id,
    f.external_id,
    f.method_id,
    f.method,
    f.formula,
    f.chemical_formula_reduced,
    f.chemical_system,
    len(f.elements)::INTEGER AS nelements,
    f.energy_per_atom,
    f.formation_energy_per_atom,
    CASE WHEN f.reason IS NULL THEN h.e_above_hull END AS e_above_hull,
    CASE WHEN f.reason IS NULL THEN h.e_decomposition END AS e_decomposition,
    h.decomposition,
    h.products,
    c.competing_phases,
    c.end_members_complete,
    c.missing_elements,
    f.scheme,
    f.energy_method,
    f.converged,
    f.reference_check,
    f.suspect,
    f.excluded,
    coalesce(f.reason, h.reason,
        CASE WHEN h.result_id IS NULL THEN 'not computed yet: mlmat reduce hull computes it, where it can write' END)
        AS reason
FROM formation_energy AS f
JOIN chemical_systems AS c USING (method_id, chemical_system)
LEFT JOIN hull_row AS h ON c.computed AND h.result_id = f.result_id AND h.method_id = f.method_id
ORDER BY f.method, f.chemical_system, e_above_hull NULLS LAST, f.formula, f.result_id;
COMMENT ON VIEW hull IS 'Energy above the convex hull of all phases of one method, and what each would decompose into';
COMMENT ON COLUMN hull.method IS 'Method of all phases of the hull: a method, or a mixture that somebody asked for (mlmat mix)';
COMMENT ON COLUMN hull.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN hull.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN hull.nelements IS 'Number of elements';
COMMENT ON COLUMN hull.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN hull.formation_energy_per_atom IS 'Energy of formation from the elements in eV/atom; NULL where an element has no reference';
COMMENT ON COLUMN hull.e_above_hull IS 'Energy above the hull in eV/atom, 0 for stable phases; NULL where reason says why';
COMMENT ON COLUMN hull.decomposition IS 'The stable phases at this composition, with their atomic fractions';
COMMENT ON COLUMN hull.products IS 'The same as a list: id (external or structure id), reduced formula, atomic fraction';
COMMENT ON COLUMN hull.competing_phases IS 'Phases of these elements or of some of them that the hull is made of';
COMMENT ON COLUMN hull.end_members_complete IS 'Whether every element has an energy by this method';
COMMENT ON COLUMN hull.missing_elements IS 'Elements that have none';
COMMENT ON COLUMN hull.energy_method IS 'Method of the energy: another one than method in a mixture only';
COMMENT ON COLUMN hull.reason IS 'Why there is no energy above hull';
COMMENT ON COLUMN hull.e_decomposition IS 'Energy in eV/atom above the hull of all phases of other compositions: below 0 for what is stable; NULL for elements';
COMMENT ON COLUMN hull.scheme IS 'Energy scheme of the hull; NULL: not known; different schemes: a mixture that was insisted on';
COMMENT ON COLUMN hull.reference_check IS 'References that could not be checked: their method has no crystal of the element that ships with mlmat; NULL where all were';
COMMENT ON COLUMN hull.suspect IS 'Why its energy is not believed; NULL where nothing speaks against it';
COMMENT ON COLUMN hull.excluded IS 'Whether somebody took it out (mlmat exclude)';
