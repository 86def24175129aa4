"""The columns that a runner declares, their Arrow types, and the table of checked rows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

from mlmat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

#: Keys of a row that are columns of table `result` itself.
COMMON = ("energy", "converged")
#: Names that belong to the store; a runner's own column of that name gets a `_` behind it.
TAKEN = frozenset({"result_id", "structure_id", "method_id", "run_id", "status"})
_KINDS = (bool, int, float, str, datetime)


def storable(text: str) -> str:
    """Text that Arrow takes: valid UTF-8, anything else escaped."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class Column:
    """A declared column.

    kind: of its values; sizes: of the lists in each value, the outermost first, None for any length; exact: what
    certainly is one of its values, or an item of such lists, when it is finite; structure: it holds `ase.Atoms`.
    """

    kind: pa.DataType
    sizes: tuple[int | None, ...]
    exact: type | None
    structure: bool

    def certainly_holds(self, value: Any) -> bool:
        """Whether nothing else has to be looked at; of what may fit after all it says no, too."""
        level = [value]
        for size in self.sizes:
            if set(map(type, level)) != {list} or (size is not None and set(map(len, level)) != {size}):
                return False
            level = list(chain.from_iterable(level))
        # The sum is finite only where all of them are.
        return set(map(type, level)) == {self.exact} and (self.exact is not float or isfinite(sum(level)))


@dataclass(frozen=True, slots=True)
class Declaration:
    """The columns of a runner by name, and the spelling of all names that it uses by their lower case."""

    columns: Mapping[str, Column]
    spelled: Mapping[str, str]


@cache
def declaration(declared: tuple[tuple[str, str], ...]) -> Declaration:
    """What a runner declares, names with types. Raises UsageError as `arrow_types` does."""
    kinds = arrow_types(dict(declared))
    columns = {name: _column(kinds[name], _type_of(text)) for name, text in declared}
    return Declaration(columns, {name.lower(): name for name in (*COMMON, *columns)})


def _column(kind: pa.DataType, sql: str) -> Column:
    base, sizes = sql.partition("[")[0], re.findall(r"\[(\d*)\]", sql)[::-1]
    exact = {"DOUBLE": float, "BOOLEAN": bool, "VARCHAR": str}.get(base)
    return Column(kind, tuple(int(size) if size else None for size in sizes), exact, base == "STRUCTURE")


def _type_of(text: str) -> str:
    return text.partition("--")[0].strip().upper()


def arrow_types(declared: Mapping[str, str]) -> dict[str, pa.DataType]:
    """Arrow type of every declared column. Raises UsageError for a type or a name that cannot be."""
    lower = [name.lower() for name in declared]
    for name in declared:
        if name.lower() in TAKEN:
            raise UsageError(f"column {name}: the store has a column of this name; choose another")
        if lower.count(name.lower()) > 1:
            raise UsageError(f"column {name}: declared twice (SQL does not tell case apart)")
    return {name: _arrow_type(name, text.partition("--")[0].strip()) for name, text in declared.items()}


@cache
def _arrow_type(column: str, sql: str) -> pa.DataType:
    import pyarrow as pa

    simple = {
        "DOUBLE": pa.float64(), "FLOAT": pa.float32(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(), "VARCHAR": pa.string(), "TIMESTAMP": pa.timestamp("us"), "STRUCTURE": pa.string(),
    }  # fmt: skip
    match = re.fullmatch(r"(\w+)((?:\[\d*\])*)", sql.upper())
    if match is None or match[1] not in simple or (match[1] == "STRUCTURE" and match[2]):
        raise UsageError(f"column {column}: unknown type {sql!r}; use {', '.join(simple)}, with [] or [3] for arrays")
    kind = simple[match[1]]
    for size in re.findall(r"\[(\d*)\]", match[2]):
        kind = pa.list_(kind, int(size)) if size else pa.list_(kind)
    return kind


def values_table(ids: Sequence[str], rows: Sequence[Mapping[str, Any]], declared: Mapping[str, str]) -> pa.Table:
    """The runner's own columns of ok rows: typed as declared, inferred where they are not, text where kinds mix."""
    import pyarrow as pa

    kinds = arrow_types(declared)
    columns: dict[str, pa.Array] = {"result_id": pa.array(ids, pa.string())}
    for name, values in _columns(rows).items():
        if name in kinds or any(value is not None for value in values):
            columns[name] = pa.array(values, kinds[name]) if name in kinds else _inferred(values)
    own = {name: text for name, text in declared.items() if name not in COMMON}
    return pa.table(columns).replace_schema_metadata({b"mlmat.columns": json.dumps(own).encode()})


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Values by column; names that differ only in case are one column, spelled as first met."""
    spelled: dict[str, str] = {}
    found: dict[str, list[Any]] = {}
    for at, row in enumerate(rows):
        for name, value in row.items():
            column = spelled.setdefault(name.lower(), name)
            if column not in COMMON:
                found.setdefault(column, [None] * len(rows))[at] = value
    return found


def _inferred(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    found = set().union(*(_shapes(value) for value in values))
    kinds, depths = {kind for kind, _ in found}, {depth for _, depth in found}
    # Empty lists hold numbers, as far as anybody can tell.
    depth = max(depths or map(_depth, values))
    numbers = _listed(pa.float64(), depth) if float in kinds or not kinds else None
    if len(depths) <= 1 and (len(kinds) <= 1 or kinds == {int, float}):
        try:
            return pa.array(values, numbers)
        except (pa.ArrowException, OverflowError):
            pass  # an integer that no column of numbers holds
    return pa.array([None if value is None else storable(str(value)) for value in values], pa.string())


def _listed(kind: pa.DataType, depth: int) -> pa.DataType:
    import pyarrow as pa

    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


def _shapes(value: Any, depth: int = 0) -> set[tuple[type, int]]:
    """The kinds of plain values inside a value, each with how many lists it is in."""
    if not isinstance(value, list):
        return set() if value is None else {(_kind(type(value)), depth)}
    types = set(map(type, value))
    if list in types:
        return set().union(*(_shapes(item, depth + 1) for item in value))
    return {(_kind(kind), depth + 1) for kind in types if kind is not type(None)}


def kinds_of(value: Any) -> set[type]:
    """The kinds of plain values inside a value."""
    return {kind for kind, _ in _shapes(value)}


def _kind(kind: type) -> type:
    if kind in _KINDS:
        return kind
    return next((known for known in _KINDS if issubclass(kind, known)), object)


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
