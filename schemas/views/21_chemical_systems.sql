-- Which hulls there are, and which of them have been computed from the phases that compete now. The fingerprint covers
-- the phases of a system and of all systems inside it.
CREATE OR REPLACE VIEW chemical_systems AS
WITH own AS (
    SELECT
        method_id,
        any_value(method) AS method,
        chemical_system,
        any_value(elements) AS elements,
        count(*) AS phases,
        count(*) FILTER (competes) AS competing,
        coalesce(bit_xor(hash(result_id, energy, amounts)) FILTER (competes), 0) AS mark
    FROM phase
    GROUP BY method_id, chemical_system
),
inside AS (
    SELECT
        method_id,
        chemical_system,
        array_to_string(list_filter(elements, lambda x, i: (subset >> (i - 1)) & 1 = 1), '-') AS subsystem
    FROM (
        SELECT method_id, chemical_system, elements, unnest(range(1, 1 << len(elements))) AS subset
        FROM own
        WHERE len(elements) <= 8
    )
    UNION ALL
    -- Of many elements there are too many subsets: the systems at hand are fewer.
    SELECT large.method_id, large.chemical_system, small.chemical_system
    FROM own AS large
    JOIN own AS small
        ON small.method_id = large.method_id AND len(large.elements) > 8 AND list_has_all(large.elements, small.elements)
),
met AS (
    SELECT
        i.method_id,
        i.chemical_system,
        sum(s.competing)::INTEGER AS competing_phases,
        '2:' || sum(s.competing) || ':' || bit_xor(s.mark) AS fingerprint,
        coalesce(list(s.chemical_system) FILTER (len(s.elements) = 1 AND s.competing > 0), []) AS end_members
    FROM inside AS i
    JOIN own AS s ON s.method_id = i.method_id AND s.chemical_system = i.subsystem
    GROUP BY i.method_id, i.chemical_system
)
SELECT
    o.chemical_system,
    len(o.elements)::INTEGER AS nelements,
    o.phases::INTEGER AS phases,
    m.competing_phases,
    list_has_all(m.end_members, o.elements) AS end_members_complete,
    list_filter(o.elements, lambda x: NOT list_contains(m.end_members, x)) AS missing_elements,
    coalesce(h.fingerprint = m.fingerprint, false) AS computed,
    o.method,
    o.elements,
    m.fingerprint,
    o.method_id
FROM own AS o
JOIN met AS m USING (method_id, chemical_system)
LEFT JOIN hull_system AS h USING (method_id, chemical_system)
ORDER BY o.method, nelements, o.chemical_system;
COMMENT ON VIEW chemical_systems IS 'One row for each method and chemical system: its phases, and whether its hull has its end members';
COMMENT ON COLUMN chemical_systems.chemical_system IS 'Elements in alphabetical order, joined by -';
COMMENT ON COLUMN chemical_systems.nelements IS 'Number of elements';
COMMENT ON COLUMN chemical_systems.phases IS 'Results of exactly these elements';
COMMENT ON COLUMN chemical_systems.competing_phases IS 'Phases of these elements or of some of them that compete';
COMMENT ON COLUMN chemical_systems.end_members_complete IS 'Whether every element has an energy by this method';
COMMENT ON COLUMN chemical_systems.missing_elements IS 'Elements that have none';
COMMENT ON COLUMN chemical_systems.computed IS 'Whether the stored hull is that of these phases; mlmat reduce hull computes those whose end members are complete';
COMMENT ON COLUMN chemical_systems.method IS 'Method';
COMMENT ON COLUMN chemical_systems.elements IS 'Elements in alphabetical order';
COMMENT ON COLUMN chemical_systems.fingerprint IS 'Tells whether the competing phases are the same ones';
