"""Formulas and numbers of tables: exactly what they say, or refused."""

from __future__ import annotations

import pytest
from ase.data import chemical_symbols
from hypothesis import given
from hypothesis import strategies as st

from mlmat.imports._formula import amounts_of, number
from mlmat.imports._given import Wrong
from mlmat.materials.formula import reduced_formula, written

ELEMENTS = st.sampled_from([*chemical_symbols[1:104]])


@given(st.dictionaries(ELEMENTS, st.integers(1, 500), min_size=1, max_size=15))
def test_what_is_written_is_read_again(amounts: dict[str, int]) -> None:
    found = amounts_of(written(amounts), [])
    assert found == amounts
    assert list(found) == sorted(found)
    assert amounts_of({element: float(n) for element, n in amounts.items()}, []) == amounts


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("NaN", {"N": 1, "Na": 1}),
        ("Na3N", {"N": 1, "Na": 3}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
        ("Ca(OH)2", {"Ca": 1, "H": 2, "O": 2}),
        ("K4[Fe(CN)6]3", {"C": 18, "Fe": 3, "K": 4, "N": 18}),
        (" Fe2 O3 ", {"Fe": 2, "O": 3}),
        ("Li₂O", {"Li": 2, "O": 1}),
        ("Li0.5CoO2", {"Co": 1, "Li": 0.5, "O": 2}),
        ("Y1.0Ba2.0", {"Ba": 2, "Y": 1}),
        ("O2Ti0", {"O": 2}),
        ("HO2H", {"H": 2, "O": 2}),
    ],
)
def test_formulas(text: str, amounts: dict[str, float]) -> None:
    assert amounts_of(text, []) == amounts


def test_deuterium_counts_as_hydrogen_and_says_so() -> None:
    warnings: list[str] = []
    assert amounts_of("D2O", warnings) == {"H": 2, "O": 1}
    assert warnings == ["isotopes of hydrogen count as H"]
    assert amounts_of({"D": 1.0, "H": 1.0, "O": 1.0}, []) == {"H": 2, "O": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Li+", "charge"), ("SO4 2-", "charge"), ("[VO]2+", "charge"), ("SO₄²⁻", "charge"), ("", "no formula"),
        ("nan", "not a formula"), ("NAN", "A is not an element"), ("Li2Xx", "Xx is not an element"),
        ("Ca(OH", "brackets"), ("CaOH)2", "brackets"), ("Ca(OH]2", "brackets"), ("(2)", "not a formula"),
        ("Li2,O", "not a formula"), ("CuSO4·5H2O", "not a formula"), ("2Li", "not a formula"), ("Li0", "no atoms"),
        ("Li2 3O", "not a formula"), ("()", "no atoms"), ("Li" * 2000, "longer"),
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Wrong, match=reason):
        amounts_of(text, [])


@pytest.mark.parametrize("value", [7, ["Li"], b"Li"])
def test_a_formula_is_a_text(value: object) -> None:
    with pytest.raises(Wrong, match="not a text"):
        amounts_of(value, [])


def test_ions_are_taken_where_their_charges_cancel() -> None:
    assert amounts_of({"Li+": 2, "O2-": 1}, []) == {"Li": 2, "O": 1}
    assert amounts_of({"Fe2+": 1, "Fe3+": 2, "O2-": 4}, []) == {"Fe": 3, "O": 4}
    with pytest.raises(Wrong, match="charge of -1"):
        amounts_of({"Li+": 1, "O2-": 1}, [])
    for broken in ({"Li": "two"}, {"Li": -1}, {"Li": float("inf")}, {"?": 1}, {}):
        with pytest.raises(Wrong):
            amounts_of(broken, [])


@pytest.mark.parametrize("value", ["nan", "inf", "1,5", "1_000", "", " ", None, True, float("nan"), 10**400, "0x1"])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(Wrong):
        number(value, "energy")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_all_their_digits(value: float) -> None:
    assert number(repr(value), "energy") == number(value, "energy") == value


def test_reduced_formulas() -> None:
    assert reduced_formula({"Li": 4.0, "O": 2.0}) == "Li2O"
    assert reduced_formula({"Co": 1.0, "Li": 0.5, "O": 2.0}) == "Co2LiO4"
    assert reduced_formula({"Co": 1.0, "Li": 0.47, "O": 2.0}) == "CoLi0.47O2"
    assert reduced_formula({"N": 1.0, "Na": 1.0}) == "NNa"


@pytest.mark.parametrize("formula", ["D2O", "T2O", "DTO", {"D": 2, "O": 1}, {"T+": 2, "O2-": 1}])
def test_isotopes_are_never_read_as_hydrogen_in_silence(formula: object) -> None:
    warnings: list[str] = []
    assert amounts_of(formula, warnings) == {"H": 2, "O": 1}
    assert warnings == ["isotopes of hydrogen count as H"]
