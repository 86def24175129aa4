"""A row of ase.db as the columns of table `ase_row`, and key-value pairs as text. No database here.

Energies in eV, lengths in Å, forces in eV/Å, stress in eV/Å³; times in years of 365.25 days since 2000, as ASE counts.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.materials import electrons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Results with columns of their own; what else a calculator gave is in `other_results`.
SCALARS = ("energy", "free_energy", "magmom")
ARRAYS = ("forces", "stress", "dipole", "magmoms", "charges")
#: Arrays of n rows of three, and those of one number per atom that may be vectors.
_VECTORS = {"positions", "momenta", "forces"}
_MAYBE_VECTORS = {"initial_magmoms", "magmoms"}
_INPUTS = ("initial_magmoms", "initial_charges", "masses", "tags", "momenta")


def as_text(value: Any) -> str:
    """A value of a key-value pair as text. `as_value` gives it back: ASE refuses texts that look like numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


def as_value(text: str) -> int | float | bool | str:
    """The number, truth or text that a text of a key-value pair stands for."""
    from ase.db.core import convert_str_to_int_float_bool_or_str

    value: int | float | bool | str = convert_str_to_int_float_bool_or_str(text)
    return value


def said_value(text: str) -> int | float | bool | str:
    """What a text of a file's key-value pairs stands for: there, truths are written as in SQL."""
    return text == "true" if text in ("true", "false") else as_value(text)


def is_key(key: str) -> bool:
    """Whether ASE takes this as a key of its own: a word that means nothing else to it."""
    from ase.db.core import reserved_keys, word
    from ase.db.row import AtomsRow

    return bool(word.match(key)) and key not in reserved_keys and not hasattr(AtomsRow, key)


def to_columns(row: Any, pairs: Mapping[str, Any], data: Any, tables: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `ase_row` (id and structure_id apart) for an `AtomsRow`."""
    from ase.io.jsonio import encode

    return {
        **_about(row),
        **_geometry(row),
        **_results(row),
        **_searchable(row),
        "constraints": _constraints(row),
        "key_values": [(key, as_text(value)) for key, value in pairs.items()],
        "data": packed(data),
        "external_tables": encode(dict(tables)) if tables else None,
    }


def _about(row: Any) -> dict[str, Any]:
    from ase.io.jsonio import encode

    known = "calculator" in row
    return {
        "unique_id": row.unique_id,
        "ctime": float(row.ctime),
        "user_name": row.user,
        "calculator": row.calculator if known else None,
        "calculator_parameters": encode(row.get("calculator_parameters", {})) if known else None,
    }


def _geometry(row: Any) -> dict[str, Any]:
    columns = {name: _plain(row.get(name)) for name in _INPUTS}
    momenta = row.get("momenta")
    return {
        **columns,
        "momenta": None if momenta is None else np.reshape(momenta, (-1, 3)).tolist(),
        "numbers": np.asarray(row.numbers).tolist(),
        "positions": np.reshape(row.positions, (-1, 3)).tolist(),
        "cell": np.reshape(np.asarray(row.cell, float), (3, 3)).tolist(),
        "pbc": int(np.dot(row.pbc, [1, 2, 4])),
    }


def _results(row: Any) -> dict[str, Any]:
    forces = row.get("forces")
    others = {name: row[name] for name in _other_properties() if row.get(name) is not None}
    return {
        **{name: _number(row.get(name)) for name in SCALARS},
        **{name: _plain(row.get(name)) for name in ARRAYS},
        "forces": None if forces is None else np.reshape(forces, (-1, 3)).tolist(),
        "other_results": packed(others),
    }


def _other_properties() -> list[str]:
    from ase.calculators.calculator import all_properties

    return [name for name in all_properties if name not in SCALARS + ARRAYS]


def _searchable(row: Any) -> dict[str, Any]:
    """What selections ask for; a number that is none is no number there."""
    # ASE takes no maximum over no atoms.
    names = ("fmax", "smax", "volume", "mass", "charge") if len(row.numbers) else ("volume", "mass", "charge")
    found = {name: _number(row.get(name)) for name in names}
    return {"natoms": len(row.numbers), **{k: v if v is not None and v == v else None for k, v in found.items()}}


def _constraints(row: Any) -> str | None:
    from ase.io.jsonio import encode

    found = row._constraints
    text: str | None = encode(found) if found and isinstance(found, list) else (found or None)
    return text


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _plain(values: Any) -> list[Any] | None:
    return None if values is None else np.asarray(values).reshape(-1).tolist()


def packed(value: Any) -> bytes | None:
    """An object as ASE packs it, or None where there is nothing; what is packed already stays as it is."""
    from ase.db.core import object_to_bytes
    from ase.io.jsonio import decode

    if isinstance(value, str):  # ASE reads old rows lazily, as JSON
        value = decode(value)
    if not value or isinstance(value, bytes):
        return value or None
    made: bytes = object_to_bytes(value)
    return made


def unpacked(value: bytes | None) -> dict[str, Any]:
    """What `packed` made."""
    from ase.db.core import bytes_to_object

    found: dict[str, Any] = bytes_to_object(value) if value else {}
    return found


def from_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What `AtomsRow` is made of, and external `tables`, from the columns of a row that was written."""
    from ase.io.jsonio import decode

    n = len(columns["numbers"])
    taken = {"constraints": columns["constraints"], "calculator": columns["calculator"], "data": columns.get("data")}
    arrays = {name: columns[name] for name in (*_INPUTS, *ARRAYS)}
    found = {name: shaped(name, values, n) for name, values in arrays.items() if values is not None}
    row = {
        **{name: columns[name] for name in ("id", "unique_id", "ctime", "mtime")},
        "user": columns["user_name"],
        **geometry(columns["numbers"], columns["positions"], columns["cell"]),
        "pbc": np.array([columns["pbc"] & bit for bit in (1, 2, 4)], bool),
        **found,
        **{name: columns[name] for name in SCALARS if columns[name] is not None},
        **unpacked(columns["other_results"]),
        **{name: value for name, value in taken.items() if value is not None},
    }
    if columns["calculator_parameters"] is not None:
        row["calculator_parameters"] = decode(columns["calculator_parameters"])
    return row | {"tables": decode(columns["external_tables"]) if columns["external_tables"] else {}}


def geometry(numbers: Any, positions: Any, cell: Any) -> dict[str, NDArray[Any]]:
    """Numbers, positions (Å) and cell (Å) as ASE has them: 32-bit numbers, shapes (n, 3) and (3, 3)."""
    return {
        "numbers": np.asarray(numbers, np.int32),
        "positions": np.asarray(positions, float).reshape(-1, 3),
        "cell": np.asarray(cell, float).reshape(3, 3),
    }


def shaped(name: str, values: Any, n: int) -> NDArray[Any]:
    """The values of a flat column in the shape that ASE has them in, for n atoms."""
    array = np.asarray(values, np.int32 if name == "tags" else float)
    if name in _VECTORS or (name in _MAYBE_VECTORS and n and array.size == 3 * n):
        return array.reshape(-1, 3)
    return array.reshape(3, 3) if name == "stress" and array.size == 9 else array


def to_structure(columns: Mapping[str, Any]) -> tuple[dict[str, Any], str | None] | None:
    """The row of table `structure` for a written row, and why it is suspect; None for no crystal or molecule."""
    from ase import Atoms

    from mlmat.materials.structure import to_row

    numbers = np.asarray(columns["numbers"], int)
    finite = np.isfinite(columns["positions"]).all() and np.isfinite(columns["cell"]).all()
    if not len(numbers) or not finite or numbers.min() < 1 or numbers.max() > 118:
        return None
    atoms = Atoms(
        **geometry(numbers, columns["positions"], columns["cell"]),
        pbc=[bool(columns["pbc"] & bit) for bit in (1, 2, 4)],
    )
    if (atoms.pbc & ~atoms.cell.mask()).any() or abs(atoms.cell.complete().volume) < 1e-6:
        return None
    for name, put in (
        ("initial_magmoms", atoms.set_initial_magnetic_moments),
        ("initial_charges", atoms.set_initial_charges),
    ):
        if columns[name] is not None:
            put(shaped(name, columns[name], len(numbers)))
    electrons.put(atoms.info, electrons.state_of(dict(columns.get("key_values") or ())))
    row = to_row(atoms)
    return row, _bisect_or_fail(atoms) or row["implausible"]


def _bisect_or_fail(atoms: Any) -> str | None:
    """Two atoms in one place would make every runner fail."""
    places = atoms.get_scaled_positions() if atoms.pbc.all() else atoms.positions
    distinct = len(np.unique(np.round(places, 4) % 1.0 if atoms.pbc.all() else np.round(places, 3), axis=0))
    return None if distinct == len(atoms) else "two atoms in one place"


def is_real(value: Any) -> bool:
    """Whether a value compares with numbers: also True and False, as ASE has it."""
    return isinstance(value, (Real, np.bool_))


def check_tables(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """External tables hold values of one type each. Raises ValueError."""
    for name, table in tables.items():
        kinds = {type(value) for value in table.values()}
        if len(kinds) > 1:
            raise ValueError(f"external table {name}: values of several types: {sorted(k.__name__ for k in kinds)}")
