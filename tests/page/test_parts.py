"""Parts of the report that need neither a store nor a browser: texts, columns, formulas, where labels stand."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mlmat.page import _contents, _document
from mlmat.page._labels import Around, Box, arranged
from mlmat.page.figure import below

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


def test_numbers_of_a_formula_stand_below() -> None:
    assert below("Li3Fe2(PO4)3") == "Li₃Fe₂(PO₄)₃"


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
