"""The formats of results: the modules of this package without a leading underscore."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol, cast

from mlmat.container import bare_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.imports._given import Given, UnreadableRow, Unused
    from mlmat.reader import Limits


class Format(Protocol):
    """What a module of this package offers."""

    FORMAT: str
    PATTERNS: tuple[str, ...]
    VERSION: int

    def rows(self, path: str, limits: Limits) -> Iterator[Given | UnreadableRow | Unused]:
        """Each row of the file. Raises Wrong, Refused, OSError."""
        ...


@cache
def formats() -> tuple[Format, ...]:
    """Every format, in alphabetical order of its module."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    return tuple(cast("Format", import_module(f"mlmat.imports.{name}")) for name in names)


def format_for(path: str) -> Format | None:
    """The format of a file of this name, compressed or not; None where it is none."""
    name = PurePath(bare_name(path)).name.lower()
    return next((one for one in formats() if any(fnmatchcase(name, pattern) for pattern in one.PATTERNS)), None)


def name_of(one: Format) -> str:
    """Name of a format's module."""
    return str(getattr(one, "__name__", "")).rpartition(".")[2]
