-- Energy of formation from the elements: the reference of an element is its lowest phase by the same method.
CREATE OR REPLACE VIEW formation_energy AS
WITH reference AS (
    SELECT method_id, elements[1] AS element, energy_per_atom, coalesce(external_id, structure_id) AS reference_id
    FROM phase
    WHERE competes AND chemical_system NOT LIKE '%-%'
    QUALIFY row_number() OVER (PARTITION BY method_id, elements[1] ORDER BY energy_per_atom, result_id) = 1
),
floor AS MATERIALIZED (FROM reference_floor),
-- Elements of which a method, or one of a mixture, has a crystal that ships with mlmat.
shipped AS (
    SELECT method_id, element FROM floor
    UNION
    SELECT x.method_id, f.element FROM floor AS f JOIN mixture AS x ON x.member_id = f.method_id
),
-- One row for each method: nothing has to be grouped, and a filter passes.
known AS (
    SELECT
        r.method_id,
        map_from_entries(list((r.element, {'energy': r.energy_per_atom, 'id': r.reference_id}))) AS elemental,
        coalesce(list(s.element) FILTER (s.element IS NOT NULL), []) AS checked
    FROM reference AS r
    LEFT JOIN shipped AS s USING (method_id, element)
    GROUP BY r.method_id
),
compared AS (
    SELECT
        p.*,
        list_transform(p.elements, lambda x: k.elemental[x]) AS found,
        list_filter(p.elements, lambda x: k.elemental[x] IS NULL) AS missing_elements,
        list_filter(p.elements, lambda x: k.elemental[x] IS NOT NULL AND NOT list_contains(k.checked, x)) AS unchecked
    FROM phase AS p
    LEFT JOIN known AS k USING (method_id)
),
formed AS (
    SELECT
        *,
        CASE WHEN competes AND len(missing_elements) = 0
            THEN (energy - list_sum(list_transform(found, lambda x, i: amounts[i] * x.energy))) / nsites
        END AS formed
    FROM compared
),
doubted AS (
    SELECT
        * REPLACE (
            -- Of elements, higher polymorphs stay, however high: they are no reference.
            coalesce(suspect, CASE WHEN formed NOT BETWEEN -6 AND 5 AND len(elements) > 1 THEN
                printf('energy of formation %.3g eV/atom: no compound has one outside -6 to 5', formed) END) AS suspect
        )
    FROM formed
)
SELECT
    p.* EXCLUDE (competes, reason, found, missing_elements, unchecked, formed, suspect, excluded),
    CASE WHEN p.suspect IS NULL THEN p.formed END AS formation_energy_per_atom,
    CASE WHEN len(p.missing_elements) < len(p.elements)
        THEN list_transform(list_filter(p.found, lambda x: x IS NOT NULL), lambda x: x.id)
    END AS reference_ids,
    CASE WHEN len(p.unchecked) > 0 THEN 'reference not checked: ' || array_to_string(p.unchecked, ', ') END
        AS reference_check,
    p.missing_elements,
    p.competes AND p.suspect IS NULL AS competes,
    coalesce(
        p.reason,
        'suspect: ' || p.suspect,
        CASE WHEN len(p.missing_elements) > 0 THEN
            'no energy by this method of the pure element' || CASE WHEN len(p.missing_elements) > 1 THEN 's ' ELSE ' ' END
            || array_to_string(p.missing_elements, ', ') END
    ) AS reason,
    p.suspect,
    p.excluded
FROM doubted AS p
ORDER BY p.method, p.chemical_system, p.formula, p.energy_per_atom, p.result_id;
COMMENT ON VIEW formation_energy IS 'Energy of formation from the elements, all by the same method, or mixture of methods';
COMMENT ON COLUMN formation_energy.method IS 'Method, also of the references';
COMMENT ON COLUMN formation_energy.scheme IS 'Energy scheme; NULL: not known; different schemes: a mixture that was insisted on';
COMMENT ON COLUMN formation_energy.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN formation_energy.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN formation_energy.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN formation_energy.amounts IS 'Atoms of each element in the cell, in the order of elements';
COMMENT ON COLUMN formation_energy.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN formation_energy.energy IS 'Total energy of the cell in eV, with its correction';
COMMENT ON COLUMN formation_energy.correction IS 'Part of energy that is a correction, in eV per cell; NULL where there is none';
COMMENT ON COLUMN formation_energy.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN formation_energy.energy_method IS 'Method of the energy: another one than method in a mixture only (mlmat mix)';
COMMENT ON COLUMN formation_energy.formation_energy_per_atom IS 'Energy of formation from the elements in eV/atom; NULL where reason says why';
COMMENT ON COLUMN formation_energy.reference_ids IS 'External or structure id of the reference of each element that has one, in the order of elements';
COMMENT ON COLUMN formation_energy.reference_check IS 'References that could not be checked: their method has no crystal of the element that ships with mlmat; NULL where all were';
COMMENT ON COLUMN formation_energy.missing_elements IS 'Elements of which this method has no energy';
COMMENT ON COLUMN formation_energy.competes IS 'Whether it takes part in hulls';
COMMENT ON COLUMN formation_energy.reason IS 'Why there is no energy of formation';
COMMENT ON COLUMN formation_energy.suspect IS 'Why its energy is not believed; NULL where nothing speaks against it';
COMMENT ON COLUMN formation_energy.excluded IS 'Whether somebody took it out (mlmat exclude)';
