"""Which element a type symbol or a site label means."""

from __future__ import annotations

import re
from functools import lru_cache

from ase.data import chemical_symbols

#: The elements of which crystals are made, up to Lr: NH is not nihonium.
ELEMENTS = frozenset(chemical_symbols[1:104])
#: Two capitals mean one of these elements sooner than two letters of a name: up to Pu.
_COMMON = frozenset(chemical_symbols[1:95])
#: Water and hydroxyl as their oxygen, the way mineralogists list them; the hydrogen then misses in the formula.
_MOLECULES = {"wat": "O", "ow": "O", "oh": "O", "hoh": "O", "hw": "H", "ho": "H", "dw": "D"}
#: What stands for "no atom here" or "any atom" although it begins like an element.
_NOT_ELEMENTS = {"va", "vac", "vacancy", "du", "dum", "lp", "xx", "bq", "x", "q", "cent", "void"}
#: A type symbol: letters, then a charge, a number, or what force fields put after an underscore.
_TYPE = re.compile(r"\d*([A-Za-z]+)(?:[\d.+\-() ]*|_.*|\.\w*)$")
_LABEL = re.compile(r"\d*([A-Za-z]+)")
_GROUP = re.compile(r"(?:wat|h2o|o-?h\d?|ow|n-?h\d?|c-?h\d)(?![a-z])", re.IGNORECASE)
_VALENCE = re.compile(r"([A-Z][a-z]?)(?:val|va|v|ani)$", re.IGNORECASE)


class Unknown(ValueError):  # noqa: N818 - reads better where it is caught
    """No element of that name."""


@lru_cache(maxsize=8192)
def element(symbol: str | None, label: str | None, declared: frozenset[str] = frozenset()) -> str:
    """The element symbol, `D` for deuterium; the type symbol rules, `declared` elements settle labels like CA1."""
    text = (symbol if symbol is not None else label or "").strip()
    letters = (_TYPE if symbol is not None else _LABEL).match(text)
    if letters is None:
        raise Unknown(text)
    return _from_letters(letters.group(1), symbol is None, declared)


def guessed(label: str) -> bool:
    """Whether a label such as CA1 is an element by the more likely of two ways to read it."""
    letters = _LABEL.match(label)
    two = letters.group(1)[:2] if letters else ""
    return two.isupper() and {two[:1], two.capitalize()} <= ELEMENTS and len(two) == 2


def _from_letters(letters: str, of_label: bool, declared: frozenset[str]) -> str:
    lower = letters.lower()
    if lower in _NOT_ELEMENTS:
        raise Unknown(letters)
    if letters in ("D", "H"):
        return letters
    two, one = letters[:2].capitalize(), letters[0].upper()
    if letters == two and two in ELEMENTS:
        return two
    if lower in _MOLECULES and two not in declared:
        return _MOLECULES[lower]
    return _from_label(letters, two, one, declared) if of_label else _from_type(letters, two, one)


def hides_hydrogen(symbol: str) -> bool:
    """Whether a type symbol or label is that of a group such as water, hydroxyl or ammonium."""
    return _GROUP.match(symbol) is not None


def _from_type(letters: str, two: str, one: str) -> str:
    if len(letters) <= 2 and two in ELEMENTS and (len(letters) == 1 or _likely(letters, two)):
        return two
    valence = _VALENCE.match(letters)
    name = valence.group(1).capitalize() if valence else ""
    if name in ELEMENTS:
        return name
    # Three letters are a word unless capitals set a suffix apart, as in `OHw` or `SiT`.
    if letters[1:2].islower() and letters[2:].isupper() and two in ELEMENTS:
        return two
    if one in ELEMENTS and letters[1:2].isupper():
        return one
    raise Unknown(letters)


def _from_label(letters: str, two: str, one: str, declared: frozenset[str]) -> str:
    known = [name for name in (two, one) if name in ELEMENTS and len(name) <= len(letters)]
    listed = [name for name in known if name in declared]
    plausible = [name for name in known if len(name) == 1 or _likely(letters, name)]
    for choice in (listed, plausible, known):
        if choice:
            return choice[0]
    if one == "D" and "H" in declared:
        return "D"
    raise Unknown(letters)


def _likely(letters: str, two: str) -> bool:
    return letters[1].islower() or two in _COMMON
