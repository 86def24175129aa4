"""What a user names to exclude, include or forget: ids, the beginnings of ids, and sources by their paths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.errors import StoreError
from mlmat.provenance import clean
from mlmat.store.access.connection import rows
from mlmat.store.tables.structures import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{0,27}")
_STRUCTURE = re.compile(r"[0-9a-f]{4,64}")
#: SQL for what a source $1 names (pattern $2): of rows with a path, and a member where there is one.
MATCHES = """(path = $1 OR starts_with(path, $1 || '/') OR path || '!' || {member} = $1 OR path LIKE $2 ESCAPE '\\')"""


def is_uuid(text: str) -> bool:
    """Whether a text may be the beginning of the id of a result, a run or a block."""
    return bool(_UUID.fullmatch(text.strip().lower()))


def item(con: duckdb.DuckDBPyConnection, text: str) -> tuple[str, str]:
    """Kind (structure, result or source) and full id, or path, of what a text names. Raises StoreError."""
    text = text.strip()
    if is_uuid(text):
        for kind, table in (("result", "result"), ("source", "source")):
            if found := whole(con, table, f"{table}_id", text):
                return kind, found
        raise StoreError(f"no result or block of a file {text} in this store")
    if _STRUCTURE.fullmatch(text.lower()):
        return "structure", resolve(con, text)
    return "source", source(con, text)


def whole(con: duckdb.DuckDBPyConnection, table: str, column: str, text: str) -> str | None:
    """The full UUID for its unambiguous beginning, None where there is none. Raises StoreError."""
    query = f"SELECT DISTINCT {column}::VARCHAR FROM {table} WHERE starts_with({column}::VARCHAR, $1) LIMIT 2"
    found = rows(con, query, [text.strip().lower()])
    if len(found) > 1:
        raise StoreError(f"several {table}s begin with {text}; give more of it")
    return str(found[0][0]) if found else None


def source(con: duckdb.DuckDBPyConnection, text: str) -> str:
    """A file, folder, member (ARCHIVE!MEMBER) or pattern as the store has it. Raises StoreError where nothing fits."""
    for path in _spellings(text):
        if any(count_of(con, path)):
            return path
    raise StoreError(
        f'nothing in this store came from {text}; files that did: mlmat sql "SELECT DISTINCT path FROM source"'
    )


def _spellings(text: str) -> Iterator[str]:
    """How the store may have written a path: paths are absolute there."""
    yield clean(text)
    path, mark, member = text.partition("!")
    for one in (os.path.abspath(Path(path).expanduser()), os.path.realpath(path)):  # noqa: PTH100 - as ingest does
        yield clean(f"{one}{mark}{member}")


def pattern(text: str) -> str | None:
    """A pattern with * and ? as LIKE takes it, with a backslash to escape; None for a text without."""
    if not re.search(r"[*?]", text):
        return None
    return re.sub(r"([\\%_])", r"\\\1", text).replace("*", "%").replace("?", "_")


def count_of(con: duckdb.DuckDBPyConnection, path: str) -> tuple[int, int]:
    """Blocks and rows of imported files that a source names."""
    values = [path, pattern(path)]
    blocks = f"SELECT count(*) FROM source WHERE {MATCHES.format(member='member')}"
    lines = f"SELECT count(*) FROM import_row WHERE {MATCHES.format(member='NULL')}"
    return rows(con, blocks, values)[0][0], rows(con, lines, values)[0][0]
