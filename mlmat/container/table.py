"""Tables with a column of structures, chosen by its name: CSV, TSV, Parquet and JSON Lines.

The member is the row: the value of a column such as `id`, else its number from 1. The other columns with plain values
become key-value pairs.
"""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mlmat.container._compressed import bare_name, opened
from mlmat.container._lines import lines
from mlmat.container._member import Member, Options, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FORMAT = "table with a column of structures"
COLUMN = True
_TEXTS = ("csv", "tsv", "jsonl", "ndjson")
PATTERNS = ("*.parquet", *(f"*.{kind}{packed}" for kind in _TEXTS for packed in ("", ".gz", ".bz2", ".xz")))
#: Columns that name a row, the first of them that there is.
IDS = ("id", "material_id", "structure_id", "entry_id", "mp_id", "cod_id", "icsd_id", "jid", "uid", "unique_id", "_id")
#: Rows of a Parquet file in memory at once.
_ROWS = 256


def members(path: str, options: Options) -> Iterator[Member]:
    """The rows of the table. Raises Refused when there is no such column."""
    kind = PurePath(bare_name(path)).suffix.lower()
    read = {".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(kind, _separated)
    for number, row in enumerate(read(path, options), 1):
        yield _member(number, row, options)


def _member(number: int, row: Mapping[str, Any], options: Options) -> Member:
    column = _column(options)
    ids = {name.lower(): value for name, value in row.items() if name != column}
    name = next((str(ids[i]) for i in IDS if _plain(ids.get(i))), str(number))
    pairs = {key: value for key, value in row.items() if key != column and key and _plain(value)}
    value = row.get(column)
    if value is None or value in ("", b""):
        return Member(name, key_values=pairs, error=f"nothing in column {column} of this row")
    data = value if isinstance(value, bytes) else _text(value).encode("utf-8", "surrogateescape")
    if len(data) > options.max_bytes:
        return Member(name, key_values=pairs, error="too large", outcome="rejected")
    return Member(name, data, "row.json" if data.lstrip()[:1] in (b"{", b"[") else "row.cif", pairs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) and value != "" and value == value


def _column(options: Options) -> str:
    if options.column is None:
        raise Refused("a table: say which column holds the structures with --column NAME", final=False)
    return options.column


def _check(options: Options, names: Sequence[str]) -> None:
    column = _column(options)
    if column not in names:
        known = ", ".join(names) or "none"
        raise Refused(f"no column {column}; the table has: {known:.200}; give one of them to --column", final=False)


def _separated(path: str, options: Options) -> Iterator[dict[str, Any]]:
    # The limit is the module's, and this process has no other table.
    csv.field_size_limit(options.max_bytes)
    with closing(opened(path)) as stream:
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        tabs = PurePath(bare_name(path)).suffix.lower() == ".tsv"
        table = csv.reader(text, delimiter="\t" if tabs else ",")
        try:
            names = next(table, [])
            _check(options, names)
            for row in table:
                if row:
                    yield dict(zip(names, row, strict=False))
        except csv.Error as error:
            raise Refused(f"line {table.line_num}: {error}; the rest of the table is not read") from None


def _json_lines(path: str, options: Options) -> Iterator[dict[str, Any]]:
    column, known = _column(options), False
    for number, text in lines(path, options.max_bytes):
        row = _object(text, number)
        known = known or column in row
        if not known and number == 1:
            _check(options, list(row))
        yield row


def _object(text: bytes | None, number: int) -> dict[str, Any]:
    try:
        row = json.loads(text) if text is not None else None
    except (ValueError, RecursionError) as error:
        raise Refused(f"line {number}: no JSON ({error}); the rest of the table is not read") from None
    if not isinstance(row, dict):
        raise Refused(f"line {number}: not an object with named values; the rest of the table is not read")
    return row


def _parquet(path: str, options: Options) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    Path(path).open("rb").close()  # a missing file or permission is said as such
    try:
        with pq.ParquetFile(path) as file:
            _check(options, file.schema_arrow.names)
            names = [field.name for field in file.schema_arrow if _wanted(field, options)]
            for batch in file.iter_batches(_ROWS, columns=names):
                yield from _rows(batch)
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"broken Parquet file: {str(error).splitlines()[0]}") from None


def _wanted(field: Any, options: Options) -> bool:
    import pyarrow as pa

    return field.name == options.column or not pa.types.is_nested(field.type)


def _rows(batch: Any) -> Iterable[dict[str, Any]]:
    return [{name: _simple(value) for name, value in row.items()} for row in batch.to_pylist()]


def _simple(value: Any) -> Any:
    """A value as text where it is a date, a decimal or the like."""
    return value if value is None or isinstance(value, str | bytes | int | float | bool | list | dict) else str(value)
