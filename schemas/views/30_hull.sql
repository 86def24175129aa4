-- Energy above the convex hull of all phases of one method. The geometry is computed by mlmat and kept in hull_row; rows
-- of a system whose phases have changed since are not shown.
CREATE OR REPLACE VIEW hull AS
WITH expected AS (
    SELECT
        method_id,
        map_from_entries(list((class, error)) FILTER (quantity = 'e_above_hull')) AS above,
        map_from_entries(list((class, error)) FILTER (quantity = 'formation_energy_per_atom')) AS formation
    FROM (SELECT method_id, quantity, class, max(error) AS error FROM expected_error GROUP BY ALL)
    GROUP BY method_id
),
valued AS NOT MATERIALIZED (
    SELECT
        f.*,
        CASE WHEN f.reason IS NULL THEN h.e_above_hull END AS e_above_hull,
        CASE WHEN f.reason IS NULL THEN h.e_decomposition END AS e_decomposition,
        CASE WHEN f.reason IS NULL AND len(f.elements) > 1 THEN h.competitors END AS competitors,
        h.decomposition,
        h.products,
        c.competing_phases,
        c.end_members_complete,
        c.missing_elements AS missing_references,
        coalesce(f.reason, h.reason,
            CASE WHEN h.result_id IS NULL THEN 'not computed yet: mlmat reduce hull computes it, where it can write' END)
            AS why,
        -- The first that fits. docs/stability.md has the errors of each.
        CASE
            WHEN len(f.elements) = 1 THEN 'element'
            WHEN list_has_any(f.elements, [
                'La', 'Ce', 'Pr', 'Nd', 'Pm', 'Sm', 'Eu', 'Gd', 'Tb', 'Dy', 'Ho', 'Er', 'Tm', 'Yb', 'Lu',
                'Ac', 'Th', 'Pa', 'U', 'Np', 'Pu', 'Am', 'Cm', 'Bk', 'Cf', 'Es', 'Fm', 'Md', 'No', 'Lr'
            ]) THEN 'f-element'
            WHEN list_contains(f.elements, 'O') THEN 'oxide'
            WHEN list_has_any(f.elements, ['F', 'Cl', 'Br', 'I', 'At']) THEN 'halide'
            WHEN list_has_any(f.elements, ['S', 'Se', 'Te']) THEN 'chalcogenide'
            WHEN list_has_any(f.elements, ['N', 'P', 'As', 'Sb']) THEN 'pnictide'
            WHEN list_has_any(f.elements, [
                'H', 'D', 'T', 'B', 'C', 'Si', 'Ge', 'He', 'Ne', 'Ar', 'Kr', 'Xe', 'Rn'
            ]) THEN 'other'
            ELSE 'intermetallic'
        END AS class
    FROM formation_energy AS f
    JOIN chemical_systems AS c USING (method_id, chemical_system)
    LEFT JOIN hull_row AS h ON c.computed AND h.result_id = f.result_id AND h.method_id = f.method_id
),
expecting AS NOT MATERIALIZED (
    SELECT
        v.*,
        coalesce(x.above[v.class], x.above['all']) AS expected_error,
        coalesce(x.formation[v.class], x.formation['all']) AS expected_error_formation
    FROM valued AS v
    LEFT JOIN expected AS x USING (method_id)
)
SELECT
    result_id,
    structure_id,
    external_id,
    method_id,
    method,
    formula,
    chemical_formula_reduced,
    chemical_system,
    len(elements)::INTEGER AS nelements,
    energy_per_atom,
    formation_energy_per_atom,
    e_above_hull,
    e_decomposition,
    expected_error,
    CASE
        WHEN CASE WHEN e_above_hull > 0 THEN e_above_hull ELSE -e_decomposition END < expected_error THEN 'undecided'
        WHEN e_above_hull = 0 THEN 'on the hull'
        WHEN e_above_hull > 0 THEN 'above the hull'
    END AS verdict,
    decomposition,
    products,
    competing_phases,
    competitors,
    CASE competitors WHEN 0 THEN 'only the elements' WHEN 1 THEN '1 other compound'
        ELSE competitors || ' other compounds' END AS competition,
    end_members_complete,
    missing_references AS missing_elements,
    expected_error_formation,
    class,
    scheme,
    energy_method,
    converged,
    reference_check,
    suspect,
    excluded,
    why AS reason
FROM expecting
ORDER BY method, chemical_system, e_above_hull NULLS LAST, formula, result_id;
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
COMMENT ON COLUMN hull.expected_error IS 'Expected error of e_above_hull in eV/atom: mean absolute error of the method against DFT of its scheme, for this class of compounds where it was measured, else for all; NULL: unknown';
COMMENT ON COLUMN hull.expected_error_formation IS 'The same of formation_energy_per_atom';
COMMENT ON COLUMN hull.verdict IS 'on the hull or above the hull, of what is in this store; undecided: by less than the expected error; NULL where there is no number';
COMMENT ON COLUMN hull.competitors IS 'Compounds of other compositions that the hull is made of; NULL for elements';
COMMENT ON COLUMN hull.competition IS 'The same in words; only the elements: nothing else of this system is in the store, and stable means no more than that';
COMMENT ON COLUMN hull.class IS 'Class of compounds for the expected error: element, f-element, oxide, halide, chalcogenide, pnictide, other (other non-metals), intermetallic; the first that fits';
