"""Parts of the report that need neither a store nor a browser: texts, columns, formulas, where labels stand."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmat.page import _contents, _document
from mlmat.page._formula import below, conventional, conventional_in
from mlmat.page._labels import Around, Box, arranged

PLAIN = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(PLAIN)
def test_embedded_values_come_back_and_mean_nothing_to_html(value: object) -> None:
    text = _document.embedded(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set(text) & set("<>&")


@given(st.lists(st.none() | st.sampled_from(["a", "b"]) | st.lists(st.sampled_from(["Li", "O"]), max_size=2)))
def test_packed_columns_come_back(values: list[object]) -> None:
    found = _contents.packed(values)
    if isinstance(found, dict):
        assert len(found["values"]) < len(values) or found["rows"] is None
        found = [found["values"][k] for k in found["rows"] or [0] * len(values)]
    assert found == values


@pytest.mark.parametrize(
    ("stored", "written"),
    [("CoLiO2", "LiCoO2"), ("NNa3", "Na3N"), ("FeLiO4P", "LiFePO4"), ("O2Ti", "TiO2"), ("Li", "Li"), ("?", "?")],
)
def test_formulas_as_chemists_write_them(stored: str, written: str) -> None:
    assert conventional(stored) == written


@given(st.dictionaries(st.sampled_from(["Li", "Co", "O", "N", "Na", "Xe", "Ts"]), st.integers(1, 200), min_size=1))
def test_a_formula_in_another_order_is_the_same_composition(amounts: dict[str, int]) -> None:
    formula = "".join(f"{symbol}{amounts[symbol]}" for symbol in sorted(amounts))
    found = {symbol: int(amount) for symbol, amount in re.findall(r"([A-Z][a-z]?)(\d+)", conventional(formula))}
    assert found == amounts
    assert not any(character.isdecimal() and character.isascii() for character in below(formula))


def test_formulas_within_a_text() -> None:
    assert conventional_in("0.500 CoLiO2 + 0.500 O2Ti") == "0.500 LiCoO2 + 0.500 TiO2"


POINT = st.tuples(st.floats(0, 600), st.floats(0, 400))


@given(st.lists(POINT, max_size=25), st.lists(POINT, max_size=25))
def test_labels_cover_neither_one_another_nor_a_point(points: list[tuple[float, float]], dots: list) -> None:
    boxes = [Box(x, y, 20, 7) for x, y in points]
    around = Around(points, list(pairwise(points)), dots, (300, 200))
    found = [box for box in arranged(boxes, around, 1.0) if box is not None]
    assert not any(a.meets(b) for k, a in enumerate(found) for b in found[:k])
    assert not any(box.holds(*point) for box in found for point in points)


def test_every_label_has_a_place_where_there_is_room() -> None:
    points = [(100.0 * k, 50.0 * (k % 3)) for k in range(8)]
    found = arranged([Box(x, y, 20, 7) for x, y in points], Around(points, [], [], (350, 50)), 1.0)
    assert Counter(box is None for box in found) == {False: 8}
