"""From the items of a CIF block to its outcome: what the sites amount to, and whether the file agrees with itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._cell import read_cell
from mlmat.reader._composition import (
    Amounts,
    cell_amounts,
    common_divisor,
    difference,
    formula,
    formula_units,
)
from mlmat.reader._contact import Contact, contacts
from mlmat.reader._disorder import disorder, refuse_crowded_sites
from mlmat.reader._expand import Expansion, expand, images
from mlmat.reader._magnetic import moments, read_magnetic
from mlmat.reader._setting import P1, Setting
from mlmat.reader._sites import read_sites
from mlmat.reader._symmetry import Symmetry, read_symmetry

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from mlmat.reader._block import Limits, Outcome
    from mlmat.reader._items import Items
    from mlmat.reader._sites import Sites

#: Agreement asked of a disordered structure with its formula: refined occupancies are rounded in both.
DISORDERED_TOLERANCE = 0.03
#: Most sites of which it is tried whether they are the whole cell already.
_WHOLE_CELL_SITES = 1_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a block, and what is kept of it."""

    outcome: Outcome
    reason: str | None = None
    atoms: Atoms | None = None
    formula: str | None = None


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
    wrong_units: str | None
    close: list[Contact]

    @property
    def objection(self) -> str | None:
        """The first reason why this cannot be what the file means."""
        return self.differs or self.wrong_units or ("atoms on top of each other" if self.close else None)


def judge(items: Items, declared: Amounts | None, limits: Limits, warnings: list[str]) -> Verdict:
    """The outcome of a block with structural content; raises `Refused` where it makes no sense."""
    sites = read_sites(items, frozenset(declared or ()), limits, warnings)
    cell = read_cell(items, warnings)
    magnetic = read_magnetic(items)
    symmetry = magnetic[0] if magnetic else read_symmetry(items, cell)
    warnings.extend(symmetry.warnings)
    case = Case(sites, cell, declared, items.number("_cell_formula_units_z"), limits.max_sites)
    if not sites.full.all():
        for setting in symmetry.settings[:1]:
            refuse_crowded_sites(sites, cell, setting.operations)
    mixed = disorder(sites, warnings)
    if mixed:
        return _disordered(case, symmetry, mixed, warnings)
    reading, problem = _settled(case, symmetry, warnings)
    problem = _modulation(items) or problem or _problem(case, symmetry, reading)
    operations = reading.setting.operations
    spins = moments(
        items, sites, cell, operations, magnetic[1] if magnetic else None, reading.expansion, warnings
    )
    atoms = _atoms(case, reading.expansion, spins)
    return Verdict("flagged" if problem else "stored", problem, atoms, _formula(reading))


def _modulation(items: Items) -> str | None:
    if "_cell_modulation_dimension" in items or items.starting("_cell_wave_vector"):
        return "modulated structure: only its average is listed"
    return None


def _reading(case: Case, setting: Setting, source: str) -> Reading:
    expansion = expand(case.sites.fract, case.cell, setting.operations, case.max_sites)
    amounts = cell_amounts(case.sites.numbers[expansion.site], case.sites.occupancy[expansion.site])
    differs = difference(amounts, case.declared) if case.declared else None
    wrong_units = _wrong_units(case, amounts) if source != "operations" else None
    close = contacts(expansion.fract, case.cell)
    return Reading(setting, expansion, amounts, differs, wrong_units, close)


def _wrong_units(case: Case, amounts: Amounts) -> str | None:
    if case.declared is None or not case.units:
        return None
    found = formula_units(amounts, case.declared)
    if abs(found - case.units) <= 0.02 * case.units:
        return None
    return f"the cell holds {found:.4g} formula units, the file says Z = {case.units:g}"


def _settled(case: Case, symmetry: Symmetry, warnings: list[str]) -> tuple[Reading, str | None]:
    """The reading that the content of the file settles, and why it must be flagged if it does not."""
    readings = [_reading(case, setting, symmetry.source) for setting in symmetry.settings]
    good = [r for r in readings if not r.objection]
    reading, problem = (good or readings)[0], symmetry.problem
    if len(good) > 1 and not _same_crystal(case, good):
        names = " or ".join(r.setting.name for r in good[:4])
        problem = problem or f"symmetry ambiguous: {symmetry.said} without operations can mean {names}"
    if reading.close or symmetry.source == "name":
        whole = _whole_cell(case, reading, symmetry.source)
        if whole is not None:
            warnings.append(
                f"all atoms of the cell are listed: the operations of {reading.setting.name} add none"
            )
            return whole, problem
    _tell_source(symmetry, reading, len(readings) > 1, warnings)
    return reading, problem or _contradiction(case, symmetry, reading, warnings)


def _tell_source(symmetry: Symmetry, reading: Reading, chosen: bool, warnings: list[str]) -> None:
    if symmetry.source == "nothing":
        warnings.append("no symmetry given: P 1 assumed")
    elif symmetry.source == "name":
        by = ", the only setting that its content allows" if chosen else ""
        warnings.append(f"no symmetry operations listed: those of {reading.setting.name} taken{by}")


def _same_crystal(case: Case, readings: list[Reading]) -> bool:
    """Whether all readings put the same atoms at the same places."""
    first = readings[0].expansion
    for other in (r.expansion for r in readings[1:]):
        if len(other.fract) != len(first.fract) or len(first.fract) > _WHOLE_CELL_SITES:
            return False
        if not _covered(
            other.fract, case.sites.numbers[other.site], first.fract, case.sites.numbers[first.site], case
        ):
            return False
    return True


def _covered(
    some: NDArray[np.float64],
    kinds: NDArray[np.int64],
    all_: NDArray[np.float64],
    all_kinds: NDArray[np.int64],
    case: Case,
) -> bool:
    """Whether each of some atoms lies (within 0.1 Å) on one of all atoms of the same element."""
    for fract, kind in zip(some, kinds, strict=True):
        offset = all_[all_kinds == kind] - fract
        offset -= np.rint(offset)
        if not (np.linalg.norm(offset @ case.cell, axis=1) < 0.1).any():
            return False
    return True


def _whole_cell(case: Case, reading: Reading, source: str) -> Reading | None:
    """The listed sites in P 1, where applying the operations gives nothing but copies of them."""
    n, order = len(case.sites.labels), len(reading.setting.operations)
    if order == 1 or n < 2 or n > _WHOLE_CELL_SITES or not reading.close:
        return None
    if not closed(case, reading.setting):
        return None
    alone = _reading(case, P1, source)
    return alone if not alone.objection else None


def closed(case: Case, setting: Setting) -> bool:
    """Whether the operations carry the listed sites into themselves."""
    fract, kinds = case.sites.fract, case.sites.numbers
    every = images(fract, setting.operations)
    return all(_covered(every[:, k], kinds, fract, kinds, case) for k in range(every.shape[1]))


def _contradiction(case: Case, symmetry: Symmetry, reading: Reading, warnings: list[str]) -> str | None:
    """Operations that are not those of the declared symbol: a warning where the content speaks for them."""
    listed = reading.setting.operations
    if symmetry.source != "operations" or not symmetry.numbers or listed.number is None:
        return None
    text = f"the operations listed are those of {reading.setting.name} (number {listed.number}), the file says {symmetry.said}"
    if listed.number in symmetry.numbers:
        if len(symmetry.numbers) > 1 or (symmetry.declared and not _named(listed.symbol, symmetry)):
            warnings.append(f"{text}; the operations are used")
        return None
    if _content_agrees(case, reading) or any(_keeps(case, reading, s) for s in symmetry.declared):
        warnings.append(f"{text}; the operations are used: the content of the cell agrees with them")
        return None
    return text


def _named(symbol: str | None, symmetry: Symmetry) -> bool:
    return symbol in [setting.operations.symbol for setting in symmetry.declared]


def _content_agrees(case: Case, reading: Reading) -> bool:
    known = case.declared is not None and bool(case.units)
    return known and not reading.objection and _wrong_units(case, reading.amounts) is None


def _keeps(case: Case, reading: Reading, setting: Setting) -> bool:
    """Whether the declared setting carries the atoms of the cell into themselves."""
    fract, kinds = reading.expansion.fract, case.sites.numbers[reading.expansion.site]
    if len(fract) > _WHOLE_CELL_SITES:
        return False
    every = images(fract, setting.operations)
    return all(_covered(every[:, k], kinds, fract, kinds, case) for k in range(every.shape[1]))


def _problem(case: Case, symmetry: Symmetry, reading: Reading) -> str | None:
    if reading.close:
        first, second, distance = reading.close[0]
        names = [case.sites.labels[reading.expansion.site[i]] for i in (first, second)]
        more = f" ({len(reading.close)} such pairs)" if len(reading.close) > 1 else ""
        return f"atoms almost on top of each other: {names[0]} and {names[1]} at {distance:.3f} Å{more}"
    if reading.differs:
        return reading.differs
    if reading.wrong_units:
        how = "P 1 assumed for want of symmetry" if symmetry.source == "nothing" else reading.setting.name
        return f"symmetry ambiguous: with {how} {reading.wrong_units}"
    return None


def _formula(reading: Reading) -> str:
    whole = {element: round(n) for element, n in reading.amounts.items()}
    return formula(whole, common_divisor(np.array(list(whole.values()))))


def _disordered(case: Case, symmetry: Symmetry, reason: str, warnings: list[str]) -> Verdict:
    """A disordered block: its formula, per the smallest unit that the multiplicities allow."""
    setting = symmetry.settings[0]
    expansion = expand(case.sites.fract, case.cell, setting.operations, case.max_sites)
    amounts = cell_amounts(case.sites.numbers[expansion.site], case.sites.occupancy[expansion.site])
    for problem in (
        symmetry.problem,
        case.declared and difference(amounts, case.declared, DISORDERED_TOLERANCE),
    ):
        if problem:
            warnings.append(problem)
    if symmetry.source != "operations":
        warnings.append(f"no symmetry operations listed: those of {setting.name} taken")
    return Verdict("disordered", reason, None, formula(amounts, common_divisor(expansion.multiplicity)))


def _atoms(case: Case, expansion: Expansion, spins: NDArray[np.float64] | None) -> Atoms:
    from ase import Atoms

    atoms = Atoms(
        numbers=case.sites.numbers[expansion.site],
        positions=expansion.fract @ case.cell,
        cell=case.cell,
        pbc=True,
        magmoms=spins,
    )
    if case.sites.isotope.any():
        masses = atoms.get_masses()
        masses[case.sites.isotope[expansion.site]] = 2.014
        atoms.set_masses(masses)
    return atoms
