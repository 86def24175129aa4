"""Formulas and numbers as tables of results give them: what is not exactly one is refused, never guessed."""

from __future__ import annotations

import re
import unicodedata
from math import isfinite
from typing import Any

from mlmat.imports._given import Wrong
from mlmat.materials.formula import HEAVY, HYDRATE, LONGEST, WHOLE, canonical, parts, pretty

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: A charge at the end of a formula: Li+, SO4 2-, [VO]2+, Fe+3.
_CHARGE = re.compile(r"[+\-−⁺⁻]")
_ION = re.compile(r"([A-Z][a-z]?)(?:(\d+\.?\d*|\.\d+)?([+-]))?(?:,spin=[^,]*)?")
#: Half a unit of the last digit of mean oxidation states, as pymatgen writes them (Fe2.67+), in e.
_ROUNDED = 0.005
#: Fewest and most atoms of an element in a cell.
_FEWEST, _MOST = 1e-6, 1e6

#: What is said of D and T.
ISOTOPES = "isotopes of hydrogen count as H"

Amounts = dict[str, float]


def amounts_of(given: Any, warnings: list[str]) -> Amounts:
    """Atoms of each element in the cell, in alphabetical order, of a formula or of amounts by element. Raises Wrong."""
    raw = _of_mapping(given) if isinstance(given, dict) else _of_text(given)
    found: Amounts = {}
    for symbol, amount in raw:
        element = "H" if symbol in HEAVY else _known(symbol)
        found[element] = found.get(element, 0.0) + amount
    if any(symbol in HEAVY for symbol, _ in raw):
        warnings.append(ISOTOPES)
    kept = {element: _whole(_bounded(element, amount)) for element, amount in sorted(found.items()) if amount > 0}
    if not kept:
        raise Wrong(f"no atoms in its formula {given!s:.80}")
    return kept


def note_isotope(name: str | None, amounts: Amounts, warnings: list[str]) -> None:
    """Warn where an id is the formula of an isotope, such as D2O: pymatgen writes H for it into its files."""
    try:
        heavy = "H" in amounts and any(symbol in HEAVY for symbol, _ in parts(name or ""))
    except ValueError:
        return
    if heavy and canonical(name or "") == pretty(amounts) and ISOTOPES not in warnings:
        warnings.append(f"{ISOTOPES} (its id says {name})")


def _known(symbol: str) -> str:
    from ase.data import atomic_numbers

    if not atomic_numbers.get(symbol):
        raise Wrong(f"{symbol} is not an element")
    return symbol


def _bounded(element: str, amount: float) -> float:
    if not _FEWEST <= amount <= _MOST:
        raise Wrong(f"{amount:.3g} atoms of {element} in its formula")
    return amount


def _whole(amount: float) -> float:
    return float(round(amount)) if abs(amount - round(amount)) < WHOLE and round(amount) else amount


def _of_mapping(given: dict[Any, Any]) -> list[tuple[str, float]]:
    """Amounts by element, or by ion where all charges cancel."""
    found, charge, rounded = [], 0.0, 0.0
    for name, amount in given.items():
        ion = _ION.fullmatch(str(name))
        if ion is None:
            raise Wrong(f"{name!s:.40} is not an element")
        n = number(amount, f"the amount of {name}")
        if n < 0:
            raise Wrong(f"a negative amount of {name}")
        found.append((ion[1], n))
        if ion[3]:
            charge += n * float(ion[2] or 1) * (-1 if ion[3] == "-" else 1)
            rounded += n if "." in (ion[2] or "") else 0.0
    if abs(charge) > WHOLE + _ROUNDED * rounded:
        raise Wrong(f"its composition has a charge of {charge:+g} e")
    return found


def _of_text(given: Any) -> list[tuple[str, float]]:
    if given is None or given != given or (isinstance(given, str) and not given.strip()):
        raise Wrong("no formula (sodium nitride, NaN, is a missing value to pandas: keep_default_na=False)")
    if not isinstance(given, str):
        raise Wrong(f"its formula is not a text: {given!s:.40}")
    text = unicodedata.normalize("NFKC", given).strip()
    if len(text) > LONGEST:
        raise Wrong(f"its formula is longer than {LONGEST} characters")
    if HYDRATE.search(text):
        raise Wrong(f"a hydrate? write all its atoms without a point: {given:.80}")
    if _CHARGE.search(text):
        raise Wrong(f"its formula has a charge: {given:.80}")
    try:
        return parts(text)
    except ValueError as error:
        raise Wrong(f"{error}: {given:.80}") from None


def number(value: Any, name: str) -> float:
    """A finite number, or the text of one. Raises Wrong."""
    if isinstance(value, bool) or value is None or (isinstance(value, str) and not value.strip()):
        raise Wrong(f"no number for {name}" if value is None or isinstance(value, str) else f"{name} is {value}")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise Wrong(f"{name} is not a number: {value.strip():.40}")
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise Wrong(f"{name} is not a number: {value!s:.40}") from None
    if not isfinite(found):
        raise Wrong(f"{name} is not a finite number: {value!s:.40}")
    return found
