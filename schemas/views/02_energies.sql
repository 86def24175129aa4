-- Energies that may count: those of current ok results, as they were computed or imported, and as a derived method
-- corrects them (mlmat correct). All that ranks or compares begins here, so that what is excluded or suspect is so
-- everywhere.
CREATE OR REPLACE VIEW energies AS
WITH unfit AS (
    SELECT method_id, list({'element': element, 'reason': reason}) AS elements FROM unfit_element GROUP BY method_id
),
-- Under which methods the results of a method count: its own, and those that correct it. Few rows: the results are
-- joined to them once.
counting AS (
    SELECT
        m.method_id AS result_method_id, m.method_id, m.method, m.scheme, u.elements AS unfit, false AS derived,
        -- By what the scheme is, whatever it is called: with U for some compounds and none for others, uncorrected.
        CASE WHEN starts_with(m.hubbard_u, 'of the Materials Project') AND m.corrections = 'none' THEN
            'needs correction: raw GGA and GGA+U energies' || CASE
                WHEN m.scheme = 'MP raw GGA/GGA+U' THEN ' (mlmat correct ' || m.method_id || ' --scheme MP2020)'
                ELSE '; mlmat knows no corrections for ' || m.scheme
            END
        END AS mixed
    FROM method AS m
    LEFT JOIN unfit AS u USING (method_id)
    UNION ALL
    SELECT m.derived_from, m.method_id, m.method, m.scheme, u.elements, true,
        -- Its scheme may have been told anew since.
        CASE WHEN raw.scheme IS DISTINCT FROM 'MP raw GGA/GGA+U' THEN
            'cannot be corrected: ' || raw.method || ' is ' || coalesce(raw.scheme, 'of no known scheme') ||
            ' by now, and ' || m.scheme || ' is for MP raw GGA/GGA+U'
        END
    FROM method AS m
    JOIN method AS raw ON raw.method_id = m.derived_from
    LEFT JOIN unfit AS u ON u.method_id = m.derived_from
)
SELECT
    r.result_id,
    r.structure_id,
    r.external_id,
    m.method_id,
    m.method,
    m.scheme,
    CASE WHEN NOT m.derived THEN r.energy WHEN m.mixed IS NULL THEN r.energy + c.correction END AS energy,
    CASE WHEN m.derived THEN coalesce(r.correction, 0) + c.correction ELSE r.correction END AS correction,
    r.converged,
    -- Lists of few: a join would have to hold all results.
    CASE
        WHEN r.structure_id IN (SELECT structure_id FROM exclusion_reach WHERE structure_id IS NOT NULL)
            THEN 'its structure is excluded (mlmat reduce excluded)'
        WHEN r.result_id IN (SELECT result_id FROM exclusion_reach WHERE result_id IS NOT NULL)
            THEN 'excluded (mlmat reduce excluded)'
    END AS excluded,
    r.suspect,
    m.unfit,
    CASE
        WHEN m.mixed IS NOT NULL THEN m.mixed
        WHEN m.derived AND c.result_id IS NULL THEN
            'not corrected yet: mlmat reduce hull corrects it, where it can write'
        WHEN m.derived AND c.correction IS NULL THEN
            'cannot be corrected: ' || coalesce(c.reason, 'for reasons unknown')
    END AS uncorrected
FROM current_result AS r
JOIN counting AS m ON m.result_method_id = r.method_id
LEFT JOIN corrected AS c ON c.method_id = m.method_id AND c.result_id = r.result_id
WHERE r.status = 'ok' AND r.energy IS NOT NULL;
COMMENT ON VIEW energies IS 'Energies of current ok results, as they are and as derived methods correct them';
COMMENT ON COLUMN energies.method_id IS 'The method, or the derived method';
COMMENT ON COLUMN energies.method IS 'Its name';
COMMENT ON COLUMN energies.scheme IS 'Energy scheme; NULL: not known';
COMMENT ON COLUMN energies.energy IS 'Total energy of the cell in eV, with its correction; NULL where it cannot be corrected';
COMMENT ON COLUMN energies.correction IS 'Part of energy that is a correction, in eV per cell; NULL where there is none';
COMMENT ON COLUMN energies.excluded IS 'Why it was taken out; NULL where nobody did';
COMMENT ON COLUMN energies.suspect IS 'Why the numbers of this result are not believed, by themselves';
COMMENT ON COLUMN energies.unfit IS 'Elements that the method cannot do, and why';
COMMENT ON COLUMN energies.uncorrected IS 'Why it cannot stand beside others of its method';
