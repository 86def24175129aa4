"""Conditions that compare formulas, in any order of the elements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmat.store._formulas import compared_in, respelled


@pytest.mark.parametrize(
    ("condition", "meant"),
    [
        ("formula = 'O2Si'", "formula = 'SiO2'"),
        ("formula='SiO2'", "formula='SiO2'"),
        ("structure.formula == 'Si2O4' AND nsites < 9", "structure.formula == 'SiO2' AND nsites < 9"),
        ("'CoLiO2' = s.formula", "'LiCoO2' = s.formula"),
        ("formula <> 'O2Si' OR formula != 'OMg'", "formula <> 'SiO2' OR formula != 'MgO'"),
        ("formula IN ('O2Si', 'CoLiO2' , 'O')", "formula IN ('SiO2', 'LiCoO2' , 'O2')"),
        ("formula not in ['O2Si']", "formula not in ['SiO2']"),
        ("\"formula\" IS NOT DISTINCT FROM 'O2Si'", "\"formula\" IS NOT DISTINCT FROM 'SiO2'"),
        ("chemical_formula_reduced = 'SiO2'", "chemical_formula_reduced = 'O2Si'"),
        ("chemical_formula_reduced = 'Fe2(PO4)3Li3'", "chemical_formula_reduced = 'Fe2Li3O12P3'"),
        ("NOT (formula = 'O2Si')", "NOT (formula = 'SiO2')"),
        ("formula = -- 'O2Ti'\n 'O2Si' /* 'CoLiO2' */", "formula = -- 'O2Ti'\n 'SiO2' /* 'CoLiO2' */"),
        ("path = 'it''s' AND FORMULA = 'O2Si'", "path = 'it''s' AND FORMULA = 'SiO2'"),
        ("CASE WHEN formula = 'O2Si' THEN 1 ELSE 0 END = 1", "CASE WHEN formula = 'SiO2' THEN 1 ELSE 0 END = 1"),
    ],
)  # fmt: skip
def test_what_is_compared_is_spelled_as_the_store_does(condition: str, meant: str) -> None:
    assert respelled(condition) == meant


@pytest.mark.parametrize(
    "condition",
    [
        "formula LIKE 'O2Si%'", "formula > 'O2Si'", "block = 'O2Si'", "chemical_formula = 'Si4O8'", "formula = 'x'",
        "'formula = ''O2Si'''= path", "path = 'formula' AND block = 'O2Si'", "formula || 'x' = 'O2Si'",
        "'x' || formula = 'O2Si'", "formula = 'O2Si' || 'x'", "lower(formula) = 'O2Si'", "formula = E'O2Si'",
        "path = $$formula = 'O2Si'$$", "formula IN (SELECT 'O2Si')", "formula IN ('O2Si' || '')", "formula = ''",
        "\"Formula.x\" = 'O2Si'", "formula_is(formula, 'O2Si')", "formula.x = 'O2Si'", "formula = 'O2Si",
        "formula IN ('O2Si'", "chemical_formula_anonymous = 'B2A'", "formula IN ()", "formula =",
    ],
)  # fmt: skip
def test_everything_else_stays(condition: str) -> None:
    assert respelled(condition) == condition


@given(
    st.lists(
        st.sampled_from(
            ["formula", "=", "'O2Si'", "IN", "(", ")", ",", "'", '"', "--", "/*", "$$", ".", "NOT", "\n", " "]
        )
    )
)
def test_no_text_breaks_it(words: list[str]) -> None:
    text = "".join(words)
    assert respelled(respelled(text)) == respelled(text)
    assert respelled(text).replace("SiO2", "O2Si") == text


def test_what_a_query_compares() -> None:
    query = "SELECT * FROM ranking AS r WHERE r.formula = 'SiO2' AND method = 'mace' OR formula IN ('a', 'b')"
    assert compared_in(query) == ["SiO2", "a", "b"]
    assert compared_in("SELECT formula FROM ranking WHERE formula LIKE 'x'") == []
