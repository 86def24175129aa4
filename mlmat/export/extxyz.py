"""Extended XYZ: energy, forces and stress under ASE's names, every digit, what else is known in the comment line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.export._keys import is_key, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mlmat.export._rows import Row, Rows

SUFFIXES = (".extxyz", ".xyz")
#: Words of the comment line that mean something to its readers.
_TAKEN = frozenset({"Lattice", "Properties", "pbc", "virial", "virials", "uid", "calculator"})
_PER_ATOM = ("forces", "energies", "magmoms", "charges", "stresses")


def write(rows: Rows, path: Path) -> int:
    """Write a frame for each row; how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(frame(row))
            count += 1
    return count


def frame(row: Row) -> str:
    """The text of one frame."""
    columns = _columns(row)
    widths = {name: column.reshape(len(row.atoms), -1).shape[1] for name, column in columns.items()}
    properties = "species:S:1" + "".join(f":{name}:R:{width}" for name, width in widths.items())
    numbers = np.hstack([column.reshape(len(row.atoms), -1) for column in columns.values()]).tolist()
    lines = [str(len(row.atoms)), " ".join(_comment(row, properties))]
    lines += [" ".join([s, *map(repr, xyz)]) for s, xyz in zip(row.atoms.symbols, numbers, strict=True)]
    return "\n".join(lines) + "\n"


def _columns(row: Row) -> dict[str, Any]:
    columns = {"pos": row.atoms.positions}
    for name, values in (
        ("initial_magmoms", row.atoms.get_initial_magnetic_moments()),
        ("initial_charges", row.atoms.get_initial_charges()),
    ):
        if values.any():
            columns[name] = values
    return columns | {name: row.results[name] for name in _PER_ATOM if name in row.results}


def _comment(row: Row, properties: str) -> Iterable[str]:
    cell = row.atoms.cell.array
    if cell.any():
        yield f'Lattice="{_many(cell.reshape(-1))}"'
    yield f"Properties={properties}"
    yield 'pbc="' + " ".join("T" if p else "F" for p in row.atoms.pbc) + '"'
    for name, value in row.results.items():
        if name not in _PER_ATOM:
            yield f"{name}={_value(_full(value) if name == 'stress' else value)}"
    if row.results and row.calculator:
        yield f"calculator={_value(row.calculator)}"
    yield from (f"{name}={_value(value)}" for name, value in _others(row).items())


def _others(row: Row) -> Mapping[str, Any]:
    from ase.calculators.calculator import all_properties

    about = {"space_group_it_number": row.about["space_group_it_number"]}
    state = {name: row.atoms.info[name] for name in ("charge", "spin") if name in row.atoms.info}
    facts = {name: value for name, value in {**about, **state, **row.facts()}.items() if value is not None}
    return {k: v for k, v in facts.items() if is_key(k) and k not in _TAKEN and k not in all_properties}


def _full(stress: Any) -> Any:
    """The nine components of a stress in Voigt order."""
    if np.shape(stress) == (3, 3):
        return np.reshape(stress, -1)
    xx, yy, zz, yz, xz, xy = stress
    return np.array([xx, xy, xz, xy, yy, yz, xz, yz, zz])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, np.ndarray):
        return f'"{_many(value)}"'
    if isinstance(value, int | float):
        return repr(value)
    text = plain_text(str(value)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _many(values: Any) -> str:
    return " ".join(map(repr, np.asarray(values, float).tolist()))
