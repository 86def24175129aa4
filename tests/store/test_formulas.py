"""Conditions that compare formulas, in any order of the elements."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hand_made import block, crystal, method, record, result, salt, stored
from hypothesis import given
from hypothesis import strategies as st

from mlmat.materials.formula import canonical
from mlmat.store import Store
from mlmat.store.tables.formulas import compared_in, respelled


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


AMOUNTS = st.dictionaries(st.sampled_from(["Li", "Na", "Fe", "Si", "P", "O", "F", "H"]), st.integers(1, 9), min_size=1)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, st.integers(1, 3)), min_size=1, max_size=20))
def test_formula_is_decides_as_the_parser_does(formulas: Store, drawn: list[tuple[Any, Any, int]]) -> None:
    """Of formulas as the store writes them, with brackets, and of texts in another order, multiples too."""
    pairs = [(canonical(joined(one)), joined(other, times)) for one, other, times in drawn]
    pairs += [(canonical(joined(one)), joined(one, times)) for one, _, times in drawn]
    rows = ", ".join(f"('{one}', '{other}')" for one, other in pairs)
    found = formulas.sql(f"SELECT formula_is(a, b) AS same FROM (VALUES {rows}) AS t(a, b)")["same"].tolist()
    assert found == [one == canonical(other) for one, other in pairs]


def joined(amounts: dict[str, int], times: int = 1) -> str:
    return "".join(f"{element}{n * times}" for element, n in amounts.items())


@pytest.fixture(scope="module")
def formulas(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(tmp_path_factory.mktemp("formulas") / "store.duckdb", create=True)


@pytest.mark.parametrize("text", ["quartz", "", "Si(O2", "SiO2 or so"])
def test_formula_is_false_for_what_is_no_formula(formulas: Store, text: str) -> None:
    assert formulas.sql(f"SELECT formula_is('SiO2', '{text}') AS same")["same"].tolist() == [False]


def test_every_way_to_ask_takes_any_order(store: Store) -> None:
    copper, rock = stored(store, crystal(), salt())
    for where in ("formula = 'ClNa'", "formula = 'Na4Cl4'", "chemical_formula_reduced = 'NaCl'", "formula <> 'Cu8'",
                  "'ClNa' = formula OR formula IN ('KCl')"):  # fmt: skip
        assert [atoms.info["structure_id"] for atoms in store.structures(where)] == [rock]
        assert store.pending("m", where=where)["structure_id"].to_pylist() == [rock]
    assert store.of_formula("Cl2Na2")["structure_id"].to_pylist() == [rock]
    assert store.of_formula("Cu2")["formula"].to_pylist() == ["Cu"]
    assert store.of_formula("KCl").num_rows == 0
    assert store.of_formula(copper) is None


def test_what_an_earlier_version_hands_over_gets_its_formula(store: Store) -> None:
    """A journal of a driver that died before the upgrade has no such column."""
    row = block("/a.cif", salt())
    made = {name: value for name, value in row.pop("structure").items() if name != "formula"}
    store.add_sources(pa.Table.from_pylist([row]), pa.Table.from_pylist([made]))
    assert store.sql("SELECT formula, chemical_formula_reduced FROM structure").values.tolist() == [["NaCl", "ClNa"]]


def test_a_filter_on_a_formula_reaches_the_table(store: Store) -> None:
    method(store, "m")
    record(store, *(result(one, energy=-1.0) for one in stored(store, crystal(), salt())))
    for view in ("ranking", "phase", "formation_energy", "hull"):
        plan = store.sql(f"EXPLAIN SELECT energy_per_atom FROM {view} WHERE formula = 'NaCl'").iloc[0, 1]
        assert "formula='NaCl'" in plan.replace(" ", ""), view
