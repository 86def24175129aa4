"""Formulas as people write them: SiO2, LiCoO2, Li3Fe2(PO4)3; read in any order, written in one. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from math import gcd, lcm
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Pauling electronegativities as pymatgen has them (none for light noble gases and the last elements), in rising order
#: and, where equal, in alphabetical order: the order of elements in a formula.
_PAULING = """
Fr 0.7 Cs 0.79 K 0.82 Rb 0.82 Ba 0.89 Ra 0.9 Na 0.93 Sr 0.95 Li 0.98 Ca 1 Ac 1.1 La 1.1 Tb 1.1 Yb 1.1 Ce 1.12 Pm 1.13
Pr 1.13 Nd 1.14 Sm 1.17 Eu 1.2 Gd 1.2 Dy 1.22 Y 1.22 Ho 1.23 Er 1.24 Tm 1.25 Lu 1.27 Pu 1.28 Am 1.3 Bk 1.3 Cf 1.3
Cm 1.3 Es 1.3 Fm 1.3 Hf 1.3 Lr 1.3 Md 1.3 No 1.3 Th 1.3 Mg 1.31 Zr 1.33 Np 1.36 Sc 1.36 U 1.38 Pa 1.5 Ta 1.5 Ti 1.54
Mn 1.55 Be 1.57 Nb 1.6 Al 1.61 Tl 1.62 V 1.63 Zn 1.65 Cr 1.66 Cd 1.69 In 1.78 Ga 1.81 Fe 1.83 Co 1.88 Cu 1.9 Re 1.9
Si 1.9 Tc 1.9 Ni 1.91 Ag 1.93 Sn 1.96 Hg 2 Po 2 Ge 2.01 Bi 2.02 B 2.04 Sb 2.05 Te 2.1 Mo 2.16 As 2.18 P 2.19 At 2.2
H 2.2 Ir 2.2 Os 2.2 Pd 2.2 Rn 2.2 Ru 2.2 Pt 2.28 Rh 2.28 Pb 2.33 W 2.36 Au 2.54 C 2.55 Se 2.55 S 2.58 Xe 2.6 I 2.66
Br 2.96 Kr 3 N 3.04 Cl 3.16 O 3.44 F 3.98 Ar - Bh - Cn - Db - Ds - Fl - He - Hs - Lv - Mc - Mt - Ne - Nh - Og - Rf -
Rg - Sg - Ts -
"""
_PAIRS = dict(re.findall(r"(\w+) (\S+)", _PAULING))
_PLACE = {symbol: place for place, symbol in enumerate(_PAIRS)}
_X = {symbol: float(x) for symbol, x in _PAIRS.items() if x != "-"}
#: Two last elements that differ by more than this are no anion of several elements, such as PO4.
_IONIC = 1.65
#: Molecules, and peroxides, whose formulas are not divided further.
_WHOLE_MOLECULES = {name: name + "2" for name in ("O", "N", "F", "Cl", "H")}
_WHOLE_MOLECULES |= {f"{name}O": f"{name}2O2" for name in ("Li", "Na", "K", "Rb", "Cs", "H")}

_TOKEN = re.compile(r"\s*(?:([A-Z][a-z]?)|([(\[{])|([)\]}]))\s*(\d+\.?\d*|\.\d+)?")
_PLAIN = re.compile(r"(?:[A-Z][a-z]?[0-9]*)+")
_PART = re.compile(r"([A-Z][a-z]?)([0-9]*)")
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_ADDED = re.compile(r"[·•∙⋅*]")
_NUMBERED = re.compile(r"\s*(\d+\.?\d*|\.\d+)?(.*)", re.DOTALL)
#: A point that may be no decimal point: CuSO4.5H2O.
HYDRATE = re.compile(r"\.\d*\(?H2O")
#: Longest formula, in characters; how near an amount is to a simple fraction, and the largest denominator of one.
LONGEST, WHOLE, _SIMPLE = 2_000, 1e-6, 24
#: More atoms of an element than any formula has.
_MOST = 1e9
#: Isotopes that count as hydrogen.
HEAVY = ("D", "T")


def pretty(amounts: Mapping[str, float]) -> str:
    """The reduced formula as pymatgen writes it: by electronegativity, with anions in brackets, molecules whole.

    amounts: atoms of each element, whole numbers or simple fractions; others are written as they are, not divided.
    """
    counts = integers(amounts)
    if counts is None:
        return plain(amounts)
    divisor = gcd(*counts.values()) or 1
    symbols = _ordered(counts)
    anion = _anion(symbols, counts, divisor)
    written = (
        "".join(_part(symbol, counts[symbol] // divisor) for symbol in (symbols[:-2] if anion else symbols)) + anion
    )
    return _WHOLE_MOLECULES.get(written, written)


def plain(amounts: Mapping[str, float]) -> str:
    """A formula by electronegativity without brackets, not divided: Li3Fe2P3O12, for names of files."""
    return "".join(_part(symbol, amounts[symbol]) for symbol in _ordered(amounts))


def _ordered(amounts: Mapping[str, float]) -> list[str]:
    return sorted(
        (symbol for symbol in amounts if amounts[symbol]), key=lambda symbol: (_PLACE.get(symbol, 999), symbol)
    )


def _part(symbol: str, amount: float) -> str:
    return symbol if amount == 1 else f"{symbol}{amount:.6g}" if isinstance(amount, float) else f"{symbol}{amount}"


def _anion(symbols: list[str], counts: Mapping[str, int], divisor: int) -> str:
    """The last two elements as `(PO4)3`, or nothing where they are no such group."""
    if len(symbols) < 3:
        return ""
    a, b = symbols[-2:]
    if not _X.get(b, 9.0) - _X.get(a, 0.0) < _IONIC:
        return ""
    times = gcd(counts[a], counts[b]) // divisor
    n = times * divisor
    return f"({_part(a, counts[a] // n)}{_part(b, counts[b] // n)}){times}" if times > 1 else ""


def reduced_formula(amounts: Mapping[str, float]) -> str:
    """OPTIMADE's `chemical_formula_reduced`: alphabetical, divided by the common divisor, no 1.

    Amounts that are no simple fractions are written as they are.
    """
    counts = integers(amounts)
    divisor = (gcd(*counts.values()) or 1) if counts else 1
    return written({symbol: n // divisor for symbol, n in counts.items()} if counts else amounts)


def written(amounts: Mapping[str, float]) -> str:
    """The formula of a cell, in alphabetical order."""
    return "".join(_part(symbol, amount) for symbol, amount in sorted(amounts.items()))


def anonymous_formula(amounts: Mapping[str, int]) -> str:
    """OPTIMADE's `chemical_formula_anonymous`: the reduced amounts in falling order on A, B, … Z, Aa, Ba, …."""
    divisor = gcd(*amounts.values()) or 1
    ordered = sorted((n // divisor for n in amounts.values()), reverse=True)
    return "".join(f"{_letter(i)}{n if n > 1 else ''}" for i, n in enumerate(ordered))


def _letter(i: int) -> str:
    small = "" if i < 26 else chr(ord("a") + i // 26 - 1)
    return chr(ord("A") + i % 26) + small


def integers(amounts: Mapping[str, float]) -> dict[str, int] | None:
    """The smallest multiple of these amounts that is whole; None where they are no simple fractions."""
    if all(amount == int(amount) for amount in amounts.values()):
        return {symbol: int(amount) for symbol, amount in amounts.items()}
    simple = {symbol: Fraction(amount).limit_denominator(_SIMPLE) for symbol, amount in amounts.items()}
    if any(abs(simple[symbol] - amount) > WHOLE or not simple[symbol] for symbol, amount in amounts.items()):
        return None
    times = lcm(*(fraction.denominator for fraction in simple.values()))
    return {symbol: int(fraction * times) for symbol, fraction in simple.items()}


def canonical(text: str) -> str | None:
    """A formula in any order, or a multiple of it, as `pretty` writes it; None where it is no formula."""
    amounts = parse(text)
    return pretty(amounts) if amounts else None


def parse(text: str) -> dict[str, float] | None:
    """Atoms of each element in a formula such as `Ca(OH)2`, `Li₂O` or `CuSO4·5H2O`; None where it is no formula."""
    first, *added = _ADDED.split(text)
    try:
        found = _plain(text) or [*parts(first), *(share for part in added for share in _counted(part))]
    except ValueError:
        return None
    amounts: dict[str, float] = {}
    for symbol, amount in found:
        element = "H" if symbol in HEAVY else symbol
        amounts[element] = amounts.get(element, 0) + amount
    kept = {element: amount for element, amount in amounts.items() if amount > 0}
    return kept if kept.keys() <= _PLACE.keys() and max(kept.values(), default=0) < _MOST else None


def _plain(text: str) -> list[tuple[str, float]] | None:
    """The parts of a formula without brackets and fractions: most are."""
    if not _PLAIN.fullmatch(text) or len(text) > LONGEST:
        return None
    return [(symbol, int(amount) if amount else 1) for symbol, amount in _PART.findall(text)]


def _counted(part: str) -> list[tuple[str, float]]:
    """What `5H2O` adds to a formula."""
    times, rest = _NUMBERED.fullmatch(part).groups()  # type: ignore[union-attr]
    return [(symbol, amount * float(times or 1)) for symbol, amount in parts(rest)]


def parts(text: str) -> list[tuple[str, float]]:
    """Symbols with their amounts, in the order of a formula without charges. Raises ValueError: what is wrong."""
    text = unicodedata.normalize("NFKC", text).strip()
    if not text or len(text) > LONGEST or HYDRATE.search(text):
        raise ValueError("not a formula")
    stack: list[tuple[str, list[tuple[str, float]]]] = [("", [])]
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or (token[2] and token[4]):
            raise ValueError("not a formula")
        _take(token, stack)
        at = token.end()
    if len(stack) > 1:
        raise ValueError("its brackets do not match")
    return stack[0][1]


def _take(token: re.Match[str], stack: list[tuple[str, list[tuple[str, float]]]]) -> None:
    times = float(token[4]) if token[4] else 1.0
    if token[1]:
        stack[-1][1].append((token[1], times))
    elif token[2]:
        stack.append((token[2], []))
    elif stack[-1][0] != _BRACKETS[token[3]]:
        raise ValueError("its brackets do not match")
    else:
        inner = stack.pop()[1]
        stack[-1][1].extend((symbol, times * amount) for symbol, amount in inner)
