"""Atoms from what a file lists: every number is looked at before anything is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from mlmat.reader._cif.cell import MAX_LENGTH, MIN_THICKNESS, thinnest
from mlmat.reader._cif.sites import MAX_FRACTION
from mlmat.reader.common.contact import contacts
from mlmat.reader.common.verdict import NotACrystal, Refused, some

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader.common.crystal import Content

#: Width in Å of the empty space that stands for a direction without periodicity.
_VACUUM = 10.0
#: Volume spanned by unit vectors along the cell below which they lie in a plane.
_FLAT = 1e-8


def listed_atoms(content: Content, warnings: list[str]) -> Atoms:
    """Atoms whose numbers all make sense, with nothing on them but what the store keeps."""
    numbers = _regular(content.numbers, "atomic numbers")
    n = len(numbers)
    if numbers.dtype.kind not in "iu" or numbers.shape != (n,):
        raise NotACrystal("the atomic numbers are not whole numbers")
    odd = np.flatnonzero((numbers < 1) | (numbers > 118))
    if len(odd):
        raise Refused(f"unknown element {numbers[odd[0]]} at atom {odd[0] + 1}: not an atomic number")
    cell, pbc = _cell(content), _pbc(content)
    positions = _floats(content.positions, (n, 3), "positions")
    atoms = Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc)
    _check_cell(atoms)
    moments = _per_atom(content.moments, n, "initial magnetic moments", warnings, vectors=True)
    charges = _per_atom(content.charges, n, "initial charges", warnings)
    masses = _per_atom(content.masses, n, "masses", warnings)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    if charges is not None:
        atoms.set_initial_charges(charges)
    if masses is not None and (masses > 0).all():
        atoms.set_masses(masses)
        _name_isotopes(atoms, warnings)
    return atoms


def _name_isotopes(atoms: Atoms, warnings: list[str]) -> None:
    """Warn of hydrogen that is heavy by its mass alone; where its symbol said so, that was told."""
    from mlmat.reader.common.crystal import ISOTOPE_WARNING, isotope

    found = (
        (isotope(s, float(mass)), i)
        for i, (s, mass) in enumerate(zip(atoms.symbols, atoms.get_masses(), strict=True), 1)
    )
    heavy = [f"{name}{i}" for name, i in found if name]
    if heavy and not any(text.startswith(ISOTOPE_WARNING) for text in warnings):
        warnings.append(f"{ISOTOPE_WARNING} at {some(heavy)}: kept as H")


def _regular(values: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (AttributeError, TypeError, ValueError):
        raise NotACrystal(f"{what}: lists of different lengths") from None


def _floats(values: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, float)
    except (AttributeError, TypeError, ValueError):
        raise NotACrystal(f"the {what} are not numbers") from None
    if array.shape != shape:
        raise NotACrystal(f"{what} of shape {array.shape}, expected {shape}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = f"of atom {bad[0][0] + 1}" if what == "positions" else f"in row {bad[0][0] + 1}"
        raise Refused(f"{what}: component {'xyz'[bad[0][-1]]} {where} is not a finite number")
    return array


def _cell(content: Content) -> NDArray[np.float64]:
    if content.cell is None or _regular(content.cell, "cell").size == 0:
        raise Refused("no cell: not a crystal")
    cell = _floats(content.cell, (3, 3), "cell vectors")
    if not cell.any():
        raise Refused("no cell: not a crystal")
    return cell


def _pbc(content: Content) -> NDArray[np.bool_]:
    pbc = _regular(content.pbc, "periodicity")
    if pbc.shape not in ((3,), ()) or pbc.dtype.kind not in "biuf":
        raise NotACrystal("the periodicity is not three times true or false")
    flags: NDArray[np.bool_] = np.broadcast_to(pbc.astype(bool), (3,)).copy()
    if not flags.any():
        raise Refused("not periodic in any direction: not a crystal")
    return flags


def _check_cell(atoms: Atoms) -> None:
    """Refuse a cell that is too long or too thin where it is periodic, and atoms too far from it."""
    lengths = np.linalg.norm(atoms.cell.array[atoms.pbc], axis=1)
    if lengths.min() == 0:
        raise Refused("the cell makes no sense: periodic along a vector of length 0")
    if lengths.max() > MAX_LENGTH:
        raise Refused(f"the cell makes no sense: a vector of {lengths.max():.4g} Å")
    if np.ptp(atoms.positions, axis=0).max() > MAX_FRACTION * MAX_LENGTH:
        raise Refused("positions make no sense: atoms too far from each other")
    cell, fract = _whole(atoms)
    if cell is None or _flat(atoms):
        raise Refused("the cell makes no sense: it has no volume")
    if thinnest(cell) < MIN_THICKNESS:
        raise Refused(f"the cell makes no sense: two of its faces are {thinnest(cell):.3g} Å apart")
    far = np.flatnonzero((np.abs(fract[:, atoms.pbc]) > MAX_FRACTION).any(axis=1))
    if len(far):
        raise Refused(f"position of atom {far[0] + 1} makes no sense: more than {MAX_FRACTION:g} cells away")


def _flat(atoms: Atoms) -> bool:
    """Whether the vectors lie in a plane, those of directions that are not periodic too; zeros are completed."""
    vectors = atoms.cell.complete().array
    lengths = np.linalg.norm(vectors, axis=1)
    return bool(abs(np.linalg.det(vectors / lengths[:, None])) < _FLAT)


def _whole(atoms: Atoms) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """The cell as a lower triangle and fractional coordinates; vacuum stands where it is not periodic."""
    cell = np.array(atoms.cell.array, float)
    free = np.flatnonzero(~atoms.pbc)
    if len(free):
        across = np.linalg.svd(cell[atoms.pbc])[2][3 - len(free) :]
        cell[free] = across * (np.ptp(atoms.positions @ across.T, axis=0) + _VACUUM)[:, None]
    try:
        triangle = np.linalg.cholesky(cell @ cell.T)
        fract = np.linalg.solve(cell.T, atoms.positions.T).T
    except np.linalg.LinAlgError:
        return None, np.zeros((0, 3))
    return (triangle, fract) if np.isfinite(fract).all() else (None, fract)


def crowding(atoms: Atoms) -> str | None:
    """What to say of atoms that are too close, or None."""
    cell, fract = _whole(atoms)
    close = contacts(fract, cell) if cell is not None else []
    if not close:
        return None
    names = [f"{atoms.symbols[i]}{i + 1}" for i in close[0][:2]]
    more = f" ({len(close)} such pairs)" if len(close) > 1 else ""
    return f"atoms almost on top of each other: {' and '.join(names)} at {close[0].distance:.3f} Å{more}"


def _per_atom(
    values: Any, n: int, what: str, warnings: list[str], *, vectors: bool = False
) -> NDArray[np.float64] | None:
    if values is None:
        return None
    try:
        array = np.array(values, float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if (array.shape == (n,) or (vectors and array.shape == (n, 3))) and np.isfinite(array).all():
        return array
    warnings.append(f"{what} left out: not one finite value for each atom")
    return None
