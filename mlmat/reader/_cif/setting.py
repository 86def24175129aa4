"""Space-group symbols, Hall symbols and numbers as settings: which operations a name can mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import gemmi

from mlmat.reader._cif.operations import Operations, from_gemmi, parse_operations

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Longest symbol that is looked at, in characters.
MAX_LENGTH = 80
#: A qualifier at the end of a symbol and the one gemmi uses: origin 1 or 2, hexagonal or rhombohedral axes.
_QUALIFIERS = {"1": "1", "2": "2", "s": "1", "z": "2", "h": "H", "r": "R", "hr": "H"}
_QUALIFIED = re.compile(r"(.+?)[:(]+(?:origin|choice|axes|=|at)*([12hrsz]|hr)[a-z]*\)?$")
_LETTER = re.compile(r"(.+?)(hr|[hrsz])$")
_OLD_CUBIC = re.compile(r"^([pfi](?:[mnabcd]|4[123]?/?[mnabcd]?))3(?=[mnabcd]?$)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to read the symmetry: its name for a person, number and extended symbol of its space group.

    The operations are those given or, made when they are needed, those of the Hall symbol.
    """

    name: str
    number: int | None
    symbol: str | None
    hall: str = ""
    given: Operations | None = None

    @property
    def operations(self) -> Operations:
        """The operations of this setting, the identity first."""
        return self.given or _operations(self.hall)


@lru_cache(maxsize=256)
def _operations(hall: str) -> Operations:
    return from_gemmi(gemmi.symops_from_hall(hall))


def of_operations(name: str, operations: Operations) -> Setting:
    """A setting that consists of operations a file lists."""
    return Setting(name, operations.number, operations.symbol, given=operations)


P1 = of_operations("P 1", parse_operations(("x,y,z",)))


@cache
def _index() -> dict[str, list[gemmi.SpaceGroup]]:
    """gemmi's settings by symbol without blanks; the full symbol, and the short one for unique axis b."""
    index: dict[str, list[gemmi.SpaceGroup]] = {}
    for group in gemmi.spacegroup_table():
        names = [_plain(group.hm)]
        if group.crystal_system_str() == "monoclinic":
            short = _plain(group.hm[0] + group.hm[1:].replace(" 1", ""))
            names.append(short)
        for name in dict.fromkeys(names):
            index.setdefault(name, []).append(group)
    return index


def _plain(symbol: str) -> str:
    return re.sub(r"[\s_'\"]", "", symbol).lower()


@lru_cache(maxsize=1024)
def by_symbol(symbol: str) -> tuple[Setting, ...]:
    """All settings that a Hermann-Mauguin symbol can mean, most usual first; empty where it is unknown."""
    name = _plain(symbol) if len(symbol) <= MAX_LENGTH else ""
    for candidate, qualifier in _readings(name):
        groups = _index().get(candidate, [])
        if qualifier:
            groups = [g for g in groups if g.ext == qualifier]
        if groups:
            return _settings(groups)
    return ()


def _readings(name: str) -> Iterable[tuple[str, str | None]]:
    """The symbol as it stands, with its qualifier split off, and in older ways of writing."""
    subscript = re.sub(r"\((\d)\)", r"\1", name)
    for text in dict.fromkeys((name, subscript)):
        for plain in (text, _OLD_CUBIC.sub(r"\1-3", text)):
            yield plain, None
        for pattern in (_QUALIFIED, _LETTER):
            split = pattern.match(text)
            if split:
                yield split.group(1), _QUALIFIERS[split.group(2)]
                yield _OLD_CUBIC.sub(r"\1-3", split.group(1)), _QUALIFIERS[split.group(2)]


@lru_cache(maxsize=256)
def by_number(number: int) -> tuple[Setting, ...]:
    """The settings of a space-group type in use, the standard one first.

    Monoclinic and orthorhombic axes are chosen freely; elsewhere only origin and kind of axes differ.
    """
    groups = [g for g in gemmi.spacegroup_table() if g.number == number]
    groups.sort(key=lambda g: not g.is_reference_setting())
    free = groups[0].crystal_system_str() in ("monoclinic", "orthorhombic")
    return _settings(g for g in groups if free or g.hm == groups[0].hm)


@lru_cache(maxsize=512)
def by_hall(symbol: str) -> Setting | None:
    """The setting of a Hall symbol, or None where it cannot be understood."""
    try:
        operations = from_gemmi(gemmi.symops_from_hall(symbol.replace("_", " ")))
    except Exception:
        return None
    return of_operations(f"Hall {symbol}", operations)


def _settings(groups: Iterable[gemmi.SpaceGroup]) -> tuple[Setting, ...]:
    return tuple(Setting(g.xhm(), g.number, g.xhm(), g.hall) for g in groups)
