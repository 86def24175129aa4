-- Structures that two or more methods of one energy scheme have computed, each method with hulls of its own. Of several
-- results of one structure by one method the lowest counts. Methods that learned from the same data or teacher err
-- alike: their spread is no error.
CREATE OR REPLACE VIEW committee AS
WITH lowest AS (
    SELECT *
    FROM hull
    WHERE structure_id IS NOT NULL AND scheme IS NOT NULL AND method = energy_method
        AND formation_energy_per_atom IS NOT NULL AND NOT excluded
    QUALIFY row_number() OVER (PARTITION BY structure_id, method_id ORDER BY energy_per_atom, result_id) = 1
),
gathered AS (
    SELECT
        l.structure_id,
        l.scheme,
        any_value(l.formula) AS formula,
        any_value(l.chemical_system) AS chemical_system,
        count(*)::INTEGER AS methods,
        avg(l.formation_energy_per_atom) AS formation_mean,
        stddev_samp(l.formation_energy_per_atom) AS formation_sd,
        max(l.formation_energy_per_atom) - min(l.formation_energy_per_atom) AS formation_range,
        avg(l.e_above_hull) AS e_above_hull_mean,
        stddev_samp(l.e_above_hull) AS e_above_hull_sd,
        max(l.e_above_hull) - min(l.e_above_hull) AS e_above_hull_range,
        count(l.e_above_hull)::INTEGER AS judging,
        count(*) FILTER (l.e_above_hull = 0)::INTEGER AS on_hull,
        count(*) FILTER (l.e_above_hull <= 0.05)::INTEGER AS within_50_mev,
        list({'method': l.method, 'e_above_hull': l.e_above_hull, 'verdict': l.verdict} ORDER BY l.method) AS verdicts,
        flatten(list(list_distinct(list_transform(
            string_split(concat_ws(',', nullif(trim(m.trained_on), ''), 'model ' || m.model_name), ','), lambda x: trim(x)
        )) ORDER BY l.method)) AS learned
    FROM lowest AS l
    JOIN method AS m USING (method_id)
    GROUP BY l.structure_id, l.scheme
    HAVING count(*) > 1
)
SELECT
    formula,
    methods,
    formation_mean,
    formation_sd,
    formation_range,
    e_above_hull_mean,
    e_above_hull_sd,
    e_above_hull_range,
    judging,
    on_hull,
    within_50_mev,
    nullif(array_to_string(list_filter(
        learned,
        lambda x, i: len(list_filter(learned, lambda y, k: lower(y) = lower(x) AND k < i)) = 0
            AND len(list_filter(learned, lambda y: lower(y) = lower(x))) > 1
    ), ', '), '') AS shared,
    verdicts,
    scheme,
    chemical_system,
    structure_id
FROM gathered
ORDER BY e_above_hull_mean NULLS LAST, formula, structure_id, scheme;
COMMENT ON VIEW committee IS 'What two or more methods of one energy scheme say of a structure: mean, spread and verdicts';
COMMENT ON COLUMN committee.formula IS 'Reduced formula, elements in order of electronegativity';
COMMENT ON COLUMN committee.methods IS 'Methods with an energy of formation of it';
COMMENT ON COLUMN committee.formation_mean IS 'Mean of their energies of formation in eV/atom';
COMMENT ON COLUMN committee.formation_sd IS 'Standard deviation of these (n - 1) in eV/atom';
COMMENT ON COLUMN committee.formation_range IS 'Highest less lowest of these in eV/atom';
COMMENT ON COLUMN committee.e_above_hull_mean IS 'Mean of their energies above hull in eV/atom, each above the hull of its method';
COMMENT ON COLUMN committee.e_above_hull_sd IS 'Standard deviation of these (n - 1) in eV/atom';
COMMENT ON COLUMN committee.e_above_hull_range IS 'Highest less lowest of these in eV/atom';
COMMENT ON COLUMN committee.judging IS 'Methods with an energy above hull of it';
COMMENT ON COLUMN committee.on_hull IS 'Methods that have it on the hull';
COMMENT ON COLUMN committee.within_50_mev IS 'Methods that have it within 50 meV/atom of the hull';
COMMENT ON COLUMN committee.shared IS 'Data, teachers or models that two or more of the methods learned from: their spread is no error; NULL: none that is known';
COMMENT ON COLUMN committee.verdicts IS 'What each method says: energy above hull in eV/atom, and the verdict of view hull';
COMMENT ON COLUMN committee.scheme IS 'Energy scheme that they share';
COMMENT ON COLUMN committee.chemical_system IS 'Elements in alphabetical order, joined by -';
