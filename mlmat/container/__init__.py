"""Containers: files that hold many structures as members. The directory is the registry.

A container is a module of this package without a leading underscore. It has `FORMAT`, what people call it; `PATTERNS`,
file-name patterns in lower case; and `members(path, options)`, which yields a `Member` for each part of the file, one
after another, with nothing unpacked to disk and no more than one of them in memory. It raises `Refused` when the rest
of the file cannot be read. With `count(path, options)` it tells beforehand how many there will be, where that is cheap.
`COLUMN = True` says that it takes a file only when the user names a column.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase, translate
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from mlmat.container._compressed import SUFFIXES, bare_name, opened, unpacked
from mlmat.container._member import Member, Options, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SUFFIXES",
    "Container",
    "Member",
    "Options",
    "Refusal",
    "Refused",
    "bare_name",
    "container_for",
    "containers",
    "opened",
    "unpacked",
]


class Container(Protocol):
    """What a module of this package offers."""

    FORMAT: str
    PATTERNS: tuple[str, ...]

    def members(self, path: str, options: Options) -> Iterator[Member]:
        """The parts of the file, one after another. Raises Refused, OSError."""
        ...


@cache
def containers() -> tuple[Container, ...]:
    """Every container, in alphabetical order of its module."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    return tuple(cast("Container", import_module(f"{__name__}.{name}")) for name in names)


@cache
def _any() -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for one in containers() for pattern in one.PATTERNS))


def container_for(name: str, *, column: bool = False) -> Container | None:
    """The container that takes files of this name, or None. column: tables may be taken, and come first."""
    name = name.rstrip("/").rpartition("/")[2].lower()
    if not _any().match(name):  # most files are none: one look is enough
        return None
    fitting = [one for one in containers() if any(fnmatchcase(name, pattern) for pattern in one.PATTERNS)]
    found = [one for one in fitting if bool(getattr(one, "COLUMN", False)) == column]
    return next(iter(found if found or not column else fitting), None)
