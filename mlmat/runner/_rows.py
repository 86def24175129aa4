"""What `run` returned, checked and typed: from mappings to the Arrow tables of a frame."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

#: Keys of a row that are columns of table `result` itself.
COMMON = ("energy", "converged")
#: Names that belong to the store; a runner's own column of that name gets a `_` behind it.
TAKEN = frozenset({"result_id", "structure_id", "method_id", "run_id", "status"})
_KINDS = (bool, int, float, str, datetime)
#: Bytes that one value may have: what is larger belongs in a file.
VALUE_BYTES = 64_000_000
_SUGGESTION = "return numbers, text, lists or ase.Atoms"


class BadRow(Exception):  # noqa: N818 - it becomes the error class that users read
    """A row that cannot be stored as it is."""


def flat(row: Any, prefix: str = "") -> dict[str, Any]:
    """A row with plain values: nested mappings flattened (`a_b`), NumPy values as Python ones.

    Raises BadRow for what is no mapping, for names that are not text, and for values of no storable type.
    """
    if not isinstance(row, Mapping):
        if row is None or isinstance(row, (list, tuple, set, frozenset)):
            raise BadRow(f"run must return a mapping of column to value, not {type(row).__name__}")
        return {"value": plain(row, "value")}
    found: dict[str, Any] = {}
    known: set[str] = set()
    for key, value in row.items():
        name = _name(key, prefix)
        parts = flat(value, f"{name}_") if isinstance(value, Mapping) else {name: plain(value, name)}
        for column, item in parts.items():
            if column.lower() in known:
                raise BadRow(f"two values for one column: {column} (SQL does not tell case apart)")
            known.add(column.lower())
            found[column] = item
    return found


def _name(key: Any, prefix: str) -> str:
    # A name that DuckDB would cut or refuse must not get as far as the journal.
    if not isinstance(key, str) or not key.strip() or not key.isprintable():
        raise BadRow(f"column names must be printable text, not {key!r:.60}")
    name = prefix + key.strip()
    return f"{name}_" if name.lower() in TAKEN else name


def plain(value: Any, name: str) -> Any:
    """A value as Arrow takes it; times in UTC. Raises BadRow."""
    from ase import Atoms

    if (size := _size(value)) > VALUE_BYTES:
        limit = VALUE_BYTES // 1_000_000
        raise BadRow(f"column {name}: a value of {size / 1e6:.0f} MB; write what is over {limit} MB to a file")
    if isinstance(value, (np.ndarray, np.generic)):
        return _from_numpy(value, name)
    if value is None or isinstance(value, (bool, int, float, Atoms)):
        return value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, datetime):
        # With and without a zone in one column would be two types.
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, (list, tuple)):
        return [_inside(item, name) for item in value]
    if hasattr(value, "detach") or hasattr(value, "tolist"):  # torch tensors and other arrays
        return plain((value.detach() if hasattr(value, "detach") else value).tolist(), name)
    raise BadRow(f"column {name}: a {type(value).__name__} cannot be stored; {_SUGGESTION}")


def _size(value: Any) -> int:
    """About how many bytes a value has, without looking inside."""
    if isinstance(value, (str, list, tuple)):
        return len(value) if isinstance(value, str) else 8 * len(value)
    return int(value.nbytes) if isinstance(value, np.ndarray) else 0


def _from_numpy(value: Any, name: str) -> Any:
    kind = value.dtype.kind
    if kind == "f" and value.dtype.itemsize > 8:
        value = value.astype(np.float64)  # a long double stays a NumPy value in tolist()
    elif kind == "M":
        value = value.astype("datetime64[us]")  # nanoseconds would become bare integers
    elif kind in "cmV":
        raise BadRow(f"column {name}: NumPy values of type {value.dtype} cannot be stored; {_SUGGESTION}")
    found = value.tolist()
    return found if kind in "biuf" else plain(found, name)


def _inside(item: Any, name: str) -> Any:
    from ase import Atoms

    if isinstance(item, Atoms):
        raise BadRow(f"column {name}: a list of structures cannot be stored; give each a column of its own")
    return plain(item, name)


def storable(text: str) -> str:
    """Text that Arrow takes: valid UTF-8, anything else escaped."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()


def checked(row: Any, declared: Mapping[str, str]) -> dict[str, Any]:
    """A row that will fit: flat, declared columns of their type and finite. Raises BadRow."""
    found = _spelled(flat(row), declared)
    if found.get("energy") is not None:
        found["energy"] = _finite_energy(found["energy"])
    if not isinstance(found.get("converged"), bool | None):
        raise BadRow(f"column converged: must be true, false or None, not {found['converged']!r:.60}")
    for name, kind in arrow_types(declared).items():
        if name not in found:
            raise BadRow(f"column {name}: declared but not in the row; return None where there is no value")
        value = found[name]
        if value is not None:
            found[name] = _structure(name, value) if is_structure(declared[name]) else _fitting(name, value, kind)
    return found


def _spelled(row: dict[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    """The row with the declared spelling of its names: SQL does not tell `Energy` from `energy`."""
    known = {name.lower(): name for name in (*COMMON, *declared)}
    return {known.get(name.lower(), name): value for name, value in row.items()}


def _finite_energy(energy: Any) -> float:
    try:
        if isinstance(energy, bool) or not isinstance(energy, (int, float)) or not math.isfinite(energy):
            raise BadRow(f"column energy: must be a finite number in eV, not {energy!r:.60}")
        return float(energy)
    except OverflowError:
        raise BadRow("column energy: this number is too large to be an energy in eV") from None


def _structure(name: str, value: Any) -> Any:
    from ase import Atoms

    if not isinstance(value, Atoms):
        raise BadRow(f"column {name}: must be an ase.Atoms, not {type(value).__name__}")
    return value


def _fitting(name: str, value: Any, kind: pa.DataType) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    leaf = _leaf(kind)
    try:
        array = pa.array([value], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadRow(f"column {name}: {str(error).splitlines()[0]}") from error
    if not all(_is_of(leaf, item) for item in _kinds(value)) or (pa.types.is_integer(leaf) and not _whole(value)):
        raise BadRow(f"column {name}: {value!r:.60} is no {kind}")
    while pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
    if pa.types.is_floating(leaf) and not pc.all(pc.is_finite(array), min_count=0).as_py():
        raise BadRow(f"column {name}: not finite")
    return value


def _leaf(kind: pa.DataType) -> pa.DataType:
    while getattr(kind, "value_type", None) is not None:
        kind = kind.value_type
    return kind


def _is_of(leaf: pa.DataType, kind: type) -> bool:
    """Whether Arrow takes this kind for what it is: left alone it makes True a number and 1 a time."""
    import pyarrow as pa

    if pa.types.is_floating(leaf) or pa.types.is_integer(leaf):
        return kind in (int, float)
    return kind is datetime if pa.types.is_timestamp(leaf) else True


def _whole(value: Any) -> bool:
    """Whether all numbers are whole: Arrow would cut 3.5 to 3."""
    if isinstance(value, list):
        return all(_whole(item) for item in value)
    return not isinstance(value, float) or value.is_integer()


def is_structure(declaration: str) -> bool:
    """Whether a declared column holds an `ase.Atoms`."""
    return declaration.partition("--")[0].strip().upper() == "STRUCTURE"


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


def _kinds(value: Any) -> set[type]:
    return {kind for kind, _ in _shapes(value)}


def _kind(kind: type) -> type:
    if kind in _KINDS:
        return kind
    return next((known for known in _KINDS if issubclass(kind, known)), object)


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
