"""The atom sites of a CIF block as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from mlmat.reader._cif.element import Unknown, element, guessed, hides_hydrogen
from mlmat.reader._cif.items import given, number, plain, plains
from mlmat.reader._cif.mixture import unmixed
from mlmat.reader.common.verdict import NotACrystal, Refused, some

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.items import Items
    from mlmat.reader.common.block import Limits

FRACT = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
LABEL, TYPE, OCCUPANCY = "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy"
ASSEMBLY, GROUP = "_atom_site_disorder_assembly", "_atom_site_disorder_group"
#: Occupancies from here on count as full: what rounding leaves of 1 in four digits.
FULL = 0.999
#: Largest occupancy, or sum of occupancies on one site.
MAX_OCCUPANCY = 1.01
#: Fractional coordinates beyond this are misprints, not neighbouring cells.
MAX_FRACTION = 1e3


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites listed: fractional coordinates shape (n, 3), deuterium as hydrogen with `isotope` set."""

    labels: list[str]
    numbers: NDArray[np.int64]
    isotope: NDArray[np.bool_]
    fract: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    groups: list[str]
    problem: str | None = None

    def take(self, keep: NDArray[np.bool_]) -> Sites:
        """Some of the sites."""
        return Sites(
            [x for x, k in zip(self.labels, keep, strict=True) if k],
            self.numbers[keep],
            self.isotope[keep],
            self.fract[keep],
            self.occupancy[keep],
            [x for x, k in zip(self.groups, keep, strict=True) if k] if self.groups else [],
            self.problem,
        )

    @property
    def full(self) -> NDArray[np.bool_]:
        """Which sites are fully occupied."""
        return np.asarray(self.occupancy >= FULL)


def read_sites(items: Items, declared: frozenset[str], limits: Limits, warnings: list[str]) -> Sites:
    """The sites of a block; refused where one of them makes no sense."""
    columns = _coordinates(items)
    n = len(columns[0])
    if n > limits.max_sites:
        raise Refused(f"too large: {n} sites listed, the limit is {limits.max_sites}")
    labels, symbols = items.column(LABEL), items.column(TYPE)
    if labels is None and symbols is None:
        raise NotACrystal("atom sites without labels and element symbols")
    rows = _rows(items, columns, labels or symbols or [], warnings)
    rows, kinds, shares = unmixed(rows, _chosen(symbols, rows, n))
    names = _names(_chosen(labels, rows, n), kinds)
    elements = _elements(kinds, names, declared, warnings)
    isotope = np.array([e == "D" for e in elements], bool)
    if isotope.any():
        warnings.append(f"deuterium (D) at {some([x for x, d in zip(names, isotope, strict=True) if d])}: kept as H")
    sites = Sites(
        names,
        np.array([1 if e == "D" else atomic_numbers[e] for e in elements], np.int64),
        isotope,
        _fractions([_chosen(c, rows, n) or [] for c in columns], names),
        _occupancies(_chosen(items.column(OCCUPANCY), rows, n), names, warnings) * shares,
        _groups(items, rows, n),
        None if declared else _hidden_hydrogen(kinds, names, elements),
    )
    return _without_empty(sites, warnings)


def _coordinates(items: Items) -> list[list[str]]:
    columns = [items.column(tag) for tag in FRACT]
    if any(c is None for c in columns):
        if "_atom_site_cartn_x" in items:
            raise NotACrystal("only Cartesian coordinates (_atom_site_Cartn_x): the axes of the cell are not settled")
        missing = FRACT[[c is None for c in columns].index(True)] if any(columns) else "no atom sites"
        raise NotACrystal(f"no structure in this block: {missing}" + (" is missing" if any(columns) else ""))
    found = [c for c in columns if c is not None]
    if len({len(c) for c in found}) != 1:
        raise NotACrystal("the coordinates of the atom sites stand in different loops")
    return found


def _rows(items: Items, columns: list[list[str]], labels: list[str], warnings: list[str]) -> list[int]:
    """The rows of the loop that are atoms: no dummies, and more than a template of question marks."""
    rows = list(range(len(labels)))
    flags = items.column("_atom_site_calc_flag") or []
    dummies = [i for i, flag in enumerate(flags[: len(labels)]) if flag.lower() == "dum"]
    if dummies:
        rows = sorted(set(rows) - set(dummies))
        warnings.append(f"dummy sites left out: {some([plain(labels[i]) for i in dummies])}")
    if not any(given(text) for column in (labels, *columns) for text in column) or not rows:
        raise NotACrystal("no structure in this block: no atom sites")
    return rows


def _chosen(column: list[str] | None, rows: list[int], listed: int) -> list[str] | None:
    if column is None:
        return None
    if len(column) != listed:
        raise NotACrystal("the items of the atom sites stand in different loops")
    return [column[i] for i in rows]


def _names(labels: list[str] | None, kinds: list[str | None]) -> list[str]:
    if labels is not None:
        return plains(labels)
    return [f"{x}{i}" for i, x in enumerate(kinds, 1)]


def _elements(kinds: list[str | None], names: list[str], declared: frozenset[str], warnings: list[str]) -> list[str]:
    found = []
    for kind, name in zip(kinds, names, strict=True):
        try:
            found.append(element(kind, name if kind is None else None, declared))
        except Unknown as unknown:
            raise Refused(f"unknown element {kind or unknown} at site {name}") from None
    guesses = [n for k, n in zip(kinds, names, strict=True) if k is None and guessed(n)] if not declared else []
    if guesses:
        warnings.append(f"elements taken from labels without formula or type symbols: {some(guesses)}")
    return found


def _hidden_hydrogen(kinds: list[str | None], names: list[str], elements: list[str]) -> str | None:
    """Water or hydroxyl without any hydrogen, in a file without a formula that would tell."""
    if {"H", "D"} & set(elements):
        return None
    groups = [name for kind, name in zip(kinds, names, strict=True) if hides_hydrogen(kind or name)]
    return f"{some(groups)} stands for a group with hydrogen, but no H is listed" if groups else None


def _fractions(columns: list[list[str]], names: list[str]) -> NDArray[np.float64]:
    fract = np.array([list(map(number, column)) for column in columns]).T
    sound = np.abs(fract) <= MAX_FRACTION
    if not sound.all():
        i, j = (int(k) for k in np.argwhere(~sound)[0])
        raise Refused(f"coordinate {'xyz'[j]} of site {names[i]} {_complaint(columns[j][i], fract[i, j])}")
    return fract


def _complaint(text: str, value: float) -> str:
    if not given(text):
        return "is not given"
    return f"makes no sense: {text}" if np.isfinite(value) else f"is not a number: {text}"


def _occupancies(column: list[str] | None, names: list[str], warnings: list[str]) -> NDArray[np.float64]:
    if column is None:
        return np.ones(len(names))
    read = {text: 1.0 if text in (".", "?") else number(text) for text in set(column)}
    values = np.array([read[text] for text in column])
    if set(read.values()) == {1.0} and "?" not in read:
        return values
    unknown = [name for name, text in zip(names, column, strict=True) if text == "?"]
    if unknown:
        warnings.append(f"occupancy not given at {some(unknown)}: 1 assumed")
    bad = ~np.isfinite(values) | (values < 0) | (values > MAX_OCCUPANCY)
    if bad.any():
        i = int(np.argmax(bad))
        raise Refused(f"occupancy of site {names[i]} makes no sense: {column[i]}")
    rounded = np.flatnonzero((values >= FULL) & (values != 1))
    if len(rounded):
        warnings.append(f"occupancy taken as 1 at {some([f'{names[i]} ({column[i]})' for i in rounded])}")
    return values


def _groups(items: Items, rows: list[int], listed: int) -> list[str]:
    groups = _chosen(items.column(GROUP), rows, listed)
    if groups is None:
        return []
    assemblies = _chosen(items.column(ASSEMBLY), rows, listed) or ["."] * len(groups)
    pairs = ((plain(g), plain(a)) for g, a in zip(groups, assemblies, strict=True))
    named = [f"{a if given(a) else ''}:{g}" if given(g) and g != "0" else "" for g, a in pairs]
    return named if any(named) else []


def _without_empty(sites: Sites, warnings: list[str]) -> Sites:
    if sites.occupancy.all():
        return sites
    empty = sites.occupancy == 0
    warnings.append(f"sites of occupancy 0 left out: {some([sites.labels[i] for i in np.flatnonzero(empty)])}")
    if empty.all():
        raise NotACrystal("no structure in this block: every site has occupancy 0")
    return sites.take(~empty)
