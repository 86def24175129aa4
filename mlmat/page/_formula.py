"""Formulas as chemists write them: the more electropositive element first, numbers below the line."""

from __future__ import annotations

import re

#: Elements by Pauling electronegativity; those that have none at the end.
_ORDER = """
Fr Cs K Rb Ba Ra Na Sr Li Ca Ac La Tb Yb Ce Pm Pr Nd Sm Eu Gd Dy Y Ho Er Tm Lu Pu Am Bk Cf Cm Es Fm Hf Lr Md No
Th Mg Zr Np Sc U Pa Ta Ti Mn Be Nb Al Tl V Zn Cr Cd In Ga Fe Co Cu Re Si Tc Ni Ag Sn Hg Po Ge Bi B Sb Te Mo As P
At H Ir Os Pd Rn Ru Pt Rh Pb W Au C Se S Xe I Br Kr N Cl O F Ar Bh Cn Db Ds Fl He Hs Lv Mc Mt Ne Nh Og Rf Rg Sg Ts
"""
_PLACE = {symbol: place for place, symbol in enumerate(_ORDER.split())}
_PART = re.compile(r"([A-Z][a-z]?)([\d.]*)")
_FORMULA = re.compile(r"\b(?:[A-Z][a-z]?[\d.]*)+\b")
_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def conventional(formula: str) -> str:
    """A formula in alphabetical order (CoLiO2) in the order of electronegativity (LiCoO2); another text as it is."""
    parts = _PART.findall(formula)
    if "".join(symbol + amount for symbol, amount in parts) != formula:
        return formula
    parts.sort(key=lambda part: _PLACE.get(part[0], len(_PLACE)))
    return "".join(symbol + amount for symbol, amount in parts)


def conventional_in(text: str) -> str:
    """The same for every formula of a text such as `0.500 CoLiO2 + 0.500 O2Ti`."""
    return _FORMULA.sub(lambda found: conventional(found[0]), text)


def below(formula: str) -> str:
    """A formula with its numbers as subscripts."""
    return formula.translate(_BELOW)
