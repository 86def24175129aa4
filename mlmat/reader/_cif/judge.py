"""From the items of a CIF block to its outcome: what the sites amount to, and whether the file agrees with itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._cif.cell import free_angle, read_cell
from mlmat.reader._cif.disorder import SAME_SITE, disorder, refuse_crowded_sites
from mlmat.reader._cif.expand import Expansion, expand
from mlmat.reader._cif.magnetic import moments, read_magnetic
from mlmat.reader._cif.own import CHARGE, MOMENT, of_all_atoms
from mlmat.reader._cif.reading import (
    Case,
    Reading,
    atoms_of,
    closed,
    read_as,
    same_crystal,
    whole_cell,
    wrong_units,
)
from mlmat.reader._cif.sites import OCCUPANCY, read_sites
from mlmat.reader._cif.symmetry import Symmetry, read_symmetry
from mlmat.reader.common.composition import Amounts, cell_amounts, common_divisor, difference, formula
from mlmat.reader.common.verdict import Refused, some

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from mlmat.reader._cif.items import Items
    from mlmat.reader.common.block import Limits, Outcome

#: Agreement asked of a disordered structure with its formula: refined occupancies are rounded in both.
DISORDERED_TOLERANCE = 0.03
#: Sites whose coordinates are given with few digits lie up to 0.01 Å beside their special positions.
ROUNDING = 0.015
#: Tags that only modulated structures have.
MODULATION = ("_cell_modulation_dimension", "_cell_wave_vector_x", "_space_group_ssg_name")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a block, and what is kept of it."""

    outcome: Outcome
    reason: str | None = None
    atoms: Atoms | None = None
    formula: str | None = None


def judge(items: Items, declared: Amounts | None, limits: Limits, warnings: list[str]) -> Verdict:
    """The outcome of a block with structural content; raises `Refused` where it makes no sense."""
    sites = read_sites(items, frozenset(declared or ()), limits, warnings)
    cell = read_cell(items, warnings)
    magnetic = read_magnetic(items)
    symmetry = magnetic[0] if magnetic else read_symmetry(items, cell.vectors)
    warnings.extend(symmetry.warnings)
    case = Case(sites, cell.vectors, declared, items.number("_cell_formula_units_z"), limits.max_sites)
    if not sites.full.all():
        refuse_crowded_sites(sites, case.cell, symmetry.settings[0].operations)
    mixed = disorder(sites, warnings)
    if mixed:
        return _disordered(case, symmetry, mixed, warnings)
    reading, problem = _settled(case, symmetry, warnings)
    operations = reading.setting.operations
    angle = free_angle(cell, operations.rotations) if cell.assumed else None
    if angle:
        problem = f"{angle} is not given, and the symmetry does not settle it"
    problem = _modulation(items) or problem or sites.problem or _problem(case, symmetry, reading, items)
    reversal = magnetic[1] if magnetic else None
    spins = moments(items, sites, case.cell, operations, reversal, reading.expansion, warnings)
    if spins is None:
        spins = of_all_atoms(items, MOMENT, sites, reading.expansion)
    atoms = _atoms(case, reading.expansion, spins)
    charges = of_all_atoms(items, CHARGE, sites, reading.expansion)
    if charges is not None:
        atoms.set_initial_charges(charges)
    return Verdict("flagged" if problem else "stored", problem, atoms, _formula(reading))


def _modulation(items: Items) -> str | None:
    if any(tag in items for tag in MODULATION):
        return "modulated structure: only its average is listed"
    return None


def _settled(case: Case, symmetry: Symmetry, warnings: list[str]) -> tuple[Reading, str | None]:
    """The reading that the content of the file settles, and why it must be flagged if it does not."""
    listed = symmetry.source == "operations"
    readings = [read_as(case, setting, listed) for setting in symmetry.settings]
    good = [r for r in readings if not r.objection]
    reading, problem = (good or readings)[0], symmetry.problem
    if not good:
        whole = whole_cell(case, readings, listed)
        if whole is not None:
            warnings.append(f"all atoms of the cell are listed: the operations of {reading.setting.name} add none")
            return whole, problem
    if len(good) > 1 and not same_crystal(case, good):
        names = " or ".join(r.setting.name for r in good[:4])
        problem = problem or f"symmetry ambiguous: {symmetry.said} without operations can mean {names}"
    _tell_moved(case, reading, warnings)
    _tell_source(symmetry, reading, len(readings) > 1 and len(good) == 1, warnings)
    return reading, problem or _contradiction(case, symmetry, reading, warnings)


def _tell_moved(case: Case, reading: Reading, warnings: list[str]) -> None:
    """Sites that were moved by more than the rounding of their coordinates."""
    moved = reading.expansion.moved
    if moved.max() > ROUNDING:
        names = [f"{case.sites.labels[i]} by {moved[i]:.3f} Å" for i in np.flatnonzero(moved > ROUNDING)]
        warnings.append(f"sites moved onto their special positions: {some(names)}")


def _tell_source(symmetry: Symmetry, reading: Reading, chosen: bool, warnings: list[str]) -> None:
    if symmetry.source == "nothing":
        warnings.append("no symmetry given: P 1 assumed")
    elif symmetry.source == "name":
        by = ", the only setting that its content allows" if chosen else ""
        warnings.append(f"no symmetry operations listed: those of {reading.setting.name} taken{by}")


def _contradiction(case: Case, symmetry: Symmetry, reading: Reading, warnings: list[str]) -> str | None:
    """Operations that are not those of the declared symbol: a warning where the content speaks for them."""
    listed = reading.setting.operations
    if symmetry.source != "operations" or not symmetry.numbers or listed.number is None:
        return None
    name = f"{reading.setting.name} (number {listed.number})"
    text = f"the operations listed are those of {name}, the file says {symmetry.said}"
    if listed.number in symmetry.numbers:
        if len(symmetry.numbers) > 1 or (symmetry.declared and not _named(listed.symbol, symmetry)):
            warnings.append(f"{text}; the operations are used")
        return None
    if _content_agrees(case, reading) or _keeps(case, reading, symmetry):
        warnings.append(f"{text}; the operations are used: the content of the cell agrees with them")
        return None
    return text


def _named(symbol: str | None, symmetry: Symmetry) -> bool:
    return symbol in [setting.symbol for setting in symmetry.declared]


def _keeps(case: Case, reading: Reading, symmetry: Symmetry) -> bool:
    """Whether a declared setting carries the atoms of the cell into themselves: nothing is missing."""
    return any(closed(*atoms_of(case, reading), setting, case.cell) for setting in symmetry.declared)


def _content_agrees(case: Case, reading: Reading) -> bool:
    known = case.declared is not None and bool(case.units)
    return known and not reading.objection and wrong_units(case, reading.amounts) is None


def _problem(case: Case, symmetry: Symmetry, reading: Reading, items: Items) -> str | None:
    if reading.close:
        return _crowding(case, reading, OCCUPANCY in items)
    if reading.differs:
        return reading.differs
    if reading.unlike:
        how = "P 1 assumed for want of symmetry" if symmetry.source == "nothing" else reading.setting.name
        return f"symmetry ambiguous: with {how} {reading.unlike}"
    return None


def _crowding(case: Case, reading: Reading, occupied: bool) -> str:
    """What to say of atoms that are too close; refused where two elements fully occupy one site."""
    for first, second, distance in reading.close:
        one, other = (int(reading.expansion.site[i]) for i in (first, second))
        if occupied and distance < SAME_SITE and case.sites.numbers[one] != case.sites.numbers[other]:
            names = f"{case.sites.labels[one]} and {case.sites.labels[other]}"
            raise Refused(f"occupancies add up to 2 on the site of {names}")
    first, second, distance = reading.close[0]
    names = " and ".join(case.sites.labels[reading.expansion.site[i]] for i in (first, second))
    more = f" ({len(reading.close)} such pairs)" if len(reading.close) > 1 else ""
    return f"atoms almost on top of each other: {names} at {distance:.3f} Å{more}"


def _formula(reading: Reading) -> str:
    whole = {element: round(n) for element, n in reading.amounts.items()}
    return formula(whole, common_divisor(whole.values()))


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
    return Verdict("disordered", reason, None, formula(amounts, common_divisor(expansion.multiplicity.tolist())))


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
