"""Parquet: one row a structure, arrays as typed lists, and the structure as CIF text beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.export._table import schema, tables

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.export._rows import Rows

SUFFIXES = (".parquet",)


def write(rows: Rows, path: Path) -> int:
    """Write a row for each row, in groups of a thousand; how many."""
    import pyarrow.parquet as pq

    columns, count = schema(rows, arrays=True), 0
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        for table in tables(rows, columns):
            writer.write_table(table)
            count += table.num_rows
    return count
