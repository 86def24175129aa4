-- The lowest of the elemental crystals that ship with mlmat, by each method: an elemental phase that lies lower by more
-- than the method errs is suspect, because the elements have been looked at well.
CREATE OR REPLACE VIEW reference_floor AS
SELECT
    v.method_id,
    p.element,
    min(v.energy / s.nsites) AS energy_per_atom,
    greatest(0.1, coalesce(max(x.error), 0.1)) AS tolerance
FROM energies AS v
JOIN reference_polymorph AS p USING (structure_id)
JOIN structure AS s USING (structure_id)
LEFT JOIN (
    SELECT method_id, error FROM expected_error WHERE quantity = 'formation_energy_per_atom' AND class = 'all'
) AS x USING (method_id)
WHERE v.excluded IS NULL AND v.suspect IS NULL AND v.uncorrected IS NULL AND v.converged IS NOT FALSE
    AND isfinite(v.energy)
GROUP BY v.method_id, p.element;
COMMENT ON VIEW reference_floor IS 'Lowest of the elemental crystals that ship with mlmat, by each method: references are checked against it';
COMMENT ON COLUMN reference_floor.method_id IS 'The method';
COMMENT ON COLUMN reference_floor.element IS 'Symbol of the element';
COMMENT ON COLUMN reference_floor.energy_per_atom IS 'Energy per atom in eV of the lowest shipped crystal';
COMMENT ON COLUMN reference_floor.tolerance IS 'Elemental phases lower than this by more are suspect, in eV/atom: the expected error of energies of formation, 0.1 at least';
