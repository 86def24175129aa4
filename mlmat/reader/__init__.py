"""Readers of structure files: the directory is the registry.

A reader is a module of this package without a leading underscore. It has `PATTERNS`, file-name patterns in
lower case, and `read(name, data, limits)`, which yields a `Block` for each structure-like part of the file and
never raises for bad content.
"""

from __future__ import annotations

from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol, cast

from mlmat.reader._block import Block, Limits, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

__all__ = ["Block", "Limits", "Outcome", "Reader", "patterns", "reader_for", "readers"]


class Reader(Protocol):
    """What a module of this package offers."""

    PATTERNS: tuple[str, ...]

    def read(self, name: str, data: bytes, limits: Limits) -> Iterator[Block]:
        """Each structure-like part of the file `name` with the content `data`."""
        ...


@cache
def readers() -> tuple[Reader, ...]:
    """Every reader, in alphabetical order of its module."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    return tuple(cast("Reader", import_module(f"{__name__}.{name}")) for name in names)


def patterns() -> tuple[str, ...]:
    """The file-name patterns that some reader takes."""
    return tuple(pattern for reader in readers() for pattern in reader.PATTERNS)


def reader_for(path: str | PathLike[str]) -> Reader | None:
    """The reader for a file of this name, or None; upper and lower case are one."""
    name = PurePath(path).name.lower()
    for reader in readers():
        if any(fnmatch(name, pattern) for pattern in reader.PATTERNS):
            return reader
    return None
