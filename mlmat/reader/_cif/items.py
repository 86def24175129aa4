"""The items of a CIF data block under names that DDL1 and DDLm files share."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar, cast

import gemmi

from mlmat.reader.common.verdict import NotACrystal

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T")
_QUOTES = ("'", '"', ";")
_NOTHING = ("?", ".", "")


def number(text: str) -> float:
    """A CIF number without its standard uncertainty; NaN where it is none."""
    return float(gemmi.cif.as_number(text if text[:1] not in _QUOTES else plain(text)))


def plain(text: str) -> str:
    """A CIF value without its quotes."""
    return str(gemmi.cif.as_string(text)) if text[:1] in _QUOTES else text


def plains(column: list[str]) -> list[str]:
    """The values of a column without their quotes."""
    return [text if text[0] not in _QUOTES else plain(text) for text in column]


def given(text: str | None) -> bool:
    """Whether there is a value: neither `?` (unknown) nor `.` (not applicable) nor blank."""
    if text is None or text in _NOTHING:
        return False
    return text[0] not in _QUOTES or plain(text).strip() not in _NOTHING


class Items:
    """Values by tag in lower case with `_` for `.`; refused where one tag has two values."""

    def __init__(self, block: gemmi.cif.Block, lines_before: int, warnings: list[str]) -> None:
        self._pairs: dict[str, str] = {}
        self._loops: dict[str, tuple[int, int]] = {}
        self._all_loops: list[gemmi.cif.Loop] = []
        self._values: dict[int, list[str]] = {}
        for item in cast("Iterable[Any]", block):
            if item.pair is not None:
                self._add_pair(item, item.pair[0].lower(), item.pair[1], lines_before, warnings)
            elif item.loop is not None:
                self._add_loop(item, item.loop, lines_before)
        self._pairs, self._loops = _normal(self._pairs), _normal(self._loops)

    def _add_pair(self, item: gemmi.cif.Item, tag: str, value: str, lines_before: int, warnings: list[str]) -> None:
        if not value:
            raise NotACrystal(f"line {item.line_number + lines_before}: {tag} has no value")
        before = self._pairs.get(tag)
        if tag in self._loops or (before is not None and given(before) and given(value)):
            raise NotACrystal(f"line {item.line_number + lines_before}: duplicate tag {tag}")
        if before is not None:
            warnings.append(f"duplicate tag {tag}: one of its values is empty, the other is used")
        if before is None or given(value):
            self._pairs[tag] = value

    def _add_loop(self, item: gemmi.cif.Item, loop: gemmi.cif.Loop, lines_before: int) -> None:
        for j, tag in enumerate(loop.tags):
            name = tag.lower()
            if name in self._loops or name in self._pairs:
                raise NotACrystal(f"line {item.line_number + lines_before}: duplicate tag {name}")
            self._loops[name] = (len(self._all_loops), j)
        self._all_loops.append(loop)

    def __contains__(self, tag: str) -> bool:
        return tag in self._pairs or tag in self._loops

    def column(self, tag: str) -> list[str] | None:
        """The raw values of a tag, one where it is not in a loop; None where there is no such tag."""
        if tag in self._loops:
            k, j = self._loops[tag]
            values = self._values.get(k)
            if values is None:
                values = self._values[k] = list(self._all_loops[k].values)
            return values[j :: self._all_loops[k].width()]
        return [self._pairs[tag]] if tag in self._pairs else None

    def beginning(self, prefix: str) -> dict[str, str | int | float]:
        """The given values of all tags outside loops that begin so, by the rest of the tag; numbers unless quoted."""
        raw = {tag: text for tag, text in self._pairs.items() if tag.startswith(prefix)}
        return {tag.removeprefix(prefix): _typed(text) for tag, text in raw.items() if given(text)}

    def first(self, tags: Iterable[str]) -> str | None:
        """The first given value among several tags, without its quotes."""
        return next(iter(self.every(tags)), None)

    def every(self, tags: Iterable[str]) -> list[str]:
        """The given values of several tags (the first row of a loop), without their quotes."""
        firsts = (plain(column[0]) for tag in tags if (column := self.column(tag)))
        return [" ".join(value.split()) for value in firsts if given(value)]

    def number(self, tag: str) -> float | None:
        """A finite number, or None."""
        text = self.first((tag,))
        value = number(text) if text is not None else None
        return value if value is not None and isfinite(value) else None


def _typed(text: str) -> str | int | float:
    value = float(gemmi.cif.as_number(text))
    if not isfinite(value):
        return plain(text)
    return int(text) if text.lstrip("+-").isdecimal() and abs(value) < 2**53 else value


def _normal(tags: dict[str, _T]) -> dict[str, _T]:
    """Tags with `_` for `.`; where two fall together the one that is without a dot in the file stays."""
    dotted = {tag.replace(".", "_"): value for tag, value in tags.items() if "." in tag}
    return dotted | {tag: value for tag, value in tags.items() if "." not in tag} if dotted else tags
