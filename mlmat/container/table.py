"""Tables with a column of structures, chosen by its name: CSV, TSV, Parquet and JSON Lines.

The member is the row: the value of a column such as `id`, else its number from 1. The other columns with plain values
become key-value pairs.
"""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Self

from mlmat.container._compressed import ALWAYS, RATIO, bare_name, bomb, lines, opened
from mlmat.container._member import Member, Options, Refused
from mlmat.container.lines import members as plain_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FORMAT = "table with a column of structures"
COLUMN = True
_TEXTS = ("csv", "tsv", "jsonl", "ndjson")
PATTERNS = ("*.parquet", *(f"*.{kind}{packed}" for kind in _TEXTS for packed in ("", ".gz", ".bz2", ".xz")))
#: Columns that name a row, the first of them that there is.
IDS = ("id", "material_id", "structure_id", "entry_id", "mp_id", "cod_id", "icsd_id", "jid", "uid", "unique_id", "_id")
#: Rows of a Parquet file in memory at once, and what each counts for, in bytes, even if it is empty.
_ROWS, _ROW_BYTES = 16, 1000
#: Rows that tell whether the column holds structures at all.
_FIRST = 10
#: Bytes of a line of names, or of a row in JSON, at most; rows of CSV may be as long as a member.
_NAMES_BYTES, _JSON_BYTES = 4 * 1024**2, 32 * 1024**2
#: What every CIF has.
_CIF = re.compile("data_", re.IGNORECASE)
#: Keys of lines that are structures by themselves: of OPTIMADE, of pymatgen.
_STRUCTURE = {"x-optimade", "attributes", "@class", "@module"}


def members(path: str, options: Options) -> Iterator[Member]:
    """The rows of the table. Raises Refused when there is no such column, or no structures in it."""
    kind = PurePath(bare_name(path)).suffix.lower()
    read = {".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(kind, _separated)
    first: list[Mapping[str, Any]] = []
    with suppress(Refused):  # it comes again below, after the rows before it
        first.extend(islice(read(path, options), _FIRST))
    if not first and read is _json_lines and _are_structures(path, options):
        yield from plain_lines(path, options)
        return
    _check_values(first, _column(options))
    for number, row in enumerate(read(path, options), 1):
        yield _member(number, row, options)


def _member(number: int, row: Mapping[str, Any], options: Options) -> Member:
    column = _column(options)
    ids = {name.lower(): value for name, value in row.items() if name != column}
    name = next((str(ids[i]) for i in IDS if _plain(ids.get(i))), str(number))
    pairs = {key: value for key, value in row.items() if key != column and key and _plain(value)}
    value = row.get(column)
    if value is None or value in ("", b""):
        return Member(name, key_values=pairs, error=f"nothing in column {column} of this row", column=column)
    data = value if isinstance(value, bytes) else _text(value).encode("utf-8", "surrogateescape")
    if len(data) > options.max_bytes:
        return Member(name, key_values=pairs, error="too large", outcome="rejected", column=column)
    file = "row.json" if data.lstrip()[:1] in (b"{", b"[") else "row.cif"
    return Member(name, data, file, pairs, column=column)


def _are_structures(path: str, options: Options) -> bool:
    """Whether the lines of a file without the column are structures themselves: a folder may hold both kinds."""
    with suppress(Refused):
        first = islice(lines(path, min(options.max_bytes, _JSON_BYTES)), 1)
        return any(_STRUCTURE & _object(text, number).keys() for number, text in first)
    return False


def _check_values(first: Sequence[Mapping[str, Any]], column: str) -> None:
    values = [value for row in first if (value := row.get(column)) not in (None, "", b"")]
    if not values or any(map(_may_be, values)):
        return
    cells = (cell for row in first for cell in row.items())
    cif = next((name for name, value in cells if isinstance(value, str) and _CIF.search(value)), None)
    hint = f"; column {cif} looks like CIF: --column {cif}" if cif else ", neither CIF nor JSON"
    raise Refused(f"column {column} holds no structures (its first value is {str(values[0])!r:.60}){hint}", final=False)


def _may_be(value: Any) -> bool:
    """Whether a value may be a structure: CIF, JSON, or bytes, which may be either, compressed."""
    if isinstance(value, str):
        return value.lstrip()[:1] in ("{", "[") or _CIF.search(value) is not None
    return isinstance(value, bytes | dict | list)


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
    before = csv.field_size_limit(options.max_bytes)  # the module's, for all who read tables in this process
    with closing(opened(path)) as stream:
        text = _Lines(io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=""), _NAMES_BYTES)
        tabs = PurePath(bare_name(path)).suffix.lower() == ".tsv"
        table = csv.reader(text, delimiter="\t" if tabs else ",")
        try:
            names = next(table, [])
            _check(options, names)
            text.room = options.max_bytes
            for row in table:
                text.room = options.max_bytes
                if row:
                    yield dict(zip(names, row, strict=False))
        except csv.Error as error:
            raise Refused(f"line {table.line_num}: {error}; the rest of the table is not read") from None
        finally:
            csv.field_size_limit(before)


class _Lines:
    """Lines of a text for csv, which would take one without end into memory. room: characters until the row ends."""

    def __init__(self, text: io.TextIOWrapper, room: int) -> None:
        self.text, self.room = text, room

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self.text.readline(self.room + 1)
        self.room -= len(line)
        if self.room < 0:
            raise Refused("a row is too large: the rest of the table is not read", "rejected")
        if not line:
            raise StopIteration
        return line


def _json_lines(path: str, options: Options) -> Iterator[dict[str, Any]]:
    column, known = _column(options), False
    for number, text in lines(path, min(options.max_bytes, _JSON_BYTES)):
        row = _object(text, number)
        known = known or column in row
        if not known and number == 1:
            _check(options, list(row))
        yield row


def _object(text: bytes | None, number: int) -> dict[str, Any]:
    if text is None:
        raise Refused(f"line {number}: too large; the rest of the table is not read", "rejected")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"line {number}: no JSON ({error}); the rest of the table is not read") from None
    if not isinstance(row, dict):
        raise Refused(f"line {number}: not an object with named values; the rest of the table is not read")
    return row


def _parquet(path: str, options: Options) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    Path(path).open("rb").close()  # a missing file or permission is said as such
    room = max(ALWAYS, RATIO * Path(path).stat().st_size)
    try:
        with pq.ParquetFile(path) as file:
            _check(options, file.schema_arrow.names)
            names = [field.name for field in file.schema_arrow if _wanted(field, options)]
            for batch in file.iter_batches(_ROWS, columns=names):
                room -= batch.nbytes + _ROW_BYTES * batch.num_rows
                if room < 0:
                    raise Refused(bomb(), "rejected")
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
