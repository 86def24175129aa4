"""A crystal as a row: its identity, its formulas, its symmetry. Pure functions over `ase.Atoms`.

Units: lengths in Å, volumes in Å³, densities in g/cm³, magnetic moments in µB, charges in e.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.materials import electrons
from mlmat.materials.formula import anonymous_formula, pretty, reduced_formula
from mlmat.materials.plausible import implausible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from ase import Atoms
    from numpy.typing import NDArray

#: Tolerance of the space group, in Å. It stands beside the number in the store and is never a key.
SYMPREC = 0.01
#: Volume in Å³ below which nothing is asked of a cell.
FLAT = 1e-6
#: Above this many atoms the space group is not determined (spglib's cost grows faster than linearly).
MAX_SYMMETRY_SITES = 1_000
#: Grid of the canonical form: cell lengths in Å and cosines, fractional coordinates, moments and charges.
GRID = 1e-5
#: Where a grid step ends. Files give decimals and simple fractions, and none of those lies here, so that the last bit
#: of a float (another orientation, another lattice image) cannot change an id.
_STEP_END = 0.46285
#: What ASE calls initial moments and charges.
MOMENTS, CHARGES = "initial_magmoms", "initial_charges"
#: Hexadecimal digits of an id: 80 bits, a chance of 4e-13 of any collision among a million structures.
ID_LENGTH = 20


def structure_id(atoms: Atoms) -> str:
    """Content id: equal for equal crystals whatever the atom order, orientation or choice of lattice images.

    Cell metric, species, fractional positions (folded into the cell where periodic), periodicity, initial magnetic
    moments and charges go in, rounded to `GRID`; total charge and multiplicity, where it is no neutral singlet. Another
    setting, origin or supercell gives another id, and so does the mirror image. Vector moments turn with the crystal.
    Without a cell, orientation and origin count.
    """
    cell = np.asarray(atoms.cell.array, float)
    return _identity(atoms, cell, _fractions(atoms), float(np.linalg.det(cell)))


def _identity(atoms: Atoms, cell: NDArray[np.float64], fract: NDArray[np.float64], volume: float) -> str:
    """The content id; volume: with its sign (Å³)."""
    pbc = np.asarray(atoms.pbc, bool)
    digest = hashlib.sha256(b"mlmat structure 1")
    digest.update(pbc.tobytes())
    digest.update(_grid(_metric(cell, volume)).tobytes())
    rows = _sites(atoms, pbc, fract)
    digest.update(rows[_order(rows)].tobytes())
    digest.update(electrons.state_of(atoms.info).mark)
    return digest.hexdigest()[:ID_LENGTH]


def _metric(cell: NDArray[np.float64], volume: float) -> NDArray[np.float64]:
    """Lengths (Å), cosines and handedness of the cell, shape (7,): free of orientation, not of chirality."""
    lengths = _lengths(cell)
    unit = _unit(cell)
    cosines = (unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1])
    return np.array([*lengths.tolist(), *cosines, np.sign(volume)])


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((vectors * vectors).sum(axis=1)))


def _unit(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = _lengths(cell)
    return cell / np.where(lengths > 0, lengths, 1.0)[:, None]


def canonical_order(atoms: Atoms) -> NDArray[np.int_]:
    """The atoms' places, shape (n,), in an order that is the same for every description of one structure id."""
    return _order(_sites(atoms, np.asarray(atoms.pbc, bool), _fractions(atoms)))


def _order(sites: NDArray[np.int64]) -> NDArray[np.int_]:
    return np.lexsort(sites.T[::-1])


def _fractions(atoms: Atoms) -> NDArray[np.float64]:
    """Fractional coordinates, shape (n, 3), not folded; as in ASE, missing cell vectors are completed."""
    cell = atoms.cell.array
    if not cell.any(axis=1).all():
        cell = atoms.cell.complete().array
    return np.linalg.solve(cell.T, np.asarray(atoms.positions, float).T).T


def _sites(atoms: Atoms, pbc: NDArray[np.bool_], fract: NDArray[np.float64]) -> NDArray[np.int64]:
    """Atoms as integer rows, shape (n, 6): atomic number, fractional coordinates, moment, charge.

    Vector moments, given by their components along the cell vectors, make it (n, 8).
    """
    grid = _grid(fract)
    grid[:, pbc] %= round(1 / GRID)
    none = np.zeros((len(grid), 1), np.int64)
    moments, charges = _given(atoms, MOMENTS), _given(atoms, CHARGES)
    moved = none if moments is None else _grid(_moments_in_cell(moments, atoms.cell.complete().array))
    charged = none if charges is None else _grid(charges)[:, None]
    return np.concatenate([atoms.numbers[:, None].astype(np.int64), grid, moved, charged], axis=1)


def _grid(values: Any) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        return np.floor(np.asarray(values, float) / GRID + (1 - _STEP_END)).astype(np.int64)


def _given(atoms: Atoms, name: str) -> NDArray[np.float64] | None:
    """Initial moments or charges, None where there are none."""
    values = atoms.arrays.get(name)
    return None if values is None else np.asarray(values, float)


def _moments_in_cell(moments: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    if moments.ndim == 2 and moments.any():
        return moments @ _unit(cell).T
    return moments.reshape(len(moments), -1)[:, :1] if len(moments) else np.zeros((0, 1))


def counts(numbers: Sequence[int] | NDArray[Any]) -> dict[str, int]:
    """Atoms of each element, by symbol, in alphabetical order."""
    from ase.data import chemical_symbols

    found = Counter(np.asarray(numbers).tolist())
    return dict(sorted((chemical_symbols[z], n) for z, n in found.items()))


def space_group(atoms: Atoms, symprec: float = SYMPREC) -> tuple[int, str] | None:
    """International number and Hermann-Mauguin symbol by spglib, or None where it finds none or must not look."""
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all() or not atoms.pbc.all():
        return None
    volume = float(np.linalg.det(atoms.cell.array))
    return _space_group(atoms, _fractions(atoms), volume, symprec) if abs(volume) >= FLAT else None


def _space_group(
    atoms: Atoms, fract: NDArray[np.float64], volume: float, symprec: float = SYMPREC
) -> tuple[int, str] | None:
    # spglib crashes the process on NaN, and needs a cell in all three directions.
    if not np.isfinite(fract).all() or not atoms.pbc.all() or len(atoms) > MAX_SYMMETRY_SITES or abs(volume) < FLAT:
        return None
    # It writes to the terminal each time it tries again with another tolerance.
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    import spglib

    try:
        dataset = spglib.get_symmetry_dataset((atoms.cell.array, fract % 1.0 % 1.0, atoms.numbers), symprec=symprec)
    except spglib.SpglibError:
        return None
    return (int(dataset.number), str(dataset.international)) if dataset is not None else None


def to_row(atoms: Atoms) -> dict[str, Any]:
    """The columns of table `structure` for these atoms (units and shapes: schemas/tables.sql)."""
    amounts = counts(atoms.numbers)
    n = len(atoms)
    fract, signed = _fractions(atoms), float(np.linalg.det(atoms.cell.array))
    volume = abs(signed) if atoms.pbc.all() else None
    number, symbol = _space_group(atoms, fract, signed) or (None, None)
    charge, multiplicity = electrons.state_of(atoms.info)
    return {
        "structure_id": _identity(atoms, atoms.cell.array, fract, signed),
        "formula": pretty(amounts),
        "chemical_formula_reduced": reduced_formula(amounts),
        "chemical_formula_anonymous": anonymous_formula(amounts),
        "chemical_system": "-".join(amounts),
        "elements": list(amounts),
        "elements_ratios": [k / n for k in amounts.values()],
        "nelements": len(amounts),
        "nsites": n,
        "space_group_it_number": number,
        "space_group_symbol": symbol,
        "space_group_symprec": SYMPREC if number else None,
        "volume": volume,
        "density": _density(atoms, volume),
        "lattice_vectors": atoms.cell.array.tolist(),
        "cartesian_site_positions": atoms.positions.tolist(),
        "atomic_numbers": atoms.numbers.tolist(),
        "dimension_types": [int(p) for p in atoms.pbc],
        "implausible": implausible(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc),
        "initial_magnetic_moments": _optional(_given(atoms, MOMENTS)),
        "initial_charges": _optional(_given(atoms, CHARGES)),
        "charge": charge,
        "spin_multiplicity": multiplicity,
    }


def _density(atoms: Atoms, volume: float | None) -> float | None:
    """Mass density in g/cm³; 1.66053907 is the atomic mass constant in 1e-24 g (CODATA 2018)."""
    return float(atoms.get_masses().sum()) * 1.66053907 / volume if volume else None


def _optional(values: NDArray[np.float64] | None) -> list[float] | None:
    """A per-atom array for the store, vectors as their flattened components; None where all are zero."""
    return values.reshape(-1).tolist() if values is not None and values.any() else None


def from_row(row: Mapping[str, Any]) -> Atoms:
    """The atoms of a row of table `structure`, in the stored order and cell (positions in Å)."""
    from ase import Atoms

    atoms = Atoms(
        numbers=np.asarray(row["atomic_numbers"]),
        positions=_nested(row["cartesian_site_positions"]),
        cell=_nested(row["lattice_vectors"]),
        pbc=[bool(p) for p in row["dimension_types"]],
    )
    _add_initial(atoms, row)
    return atoms


def from_table(table: pa.Table, order: Iterable[int] | None = None) -> Iterator[Atoms]:
    """The atoms of each row of an Arrow table with the columns that `from_row` takes: the same ones, sooner.

    order: numbers of rows; without it all rows as they stand.
    """
    ends = np.cumsum([0, *table["atomic_numbers"].combine_chunks().value_lengths().to_pylist()]).tolist()
    numbers = _values(table["atomic_numbers"]).astype(int)
    positions = _values(table["cartesian_site_positions"]).reshape(-1, 3)
    cells = _values(table["lattice_vectors"]).reshape(-1, 3, 3)
    periodic = _values(table["dimension_types"]).astype(bool).reshape(-1, 3)
    names = [name for name in _BESIDE if name in table.column_names]
    extra = {name: table[name].to_pylist() for name in names if table[name].null_count < len(table)}
    made = _maker()
    for i in range(len(table)) if order is None else order:
        part = slice(ends[i], ends[i + 1])
        atoms = made(numbers[part].copy(), positions[part].copy(), cells[i].copy(), periodic[i].copy())
        if extra:
            _add_initial(atoms, {name: values[i] for name, values in extra.items()})
        yield atoms


#: Columns that are NULL for most structures.
_BESIDE = ("initial_magnetic_moments", "initial_charges", "charge", "spin_multiplicity")
#: What an `ase.Atoms` consists of.
_FIELDS = {"arrays", "_cellobj", "_pbc", "_celldisp", "_constraints", "info", "_calc"}


@cache
def _maker() -> Callable[[NDArray[np.int_], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]], Atoms]:
    """What makes atoms of numbers (n,), positions (n, 3), cell (3, 3) and periodicity (3,), and keeps these arrays.

    ASE's constructor, or a quarter of its work, which leads to the same where `Atoms` are what they are known to be.
    """
    from ase import Atoms
    from ase.cell import Cell

    def made(numbers: Any, positions: Any, cell: Any, pbc: Any) -> Atoms:
        atoms = Atoms.__new__(Atoms)
        atoms._cellobj, atoms._pbc, atoms._celldisp = Cell(cell), pbc, np.zeros((3, 1))
        atoms.arrays = {"numbers": numbers, "positions": positions}
        atoms._constraints, atoms.info, atoms._calc = [], {}, None
        return atoms

    bare = vars(Atoms())
    if bare.keys() == _FIELDS and bare["_constraints"] == [] and bare["_calc"] is None:
        return made
    return lambda numbers, positions, cell, pbc: Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc)


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column of lists, one after another."""
    import pyarrow.compute as pc

    found: NDArray[Any] = pc.list_flatten(column.combine_chunks(), recursive=True).to_numpy()
    return found


def _add_initial(atoms: Atoms, row: Mapping[str, Any]) -> None:
    """Initial moments and charges of a row, total charge and multiplicity in `info`, where it has any."""
    electrons.put(atoms.info, electrons.State(row.get("charge"), row.get("spin_multiplicity")))
    moments, charges = row.get("initial_magnetic_moments"), row.get("initial_charges")
    if moments is not None:
        values = np.asarray(moments, float)
        atoms.set_initial_magnetic_moments(values.reshape(len(atoms), -1) if len(values) != len(atoms) else values)
    if charges is not None:
        atoms.set_initial_charges(np.asarray(charges, float))


def _nested(values: Any) -> NDArray[np.float64]:
    return np.array([list(v) for v in values], dtype=float).reshape(-1, 3)
