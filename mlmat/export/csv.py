"""CSV: one row a structure, numbers with all digits, and the structure as CIF text in the column `cif`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.export._table import schema, tables
from mlmat.output import as_csv

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.export._rows import Rows

SUFFIXES = (".csv",)


def write(rows: Rows, path: Path) -> int:
    """Write a line for each row under a line of names; how many."""
    columns, count = schema(rows, arrays=False), 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for table in tables(rows, columns):
            text = as_csv(table)
            file.write(text.split("\n", 1)[1] if count else text)
            count += table.num_rows
    return count
