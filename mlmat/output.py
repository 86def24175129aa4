"""Rows as a table on a terminal, CSV, JSON or Parquet; straight from Arrow, so that no digit and no array is lost."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import unicodedata
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from mlmat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

#: Rows that a table shows at most; files and other formats hold all.
TABLE_ROWS = 500
#: Characters of a cell on a terminal.
TEXT_WIDTH, ARRAY_WIDTH = 80, 40


def shown(text: Any) -> str:
    """Text without control characters (terminal escape codes and changes of direction among them)."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in plain)


def tell(lines: Iterable[str]) -> None:
    """Print lines for people: the way of every command to the terminal, whatever the texts in them come from."""
    for line in lines:
        sys.stdout.write(f"{shown(line)}\n")
        sys.stdout.flush()


def check_file(output: Path) -> None:
    """Refuse a place where no file can be. Raises UsageError."""
    if not output.parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {output.parent}; make it first")
    if output.is_dir():
        raise UsageError(f"-o {output}: this is a folder; give a file")


def write(table: pa.Table, output: Path | None, form: str | None) -> None:
    """Print rows or write them to a file, as table, csv, json or parquet. Raises UsageError."""
    form = form or (_form_of(output) if output else "table")
    if output is not None:
        check_file(output)
    if form == "parquet":
        _write_parquet(table, output)
        return
    text = {"table": as_table, "csv": as_csv, "json": as_json}[form](table)
    if output is None and sys.stdout.isatty():
        tell(text.splitlines())  # values go raw into files and pipes only
    elif output is None:
        sys.stdout.write(text)
    else:
        with placed(output) as partial:
            partial.write_text(text)


def _write_parquet(table: pa.Table, output: Path | None) -> None:
    import pyarrow.parquet as pq

    if output is None:
        raise UsageError("parquet is binary: give a file with -o FILE.parquet")
    with placed(output) as partial:
        pq.write_table(table, partial)


def _form_of(output: Path) -> str:
    forms = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".txt": "table"}
    if output.suffix.lower() not in forms:
        raise UsageError(f"-o {output}: the suffix must be one of {', '.join(forms)}, or say --format")
    return forms[output.suffix.lower()]


def as_csv(table: pa.Table) -> str:
    """Comma-separated values: floats with all their digits, arrays as JSON, missing values empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in _rows(table):
        writer.writerow([_csv_value(value) for value in row])
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=_plain)
    return _plain(value) if isinstance(value, datetime | date) else value


def as_json(table: pa.Table) -> str:
    """One JSON array of objects; floats with all their digits, NaN and infinities as null."""
    rows = [dict(zip(table.column_names, row, strict=True)) for row in _rows(table)]
    return json.dumps(_finite(rows), default=_plain, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _rows(table: pa.Table) -> Any:
    """Rows as tuples of Python values; a map becomes a dict."""
    import pyarrow as pa

    columns = []
    for column in table.columns:
        values = column.to_pylist()
        if pa.types.is_map(column.type):
            values = [None if value is None else dict(value) for value in values]
        columns.append(values)
    return zip(*columns, strict=True)


def as_table(table: pa.Table) -> str:
    """Columns side by side, as many as the terminal takes; long arrays shortened, missing values as -."""
    import pyarrow as pa

    whole = sys.stdout.isatty()
    head = list(_rows(table.slice(0, TABLE_ROWS)))
    columns = [_cells(name, [row[i] for row in head], shorten=whole) for i, name in enumerate(table.column_names)]
    widths = [max(map(len, column)) for column in columns]
    fitting = _fitting(widths)
    numeric = [pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in table.schema.types]
    lines = []
    for cells in zip(*columns[:fitting], strict=True):
        parts = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, numeric, strict=False)]
        lines.append("  ".join(parts).rstrip())
    if fitting < len(columns):
        lines.append(shown("more columns: " + ", ".join(table.column_names[fitting:])))
    if table.num_rows > TABLE_ROWS:
        lines.append(f"… {table.num_rows - TABLE_ROWS:,} more rows; write all of them with -o FILE.csv")
    elif table.num_rows == 0:
        lines.append("(no rows)")
    return "\n".join(lines) + "\n"


def _fitting(widths: list[int]) -> int:
    """How many columns a terminal takes; all of them where the output goes elsewhere."""
    if not sys.stdout.isatty():
        return len(widths)
    room, used, count = shutil.get_terminal_size().columns, 0, 0
    for width in widths:
        used += width + 2
        if used - 2 > room and count:
            break
        count += 1
    return count


def _cells(name: str, values: list[Any], *, shorten: bool) -> list[str]:
    number = _float_format([v for v in values if isinstance(v, float)])
    return [shown(name), *(_cell(value, number, shorten=shorten) for value in values)]


def _float_format(values: list[float]) -> Callable[[float], str]:
    """One format for a column: four decimals, unless its numbers are all too small or some too large for that."""
    sizes = [abs(v) for v in values if v == v and v]
    plain = not sizes or (max(sizes) < 1e6 and max(sizes) >= 1e-3)
    return _four_decimals if plain else (lambda v: f"{v:.4g}")


def _four_decimals(value: float) -> str:
    """A number that would be 0.0000, but for what rounding leaves, with two digits."""
    return f"{value:.2g}" if 1e-9 <= abs(value) < 5e-5 else f"{value:.4f}"


def _cell(value: Any, number: Callable[[float], str], *, shorten: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | dict):
        text = shown(json.dumps(value, default=_plain))
        return text if len(text) <= ARRAY_WIDTH else text[: ARRAY_WIDTH - 1] + "…"
    text = shown(value)
    return text if not shorten or len(text) <= TEXT_WIDTH else text[: TEXT_WIDTH - 1] + "…"


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """A name beside the target; what is written there takes the target's place at the end, or is removed.

    A pipe or a device stays what it is: its own name is given.
    """
    target = target.absolute()
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target
        return
    target = target.resolve() if target.is_symlink() else target
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield partial
        if target.is_dir():
            _swap(partial, target)
        else:
            partial.replace(target)
    finally:
        _remove(partial)


def _swap(partial: Path, target: Path) -> None:
    """Put one folder in the place of another."""
    old = partial.with_suffix(".old")
    target.replace(old)
    try:
        partial.replace(target)
    except BaseException:
        old.replace(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
