"""The symmetry of a CIF block: the operations listed, or what symbols and numbers can mean without them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from mlmat.reader._cif.cell import METRIC_TOLERANCE, misfit
from mlmat.reader._cif.items import given, plain
from mlmat.reader._cif.operations import parse_operations
from mlmat.reader._cif.setting import P1, Setting, by_hall, by_number, by_symbol, of_operations

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlmat.reader._cif.items import Items

OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_symmetry_equiv_as_xyz",
    "_space_group_symop_as_xyz",
)
SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_alt_description",
    "_symmetry_space_group_name_h-m_alt",
    "_space_group_name_h-m_ref",
)
HALLS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number", "_space_group_it_number_alt")

Source = Literal["operations", "name", "nothing"]


@dataclass(slots=True)
class Symmetry:
    """What the block says of its symmetry.

    settings: the readings that fit the cell, the likeliest first. source: what they come from. declared: what
    symbol or number mean where operations are listed, numbers: all space-group numbers they name, said: the two in
    words. problem: why the block must be flagged.
    """

    settings: list[Setting]
    source: Source
    declared: list[Setting] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    said: str = ""
    problem: str | None = None
    warnings: list[str] = field(default_factory=list)


def read_symmetry(items: Items, cell: NDArray[np.float64]) -> Symmetry:
    """Settings in order of likelihood; refused where listed operations cannot be understood."""
    named = _named(items)
    listed = _listed(items)
    if listed is None:
        return _fitting(named, cell)
    operations = parse_operations(listed)
    symmetry = Symmetry([of_operations(operations.symbol or "the operations listed", operations)], "operations")
    symmetry.warnings.extend(operations.warnings)
    if len(operations) > 1 and misfit(cell, operations.rotations) > METRIC_TOLERANCE:
        symmetry.problem = f"the cell does not have the symmetry of the operations listed ({_shape(cell)})"
    symmetry.declared, symmetry.numbers, symmetry.said = named.settings, named.numbers, named.said
    return symmetry


def _listed(items: Items) -> tuple[str, ...] | None:
    for tag in OPERATIONS:
        triplets = _unquoted(tuple(items.column(tag) or ()))
        if triplets:
            return triplets
    return None


@lru_cache(maxsize=512)
def _unquoted(column: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(plain(text) for text in column if given(text))


def _named(items: Items) -> Symmetry:
    """What Hall symbol, Hermann-Mauguin symbol and number say, in this order of precision."""
    said, settings, numbers, problem = _meaning(items.first(HALLS), tuple(items.every(SYMBOLS)), items.first(NUMBERS))
    return Symmetry(list(settings), "name" if said else "nothing", numbers=set(numbers), said=said, problem=problem)


@lru_cache(maxsize=1024)
def _meaning(
    hall: str | None, symbols: tuple[str, ...], number: str | None
) -> tuple[str, tuple[Setting, ...], frozenset[int], str | None]:
    """The names in words, the settings they can mean, their numbers, and how they contradict each other."""
    by_name = _first_known(symbols)
    exact = by_hall(hall) if hall else None
    counted = by_number(int(number)) if number and number.isdecimal() and 0 < int(number) <= 230 else ()
    parts = [f"symbol {symbols[0]}"] if symbols else []
    parts += [f"number {number}"] if number else []
    said = " and ".join(parts) or (f"Hall symbol {hall}" if hall else "")
    every = ([exact] if exact else []) + [*by_name[:1], *counted[:1]]
    numbers = frozenset(s.number for s in every if s.number is not None)
    problem = _contradiction(exact, by_name, symbols, hall, counted, number)
    return said, (exact,) if exact else by_name or counted, numbers, problem


def _first_known(symbols: tuple[str, ...]) -> tuple[Setting, ...]:
    for symbol in symbols:
        settings = by_symbol(symbol)
        if settings:
            return settings
    return ()


def _contradiction(
    exact: Setting | None,
    by_name: tuple[Setting, ...],
    symbols: tuple[str, ...],
    hall: str | None,
    counted: tuple[Setting, ...],
    number: str | None,
) -> str | None:
    if by_name and counted and by_name[0].number != counted[0].number:
        return f"symbol {symbols[0]} is number {by_name[0].number}, but the file says number {number}"
    other = by_name or counted
    if exact is not None and exact.number and other and exact.number != other[0].number:
        said = f"symbol {symbols[0]}" if by_name else f"number {number}"
        return f"Hall symbol {hall} is number {exact.number}, but {said} is number {other[0].number}"
    return None


def _fitting(named: Symmetry, cell: NDArray[np.float64]) -> Symmetry:
    """The settings that the cell allows; of monoclinic ones the first, since unique axis b is the convention."""
    if not named.settings:
        if named.said:
            named.problem = f"no symmetry operations, and {named.said} is not a known setting"
        named.settings = [P1]
        return named
    fits = [s for s in named.settings if misfit(cell, s.operations.rotations) <= METRIC_TOLERANCE]
    if not fits:
        named.problem = named.problem or f"the cell does not have the symmetry of {named.said} ({_shape(cell)})"
        fits = named.settings[:1]
    short = named.said.startswith("symbol") and 3 <= (fits[0].number or 0) <= 15
    named.settings = fits[:1] if short else fits
    return named


def _shape(cell: NDArray[np.float64]) -> str:
    from ase.geometry import cell_to_cellpar

    return "a={:.5g} b={:.5g} c={:.5g} Å, α={:.5g} β={:.5g} γ={:.5g}°".format(*cell_to_cellpar(cell))
