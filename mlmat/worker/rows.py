"""What `run` returned, checked: a mapping of plain values that fit the columns that the runner declares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.methods.columns import TAKEN, declaration, kinds_of, storable

if TYPE_CHECKING:
    import pyarrow as pa

#: Bytes that one value may have: what is larger belongs in a file.
VALUE_BYTES = 64_000_000
#: Kinds that stay what they are.
_PLAIN = (float, int, bool, type(None))
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
        if isinstance(value, Mapping):
            parts = flat(value, f"{name}_")
        else:
            parts = {name: value if type(value) in _PLAIN else plain(value, name)}
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
    if (size := _size(value)) > VALUE_BYTES:
        limit = VALUE_BYTES // 1_000_000
        raise BadRow(f"column {name}: a value of {size / 1e6:.0f} MB; write what is over {limit} MB to a file")
    if isinstance(value, (np.ndarray, np.generic)):
        return _from_numpy(value, name)
    from ase import Atoms

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
    if type(item) in _PLAIN:
        return item
    from ase import Atoms

    if isinstance(item, Atoms):
        raise BadRow(f"column {name}: a list of structures cannot be stored; give each a column of its own")
    return plain(item, name)


def checked(row: Any, declared: Mapping[str, str]) -> dict[str, Any]:
    """A row that will fit: flat, declared columns of their type and finite. Raises BadRow."""
    about = declaration(tuple(declared.items()))
    # The declared spelling of names: SQL does not tell `Energy` from `energy`.
    found = {about.spelled.get(name.lower(), name): value for name, value in flat(row).items()}
    if found.get("energy") is not None:
        found["energy"] = _finite_energy(found["energy"])
    if not isinstance(found.get("converged"), bool | None):
        raise BadRow(f"column converged: must be true, false or None, not {found['converged']!r:.60}")
    for name, column in about.columns.items():
        if name not in found:
            raise BadRow(f"column {name}: declared but not in the row; return None where there is no value")
        value = found[name]
        if value is not None and not column.certainly_holds(value):
            found[name] = _structure(name, value) if column.structure else _fitting(name, value, column.kind)
    return found


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
    if not all(_is_of(leaf, item) for item in kinds_of(value)) or (pa.types.is_integer(leaf) and not _whole(value)):
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
