"""A structure as a CIF block: P 1 with every site, and all digits, so that it comes in again as the same structure.

A CIF gives lengths and angles: orientation is lost, and with it the handedness of the cell vectors. A left-handed cell
is therefore written with its vectors reversed, which is the same crystal in another setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.export._keys import is_key
from mlmat.materials.formula import parse, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms
    from numpy.typing import NDArray

    from mlmat.export._rows import Row

_AXES = "abc"
_ANGLES = (("alpha", 1, 2), ("beta", 0, 2), ("gamma", 0, 1))


def unfit(row: Row) -> str | None:
    """Why a structure cannot be a CIF, or None."""
    if not row.atoms.pbc.all():
        return "not periodic in three directions, which a CIF cannot say"
    return None


def block(row: Row, name: str) -> str:
    """The data block of a row."""
    cell, fract = _right_handed(row.atoms)
    lines = [f"data_{name}", "_audit_creation_method 'mlmat export'", *_facts(row), *_cell(cell, row.atoms)]
    lines += [*_sites(row.atoms, fract), *_moments(row.atoms, cell)]
    return "\n".join(lines) + "\n"


def block_name(row: Row) -> str:
    """FORMULA_SPACEGROUP-NUMBER_ID8, for instance Fe2O3_167_95792c1b; without brackets, which a shell would read."""
    number = row.about["space_group_it_number"] or "x"
    formula = plain(parse(row.about["chemical_formula_reduced"]) or {})
    return f"{formula[:100]}_{number}_{row.structure_id[:8]}"


def _right_handed(atoms: Atoms) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell vectors as rows in Å and fractional coordinates, in a right-handed cell."""
    cell = np.asarray(atoms.cell.array, float)
    fract = np.linalg.solve(cell.T, atoms.positions.T).T
    return (-cell, -fract) if np.linalg.det(cell) < 0 else (cell, fract)


def _facts(row: Row) -> Iterator[str]:
    """What mlmat knows, as data items of its own; the space group, too, for the block itself is P 1."""
    results = {k: v for k, v in row.results.items() if not isinstance(v, np.ndarray)}
    group = {name: row.about[name] for name in ("space_group_it_number", "space_group_symbol")}
    for name, value in {**row.facts(), **results, **group}.items():
        if is_key(name) and value is not None:
            yield f"_mlmat_{name} {_value(value)}"


def _value(value: Any) -> str:
    from gemmi import cif

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    text = " ".join(str(value).split()).encode("ascii", "backslashreplace").decode()
    quoted = str(cif.quote(text))
    # With both kinds of quotes inside it is a text field, which begins a line.
    return f"\n{quoted}" if quoted.startswith(";") else quoted


def _number(value: float) -> str:
    """All digits; no minus before a zero."""
    return repr(value + 0)


def _short(value: float) -> str:
    """A coordinate or an angle without the noise of its last bit: 120.0 and not 119.99999999999999."""
    return _number(round(value, 13))


def _cell(cell: NDArray[np.float64], atoms: Atoms) -> Iterator[str]:
    from mlmat.materials.structure import counts

    lengths = np.linalg.norm(cell, axis=1)
    for axis, length in zip(_AXES, lengths, strict=True):
        yield f"_cell_length_{axis} {_number(float(length))}"
    for name, i, j in _ANGLES:
        cosine = float(cell[i] @ cell[j] / (lengths[i] * lengths[j]))
        yield f"_cell_angle_{name} {_short(float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))}"
    yield f"_cell_volume {_number(float(np.linalg.det(cell)))}"
    yield "_cell_formula_units_Z 1"
    content = " ".join(f"{element}{n}" for element, n in counts(atoms.numbers).items())
    yield f"_chemical_formula_sum '{content}'"
    yield from ("_space_group_name_H-M_alt 'P 1'", "_space_group_IT_number 1")
    yield from ("loop_", "_space_group_symop_operation_xyz", "'x, y, z'")


def _sites(atoms: Atoms, fract: NDArray[np.float64]) -> Iterator[str]:
    """The loop of the sites, in the order of the store; scalar moments (µB) and charges (e) in columns of their own."""
    tags = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"]
    own = _own_columns(atoms)
    yield "loop_"
    yield from (f"_atom_site_{tag}" for tag in tags)
    yield from (f"_mlmat_atom_site_{tag}" for tag in own)
    for i, (symbol, xyz) in enumerate(zip(atoms.symbols, fract.tolist(), strict=True)):
        extra = [_number(column[i]) for column in own.values()]
        yield " ".join([f"{symbol}{i + 1}", symbol, *map(_short, xyz), "1", *extra])


def _own_columns(atoms: Atoms) -> dict[str, list[float]]:
    found = {}
    moments, charges = atoms.get_initial_magnetic_moments(), atoms.get_initial_charges()
    if moments.ndim == 1 and moments.any():
        found["initial_magnetic_moment"] = moments.tolist()
    if charges.any():
        found["initial_charge"] = charges.tolist()
    return found


def _moments(atoms: Atoms, cell: NDArray[np.float64]) -> Iterator[str]:
    """Vector moments in µB along the cell vectors, as magnetic CIFs have them."""
    moments = np.asarray(atoms.get_initial_magnetic_moments(), float)
    if moments.ndim != 2 or not moments.any():
        return
    unit = cell / np.linalg.norm(cell, axis=1)[:, None]
    along = np.linalg.solve(unit.T, moments.T).T
    yield "loop_"
    yield from ("_atom_site_moment_label", *(f"_atom_site_moment_crystalaxis_{axis}" for axis in "xyz"))
    for i, (symbol, xyz) in enumerate(zip(atoms.symbols, along.tolist(), strict=True)):
        yield " ".join([f"{symbol}{i + 1}", *map(_number, xyz)])
