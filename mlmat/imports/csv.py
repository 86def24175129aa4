"""Comma- or tab-separated tables: a header, then a row for each result."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from pathlib import PurePath
from typing import TYPE_CHECKING

from mlmat.container import bare_name, opened
from mlmat.imports._given import Given, UnreadableRow, Unused, Wrong, from_cells, known_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader import Limits

FORMAT = "CSV (.csv, .tsv)"
PATTERNS = ("*.csv", "*.tsv")
VERSION = 1


def rows(path: str, limits: Limits) -> Iterator[Given | UnreadableRow | Unused]:
    """The rows of a table, each called by the line where it begins. Every value is a text. Raises Wrong."""
    csv.field_size_limit(limits.max_bytes)
    with closing(opened(path)) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        tabs = PurePath(bare_name(path)).suffix.lower() == ".tsv"
        try:
            yield from _rows(csv.reader(text, delimiter="\t" if tabs else ","))
        except csv.Error as error:
            raise Wrong(f"broken table: {error}") from None


def _rows(table: Iterator[list[str]]) -> Iterator[Given | UnreadableRow | Unused]:
    names = next(table, [])
    known = known_columns(names)
    yield Unused([name for name in names if name not in known])
    line = getattr(table, "line_num", 1) + 1
    for row in table:
        if len(row) > len(names):
            yield UnreadableRow(f"line {line}", f"{len(row)} values where the header names {len(names)}")
        elif any(row):
            cells = {known[name]: value for name, value in zip(names, row, strict=False) if name in known and value}
            yield from_cells(f"line {line}", cells)
        line = getattr(table, "line_num", line) + 1
