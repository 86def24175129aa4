-- Formulas in SQL that mlmat does not touch: `formula_is(formula, 'O2Si')` holds for SiO2, whatever the order of the
-- elements, brackets (of one level) and multiples. It looks at every row: in --where, `formula = 'O2Si'` does the same
-- and is a plain filter.
CREATE OR REPLACE MACRO formula_atoms(text) AS
    flatten(list_transform(
        regexp_extract_all(text, '\([^()]*\)[0-9.]*|[A-Z][a-z]?[0-9.]*'),
        lambda part: list_transform(
            regexp_extract_all(part, '[A-Z][a-z]?[0-9.]*'),
            lambda one: {
                'element': regexp_extract(one, '[A-Za-z]+'),
                'n': coalesce(try_cast(regexp_extract(one, '[0-9.]+') AS DOUBLE), 1)
                    * coalesce(try_cast(regexp_extract(part, '\)([0-9.]+)', 1) AS DOUBLE), 1)
            }
        )
    ));

CREATE OR REPLACE MACRO formula_shares(atoms) AS
    list_transform(
        list_sort(list_distinct(list_transform(atoms, lambda atom: atom.element))),
        lambda symbol: {
            'element': symbol,
            'share': round(
                list_sum(list_transform(list_filter(atoms, lambda atom: atom.element = symbol), lambda atom: atom.n))
                / list_sum(list_transform(atoms, lambda atom: atom.n)), 9)
        }
    );

CREATE OR REPLACE MACRO formula_composition(text) AS
    list_transform([formula_atoms(text)], lambda atoms: formula_shares(atoms))[1];

CREATE OR REPLACE MACRO formula_elements(text) AS
    list_sort(list_distinct(regexp_extract_all(text, '[A-Z][a-z]?')));

-- The elements come first because they are soon compared: what follows is asked of few rows then.
CREATE OR REPLACE MACRO formula_is(formula, text) AS
    formula_elements(formula) = formula_elements(text)
    AND regexp_full_match(replace(text, ' ', ''), '(\(([A-Z][a-z]?[0-9.]*)+\)[0-9.]*|[A-Z][a-z]?[0-9.]*)+')
    AND formula_composition(formula) = formula_composition(replace(text, ' ', ''));
