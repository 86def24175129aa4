"""Formulas as people write them, against pymatgen."""

from __future__ import annotations

import csv
import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmat.materials.formula import canonical, integers, parse, pretty, reduced_formula

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pymatgen.core import Composition, Element

SYMBOLS = sorted(element.symbol for element in Element if element.symbol not in ("D", "T"))
CELLS = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 60), min_size=1, max_size=8)
#: Cells of the elements that make anions in brackets, and molecules.
ANIONS = st.dictionaries(
    st.sampled_from(["Li", "Fe", "H", "C", "N", "O", "P", "S", "F", "Si"]), st.integers(1, 12), min_size=1
)

pytestmark = pytest.mark.filterwarnings("ignore:No Pauling electronegativity")


@given(st.one_of(CELLS, ANIONS))
def test_as_pymatgen_writes_it(amounts: dict[str, int]) -> None:
    assert pretty(amounts) == Composition(amounts).reduced_formula


@given(st.one_of(CELLS, ANIONS), st.randoms(use_true_random=False), st.integers(1, 9))
def test_any_order_and_multiple_is_the_same(amounts: dict[str, int], chance: object, times: int) -> None:
    symbols = list(amounts)
    chance.shuffle(symbols)  # type: ignore[attr-defined]
    text = "".join(f"{symbol}{amounts[symbol] * times}" for symbol in symbols)
    assert parse(text) == {symbol: n * times for symbol, n in amounts.items()}
    assert canonical(text) == canonical(reduced_formula(amounts)) == canonical(pretty(amounts)) == pretty(amounts)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["clean", "experimental"])
def test_every_formula_of_the_shared_sets(shared: Path, name: str) -> None:
    with (shared / "data" / f"{name}_manifest.csv").open(newline="") as lines:
        texts = {row["pymatgen_formula"] for row in csv.DictReader(lines)} - {""}
    assert len(texts) > 500
    wrong = [text for text in texts if canonical(text) != _by_pymatgen(text)]
    assert wrong == []


def _by_pymatgen(text: str) -> str:
    found = Composition(text)
    whole = integers(found.get_el_amt_dict())
    return str(Composition(whole).reduced_formula) if whole else canonical(text) or ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("O2Si", "SiO2"), ("CoLiO2", "LiCoO2"), ("CaO3Ti", "CaTiO3"), ("Fe2Li3O12P3", "Li3Fe2(PO4)3"), ("NNa", "NaN"),
        ("Ca(OH)2", "Ca(HO)2"), ("HO", "H2O2"), ("LiO", "Li2O2"), ("O8", "O2"), ("Cl", "Cl2"), ("Br", "Br"),
        ("He4", "He"), ("ArXe", "XeAr"), ("Si2O4", "SiO2"), (" O2 Si ", "SiO2"), ("SiO₂", "SiO2"), ("D2O", "H2O"),
        ("Li0.5CoO2", "Li(CoO2)2"), ("Li0.47CoO2", "Li0.47CoO2"), ("CuSO4·5H2O", "CuH10SO9"),
        ("K4[Fe(CN)6]", "K4Fe(CN)6"), ("HO2H", "H2O2"), ("O2Ti0", "O2"),
    ],
)  # fmt: skip
def test_what_people_write(text: str, written: str) -> None:
    assert canonical(text) == written


@pytest.mark.parametrize(
    "text",
    ["", " ", "sio2", "Xx", "Li2Xx", "Li+", "SO4 2-", "Ca(OH", "CaOH)2", "Ca(OH]2", "2Li", "Li2,O", "()", "Li0", "Li-O",
     "CuSO4.5H2O", "%O2", "·", "C" + "9" * 400, "Ca(OH)" + "9" * 400, "Li" * 2000],
)  # fmt: skip
def test_what_is_no_formula(text: str) -> None:
    assert canonical(text) is None
