"""Parquet tables: a row for each result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.imports._given import Given, UnreadableRow, Unused, Wrong, from_cells, known_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader import Limits

FORMAT = "Parquet (.parquet)"
PATTERNS = ("*.parquet", "*.pq")
VERSION = 1
#: Rows that are in memory together.
_ROWS = 1_000


def rows(path: str, limits: Limits) -> Iterator[Given | UnreadableRow | Unused]:
    """The rows of a table, numbered from 1. Raises Wrong."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    del limits  # rows come in batches, and the process has a limit of its own
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            known = known_columns(names)
            yield Unused([name for name in names if name not in known])
            for batch in file.iter_batches(_ROWS, columns=list(known)):
                for row in batch.to_pylist():
                    number += 1
                    yield from_cells(f"row {number}", {known[name]: value for name, value in row.items()})
    except UnicodeDecodeError as error:
        raise Wrong(f"a text that is not UTF-8 after row {number}") from error
    except (pa.ArrowException, OSError) as error:
        raise Wrong(f"broken Parquet file: {str(error).splitlines()[0]}") from None
