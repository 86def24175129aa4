-- Energy of formation from the elements: the reference of an element is its lowest phase by the same method.
CREATE OR REPLACE VIEW formation_energy AS
WITH reference AS (
    SELECT method_id, elements[1] AS element, energy_per_atom, coalesce(external_id, structure_id) AS reference_id
    FROM phase
    WHERE competes AND chemical_system NOT LIKE '%-%'
    QUALIFY row_number() OVER (PARTITION BY method_id, elements[1] ORDER BY energy_per_atom, result_id) = 1
),
-- One row for each method: nothing has to be grouped, and a filter passes.
known AS (
    SELECT method_id, map_from_entries(list((element, {'energy': energy_per_atom, 'id': reference_id}))) AS elemental
    FROM reference
    GROUP BY method_id
),
compared AS (
    SELECT
        p.*,
        list_transform(p.elements, lambda x: k.elemental[x]) AS found,
        list_filter(p.elements, lambda x: k.elemental[x] IS NULL) AS missing_elements
    FROM phase AS p
    LEFT JOIN known AS k USING (method_id)
)
SELECT
    p.* EXCLUDE (competes, reason, found, missing_elements),
    CASE WHEN p.competes AND len(p.missing_elements) = 0
        THEN (p.energy - list_sum(list_transform(p.found, lambda x, i: p.amounts[i] * x.energy))) / p.nsites
    END AS formation_energy_per_atom,
    CASE WHEN len(p.missing_elements) < len(p.elements)
        THEN list_transform(list_filter(p.found, lambda x: x IS NOT NULL), lambda x: x.id)
    END AS reference_ids,
    p.missing_elements,
    p.competes,
    coalesce(p.reason, CASE WHEN len(p.missing_elements) > 0 THEN
        'no energy by this method of the pure element' || CASE WHEN len(p.missing_elements) > 1 THEN 's ' ELSE ' ' END
        || array_to_string(p.missing_elements, ', ') END) AS reason
FROM compared AS p
ORDER BY p.method, p.chemical_system, p.formula, p.energy_per_atom, p.result_id;
COMMENT ON VIEW formation_energy IS 'Energy of formation from the elements, all by the same method, or mixture of methods';
COMMENT ON COLUMN formation_energy.method IS 'Method, also of the references';
COMMENT ON COLUMN formation_energy.formula IS 'Reduced formula, elements in alphabetical order';
COMMENT ON COLUMN formation_energy.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN formation_energy.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN formation_energy.amounts IS 'Atoms of each element in the cell, in the order of elements';
COMMENT ON COLUMN formation_energy.nsites IS 'Atoms in the cell';
COMMENT ON COLUMN formation_energy.energy IS 'Total energy of the cell in eV, with its correction';
COMMENT ON COLUMN formation_energy.energy_per_atom IS 'Energy per atom in eV';
COMMENT ON COLUMN formation_energy.energy_method IS 'Method of the energy: another one than method in a mixture only (mlmat mix)';
COMMENT ON COLUMN formation_energy.formation_energy_per_atom IS 'Energy of formation from the elements in eV/atom; NULL where reason says why';
COMMENT ON COLUMN formation_energy.reference_ids IS 'External or structure id of the reference of each element that has one, in the order of elements';
COMMENT ON COLUMN formation_energy.missing_elements IS 'Elements of which this method has no energy';
COMMENT ON COLUMN formation_energy.competes IS 'Whether it takes part in hulls';
COMMENT ON COLUMN formation_energy.reason IS 'Why there is no energy of formation';
