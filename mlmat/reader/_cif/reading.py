"""A block read under one setting: its sites, and what in the file speaks against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._cif.expand import Expansion, expand, images
from mlmat.reader._cif.setting import P1, Setting
from mlmat.reader.common.composition import Amounts, cell_amounts, difference, formula_units
from mlmat.reader.common.contact import Contact, contacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.sites import Sites

#: Most sites of which it is tried whether operations carry them into themselves.
MAX_CLOSED = 500
#: Atoms of one element nearer than this, in Å, are the same when two lists of atoms are compared.
SAME_PLACE = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    """What a block says apart from its symmetry: sites, cell (rows in Å), declared formula and Z."""

    sites: Sites
    cell: NDArray[np.float64]
    declared: Amounts | None
    units: float | None
    max_sites: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A case under one setting: its sites and what speaks against it."""

    setting: Setting
    expansion: Expansion
    amounts: Amounts
    differs: str | None
    unlike: str | None
    close: list[Contact]

    @property
    def objection(self) -> str | None:
        """The first reason why this cannot be what the file means."""
        return self.differs or self.unlike or ("atoms on top of each other" if self.close else None)


def read_as(case: Case, setting: Setting, listed: bool) -> Reading:
    """The case under a setting; Z is evidence only where the operations are not listed."""
    expansion = expand(case.sites.fract, case.cell, setting.operations, case.max_sites)
    amounts = cell_amounts(case.sites.numbers[expansion.site], case.sites.occupancy[expansion.site])
    differs = difference(amounts, case.declared) if case.declared else None
    unlike = None if listed else wrong_units(case, amounts)
    return Reading(setting, expansion, amounts, differs, unlike, contacts(expansion.fract, case.cell))


def wrong_units(case: Case, amounts: Amounts) -> str | None:
    """How the number of formula units contradicts Z, or None."""
    if case.declared is None or not case.units:
        return None
    found = formula_units(amounts, case.declared)
    if abs(found - case.units) <= 0.02 * case.units:
        return None
    return f"the cell holds {found:.4g} formula units, the file says Z = {case.units:g}"


def same_crystal(case: Case, readings: list[Reading]) -> bool:
    """Whether all readings put the same atoms at the same places."""
    places, kinds = atoms_of(case, readings[0])
    for reading in readings[1:]:
        others, other_kinds = atoms_of(case, reading)
        if len(others) != len(places) or len(places) > MAX_CLOSED:
            return False
        if not _covered(others, other_kinds, places, kinds, case.cell):
            return False
    return True


def atoms_of(case: Case, reading: Reading) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Fractional coordinates and atomic numbers of all atoms of the cell."""
    return reading.expansion.fract, case.sites.numbers[reading.expansion.site]


def closed(fract: NDArray[np.float64], kinds: NDArray[np.int64], setting: Setting, cell: NDArray[np.float64]) -> bool:
    """Whether the operations of a setting carry these atoms into themselves."""
    if len(fract) > MAX_CLOSED:
        return False
    every = images(fract, setting.operations)
    return all(_covered(every[:, k], kinds, fract, kinds, cell) for k in range(every.shape[1]))


def _covered(
    places: NDArray[np.float64],
    kinds: NDArray[np.int64],
    all_places: NDArray[np.float64],
    all_kinds: NDArray[np.int64],
    cell: NDArray[np.float64],
) -> bool:
    """Whether each of some atoms lies on one of all atoms of the same element."""
    for place, kind in zip(places, kinds, strict=True):
        offset = all_places[all_kinds == kind] - place
        offset -= np.rint(offset)
        if not (np.linalg.norm(offset @ cell, axis=1) < SAME_PLACE).any():
            return False
    return True


def whole_cell(case: Case, readings: list[Reading], listed: bool) -> Reading | None:
    """The listed sites in P 1, where applying operations to them gives nothing but copies."""
    if len(case.sites.labels) < 2:
        return None
    for reading in readings:
        if not reading.close or not closed(case.sites.fract, case.sites.numbers, reading.setting, case.cell):
            continue
        alone = read_as(case, P1, listed)
        return alone if not alone.objection else None
    return None
