"""What is printed or written: every digit, every array."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmat.errors import UsageError
from mlmat.output import as_csv, as_json, as_table, write

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.tuples(NUMBERS, st.lists(NUMBERS), st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"))))
)
def test_csv_and_json_hold_every_digit(rows: list[tuple[float, list[float], str]]) -> None:
    columns = {
        "x": pa.array([r[0] for r in rows], pa.float64()),
        "forces": pa.array([r[1] for r in rows], pa.list_(pa.float64())),
        "text": pa.array([r[2] for r in rows], pa.string()),
    }
    table = pa.table(columns)
    read = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [(float(r["x"]), json.loads(r["forces"]), r["text"]) for r in read] == rows
    assert [(r["x"], r["forces"], r["text"]) for r in json.loads(as_json(table))] == rows


def test_large_arrays_are_whole(tmp_path: Path) -> None:
    forces = [[[i / 3, i / 7, 1e-17 * i] for i in range(2_000)]]
    table = pa.table({"forces": forces})
    write(table, tmp_path / "f.csv", None)
    with (tmp_path / "f.csv").open(newline="") as file:
        csv.field_size_limit(10_000_000)
        (row,) = csv.DictReader(file)
    assert json.loads(row["forces"]) == forces[0]
    write(table, tmp_path / "f.PARQUET", None)
    assert pq.read_table(tmp_path / "f.PARQUET")["forces"].to_pylist() == forces


def test_odd_values() -> None:
    table = pa.table(
        {
            "missing": pa.array([None], pa.float64()),
            "nan": [float("nan")],
            "when": [datetime(2026, 1, 2, tzinfo=UTC)],
            "formula": ["NaN"],
            "versions": pa.array([[("ase", "3")]], pa.map_(pa.string(), pa.string())),
        }
    )
    (row,) = json.loads(as_json(table))
    assert row == {
        "missing": None, "nan": None, "when": "2026-01-02T00:00:00+00:00", "formula": "NaN", "versions": {"ase": "3"},
    }  # fmt: skip
    assert as_table(table).splitlines()[1].split()[:2] == ["-", "nan"]


def test_numbers_of_a_column_share_their_decimals() -> None:
    cells = as_table(pa.table({"e": [-0.0163, 0.00069188, 12.0]})).split()
    assert cells == ["e", "-0.0163", "0.0007", "12.0000"]
    assert as_table(pa.table({"f": [1e-17, 3.2e-12]})).split() == ["f", "1e-17", "3.2e-12"]


def test_a_missing_folder_or_an_unknown_suffix_is_said(tmp_path: Path) -> None:
    table = pa.table({"x": [1]})
    for output, said in ((tmp_path / "no" / "x.csv", "no folder"), (tmp_path / "x.doc", "suffix")):
        with pytest.raises(UsageError, match=said):
            write(table, output, None)
    with pytest.raises(UsageError, match="binary"):
        write(table, None, "parquet")


def test_a_file_is_replaced_in_whole_or_not_at_all(tmp_path: Path) -> None:
    file, table = tmp_path / "out.parquet", pa.table({"x": [1]})
    write(table, file, None)
    with pytest.raises(pa.ArrowNotImplementedError):  # half-way through
        write(pa.table({"x": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), file, None)
    assert pq.read_table(file).equals(table)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_and_a_pipe_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(UsageError, match="this is a folder"):
        write(pa.table({"x": [1]}), tmp_path / "out.csv", None)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pa.table({"x": [1]}), pipe, None)
    assert os.read(reading, 100) == b"x\n1\n"
    os.close(reading)
    assert pipe.is_fifo()
