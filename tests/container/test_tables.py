"""Tables with a column of structures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from effort import examples
from hand_made_containers import make_csv, make_json_lines, make_parquet, members
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cifs import cif

words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=8)
keys = st.text("abcdefgh é", min_size=1, max_size=6).filter(lambda key: key.strip() == key and key != "cif")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=60).map("data_".__add__)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(keys, max_size=4, unique=True))
    kinds = {name: draw(st.sampled_from([words, st.integers(-(2**53), 2**53), st.booleans()])) for name in names}
    return draw(
        st.lists(
            st.fixed_dictionaries({"cif": texts, **{name: st.none() | kind for name, kind in kinds.items()}}),
            min_size=1,
            max_size=5,
        )
    )


@settings(max_examples=examples(60))
@given(tables())
def test_what_is_in_the_table_comes_out(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path, make in (
            (Path(folder) / "a.parquet", make_parquet),
            (Path(folder) / "a.jsonl", make_json_lines),
            (Path(folder) / "a.csv", make_csv),
        ):
            make(path, rows)
            found = members(path, "cif")
            assert [one.data.decode() for one in found] == [row["cif"] for row in rows]
            assert [one.name for one in found] == [str(i + 1) for i in range(len(rows))]
            as_text = path.suffix == ".csv"
            for one, row in zip(found, rows, strict=True):
                expected = {key: value for key, value in row.items() if key != "cif" and value not in (None, "")}
                assert one.key_values == ({k: str(v) for k, v in expected.items()} if as_text else expected)


def test_rows_are_called_by_their_id(tmp_path: Path) -> None:
    rows = [{"cif": cif(), "Material_ID": "mp-1", "gap": 1.5}, {"cif": cif(), "Material_ID": "", "gap": None}]
    first, second = members(make_csv(tmp_path / "a.csv", rows), "cif")
    assert (first.name, second.name) == ("mp-1", "2")
    assert first.key_values == {"Material_ID": "mp-1", "gap": "1.5"}


def test_nested_values_and_dates(tmp_path: Path) -> None:
    import datetime

    rows = [{"cif": cif(), "day": datetime.date(2030, 1, 2), "list": [1, 2]}]
    (found,) = members(make_parquet(tmp_path / "a.parquet", rows), "cif")
    assert found.key_values == {"day": "2030-01-02"}


def test_structures_in_json_columns(tmp_path: Path) -> None:
    (found,) = members(make_json_lines(tmp_path / "a.jsonl", [{"structure": {"@class": "Structure"}}]), "structure")
    assert (found.file, found.data) == ("row.json", b'{"@class": "Structure"}')


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_wrong_column_is_answered_with_those_there_are(name: str, tmp_path: Path) -> None:
    make = {"csv": make_csv, "jsonl": make_json_lines, "parquet": make_parquet}[name.partition(".")[2]]
    (refused,) = members(make(tmp_path / name, [{"cif": cif(), "gap": 1}]), "CIF")
    assert refused.error == "no column CIF; the table has: cif, gap; give one of them to --column"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_column_without_structures_is_answered_with_one_that_has_them(name: str, tmp_path: Path) -> None:
    make = {"csv": make_csv, "jsonl": make_json_lines, "parquet": make_parquet}[name.partition(".")[2]]
    (refused,) = members(make(tmp_path / name, [{"cif": cif(), "gap": 1}]), "gap")
    assert str(refused.error).startswith("column gap holds no structures (its first value is '1')")
    assert str(refused.error).endswith("; column cif looks like CIF: --column cif")
    (refused,) = members(make(tmp_path / name, [{"label": "a", "gap": 1}]), "gap")
    assert str(refused.error).endswith("neither CIF nor JSON")


def test_one_bad_row_is_no_reason_to_refuse_the_others(tmp_path: Path) -> None:
    rows = [{"id": "a", "cif": "lost"}, {"id": "b", "cif": cif()}]
    assert [one.error for one in members(make_csv(tmp_path / "a.csv", rows), "cif")] == [None, None]


def test_an_empty_cell_and_an_unclosed_quote(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'id,cif\n1,\n2,"{cif()}"\n3,"data_x\nnever closed')
    first, second, third = members(path, "cif")
    assert (first.name, first.error) == ("1", "nothing in column cif of this row")
    assert second.error is None
    assert third.data.startswith(b"data_x")
    rest = members(path, "cif", max_bytes=20)
    assert "the rest of the table is not read" in str(rest[-1].error)
