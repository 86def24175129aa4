"""Formulas: what a file declares, what its sites amount to, and how the two differ."""

from __future__ import annotations

import re
from math import gcd
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

#: Amounts in formula units, by element symbol; deuterium counts as hydrogen.
Amounts = dict[str, float]
_TOKEN = re.compile(r"([A-Za-z]{1,2}?)(?=[A-Z\d.\s()\[\],]|$)(\d*\.?\d*)(?:\(\d+\))?|([(\[])|([)\]])(\d*\.?\d*)|[\s,]+")
#: Longest formula that is understood, in characters.
MAX_FORMULA = 10_000
#: Relative tolerance when amounts are compared, on top of the last digit written.
RELATIVE = 0.002


def parse_formula(text: str | None) -> Amounts | None:
    """Amounts by element of a formula such as `C12 H22 O11` or `Ca (O H)2`; None where it cannot be understood."""
    if not text or len(text) > MAX_FORMULA:
        return None
    amounts = _parsed(text)
    # AL2 O3: capitals throughout, in files older than small letters.
    return amounts if amounts or text != text.upper() else _parsed(text.title())


def _parsed(text: str) -> Amounts | None:
    stack: list[Amounts] = [{}]
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or token.end() == at or not _take(token, stack):
            return None
        at = token.end()
    return stack[0] if len(stack) == 1 and any(stack[0].values()) else None


def _take(token: re.Match[str], stack: list[Amounts]) -> bool:
    name, amount, opened, closed, times = token.groups()
    if opened:
        stack.append({})
    elif closed:
        if len(stack) < 2:
            return False
        for element, inner in stack.pop().items():
            _add(stack[-1], element, inner * _amount(times))
    elif name:
        symbol = "H" if name in ("D", "T") else name.capitalize()
        if symbol not in atomic_numbers:
            return False
        _add(stack[-1], symbol, _amount(amount))
    return True


def _add(amounts: Amounts, element: str, amount: float) -> None:
    amounts[element] = amounts.get(element, 0.0) + amount


def _amount(digits: str | None) -> float:
    return float(digits) if digits and digits != "." else 1.0


def cell_amounts(numbers: NDArray[np.int64], weights: NDArray[np.float64]) -> Amounts:
    """Atoms of each element in the cell: the sum of multiplicity times occupancy."""
    totals: list[float] = np.bincount(numbers, weights=weights).tolist()
    return {chemical_symbols[z]: total for z, total in enumerate(totals) if total}


def formula(amounts: Mapping[str, float], units: float = 1) -> str:
    """A formula in alphabetical order with amounts divided by `units`, fractional ones to four digits."""
    shares = ((element, f"{amount / units:.4g}") for element, amount in sorted(amounts.items()))
    return "".join(f"{element}{share if share != '1' else ''}" for element, share in shares)


def common_divisor(amounts: Iterable[int]) -> int:
    """The largest number of equal formula units that these amounts, or multiplicities of sites, allow."""
    return gcd(*set(amounts)) or 1


def formula_units(cell: Amounts, declared: Amounts) -> float:
    """How many declared formula units the cell holds, judged by the elements other than hydrogen."""
    shared = [e for e in declared if e in cell and declared[e] > 0]
    heavy = [e for e in shared if e != "H"] or shared
    return median(cell[e] / declared[e] for e in heavy) if heavy else 0.0


def difference(cell: Amounts, declared: Amounts, relative: float = RELATIVE) -> str | None:
    """How the sites contradict the declared formula, in words; None where they agree."""
    declared = {element: amount for element, amount in declared.items() if amount > 0}
    units = formula_units(cell, declared)
    if set(declared) - {"H"} != set(cell) - {"H"} or units == 0:
        return f"formula and sites differ: the formula has {formula(declared)}, the sites {formula(cell)}"
    off = {e: cell.get(e, 0.0) / units - declared.get(e, 0.0) for e in {*declared, *cell}}
    wrong = {e: d for e, d in off.items() if abs(d) > _tolerance(declared.get(e, 0.0), relative)}
    if not wrong:
        return None
    return "formula and sites differ: " + ", ".join(_said(e, wrong[e]) for e in sorted(wrong)[:4])


def _tolerance(amount: float, relative: float) -> float:
    digits = f"{amount:.6g}".partition(".")[2]
    last = 0.5 * 10.0 ** -len(digits) if digits else 0.02
    return last + relative * amount + 1e-6


def _said(element: str, off: float) -> str:
    if off < 0:
        return f"{-off:.3g} {element} per formula unit missing from the sites"
    return f"{off:.3g} {element} per formula unit more on the sites"
