"""What `run` returned, checked and typed: from mappings to the Arrow tables of a frame."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
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


class BadRow(Exception):  # noqa: N818 - it becomes the error class that users read
    """A row that cannot be stored as it is."""


def flat(row: Any, prefix: str = "") -> dict[str, Any]:
    """A row with plain values: nested mappings flattened (`a_b`), NumPy values as Python ones.

    Raises BadRow for what is no mapping, for names that are not text, and for values of no storable type.
    """
    if not isinstance(row, Mapping):
        if prefix or row is None or isinstance(row, (list, tuple, set)):
            raise BadRow(f"run must return a mapping of column to value, not {type(row).__name__}")
        return {"value": plain(row, "value")}
    found: dict[str, Any] = {}
    for key, value in row.items():
        name = _name(key, prefix)
        parts = flat(value, f"{name}_") if isinstance(value, Mapping) else {name: plain(value, name)}
        for column, item in parts.items():
            if any(column.lower() == known.lower() for known in found):
                raise BadRow(f"two values for one column: {column}")
            found[column] = item
    return found


def _name(key: Any, prefix: str) -> str:
    if not isinstance(key, str) or not key.strip():
        raise BadRow(f"column names must be text, not {key!r}")
    name = prefix + key.strip()
    return f"{name}_" if name.lower() in TAKEN else name


def plain(value: Any, name: str) -> Any:
    """A value as Arrow takes it. Raises BadRow."""
    from ase import Atoms

    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, float, str, datetime, Atoms)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item, name) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item(), name)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), name)
    raise BadRow(f"column {name}: a {type(value).__name__} cannot be stored; return numbers, text, lists or ase.Atoms")


def checked(row: Any, declared: Mapping[str, str]) -> dict[str, Any]:
    """A row that will fit: flat, declared columns of their type and finite. Raises BadRow."""
    found = flat(row)
    for name, kind in arrow_types(declared).items():
        value = found.get(name)
        if value is None:
            continue
        if is_structure(declared[name]):
            _check_structure(name, value)
        else:
            found[name] = _fitting(name, value, kind)
    if found.get("energy") is not None:
        found["energy"] = _finite_energy(found["energy"])
    if not isinstance(found.get("converged"), bool | None):
        raise BadRow(f"column converged: must be true, false or None, not {found['converged']!r:.60}")
    return found


def _finite_energy(energy: Any) -> float:
    if isinstance(energy, bool) or not isinstance(energy, (int, float)) or not math.isfinite(energy):
        raise BadRow(f"column energy: must be a finite number in eV, not {energy!r:.60}")
    return float(energy)


def _check_structure(name: str, value: Any) -> None:
    from ase import Atoms

    if not isinstance(value, Atoms):
        raise BadRow(f"column {name}: must be an ase.Atoms, not {type(value).__name__}")


def _fitting(name: str, value: Any, kind: pa.DataType) -> Any:
    import pyarrow as pa

    try:
        array = pa.array([value], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadRow(f"column {name}: {str(error).splitlines()[0]}") from error
    if not _finite(value):
        raise BadRow(f"column {name}: not finite")
    return array[0].as_py()


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_finite(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


def is_structure(declaration: str) -> bool:
    """Whether a declared column holds an `ase.Atoms`."""
    return declaration.partition("--")[0].strip().upper() == "STRUCTURE"


def arrow_types(declared: Mapping[str, str]) -> dict[str, pa.DataType]:
    """Arrow type of every declared column. Raises UsageError for a type that mlmat does not know."""
    return {name: _arrow_type(name, text.partition("--")[0].strip()) for name, text in declared.items()}


def _arrow_type(column: str, sql: str) -> pa.DataType:
    import pyarrow as pa

    simple = {
        "DOUBLE": pa.float64(), "FLOAT": pa.float32(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(), "VARCHAR": pa.string(), "TIMESTAMP": pa.timestamp("us"), "STRUCTURE": pa.string(),
    }  # fmt: skip
    match = re.fullmatch(r"(\w+)((?:\[\d*\])*)", sql.upper())
    if match is None or match[1] not in simple:
        raise UsageError(f"column {column}: unknown type {sql!r}; use {', '.join(simple)}, with [] or [3] for arrays")
    kind = simple[match[1]]
    for size in re.findall(r"\[(\d*)\]", match[2]):
        kind = pa.list_(kind, int(size)) if size else pa.list_(kind)
    return kind


def values_table(ids: Sequence[str], rows: Sequence[Mapping[str, Any]], declared: Mapping[str, str]) -> pa.Table:
    """The runner's own columns of ok rows: typed as declared, inferred where they are not, text where kinds mix."""
    import pyarrow as pa

    kinds = arrow_types(declared)
    names = dict.fromkeys(name for row in rows for name in row if name not in COMMON)
    columns: dict[str, pa.Array] = {"result_id": pa.array(ids, pa.string())}
    for name in names:
        values = [row.get(name) for row in rows]
        if name in kinds or any(value is not None for value in values):
            columns[name] = _column(values, kinds.get(name))
    own = {name: text for name, text in declared.items() if name not in COMMON}
    return pa.table(columns).replace_schema_metadata({b"mlmat.columns": json.dumps(own).encode()})


def _column(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
