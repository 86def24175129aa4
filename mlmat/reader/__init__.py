"""Readers of structure files: the directory is the registry.

A reader is a module of this package without a leading underscore. It has `FORMAT`, what people call what it reads;
`PATTERNS`, file-name patterns in lower case; and `read(name, data, limits)`, which yields a `Block` for each
structure-like part of the file and never raises for bad content. With `accepts(data)`, a cheap look at the content, it
shares its patterns with other readers and takes files of any name.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cache
from importlib import import_module
from itertools import islice
from os import fspath, sep
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from mlmat.reader.common.block import NOT_KEPT, Block, Limits, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

__all__ = ["NOT_KEPT", "Block", "Limits", "Outcome", "Reader", "patterns", "read", "reader_for", "readers"]


class Reader(Protocol):
    """What a module of this package offers."""

    FORMAT: str
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
    """The file-name patterns that some reader takes, each once."""
    return tuple(dict.fromkeys(pattern for reader in readers() for pattern in reader.PATTERNS))


def reader_for(path: str | PathLike[str]) -> Reader | None:
    """A reader that takes files of this name, or None; upper and lower case are one."""
    return next(iter(_by_name(path)), None)


def read(name: str, data: bytes, limits: Limits | None = None) -> Iterator[Block]:
    """Each structure-like part of the file `name` with the content `data`, decompressed unless it is CIF.

    The name chooses the reader. Where several take it, or none does, the content decides. What nothing fits is one
    `unreadable` block with a reason.
    """
    limits = limits or Limits()
    if len(data) > limits.max_bytes:
        yield _unreadable(f"too large: more than {limits.max_bytes / 2**20:.6g} MiB", "rejected")
        return
    reader = _choose(name, data)
    if reader is None:
        yield _unreadable(_not_recognised(name, data))
    else:
        blocks = reader.read(name, data, limits)
        yield from islice(blocks, limits.max_blocks)
        if next(blocks, None) is not None:
            reason = f"more than {limits.max_blocks:,} blocks: the rest is not read"
            yield _unreadable(reason, "rejected", limits.max_blocks)


def _by_name(path: str | PathLike[str]) -> list[Reader]:
    name = fspath(path).rpartition(sep)[2].lower()
    return [reader for reader, match in _matches() if match(name)]


@cache
def _matches() -> tuple[tuple[Reader, Callable[[str], object]], ...]:
    """Readers with all their patterns in one: it is asked for each of a million files."""
    return tuple((r, re.compile("|".join(map(translate, r.PATTERNS))).match) for r in readers())


def _choose(name: str, data: bytes) -> Reader | None:
    """The only reader of that name, or else the first whose content it is."""
    named = _by_name(name)
    if len(named) == 1:
        return named[0]
    return next((reader for reader in named or readers() if _accepts(reader, data)), None)


def _accepts(reader: Reader, data: bytes) -> bool:
    accepts = getattr(reader, "accepts", None)
    try:
        return bool(accepts and accepts(data))
    except Exception:  # no look at a file may take the batch along
        return False


def _not_recognised(name: str, data: bytes) -> str:
    if not data.strip():
        return "empty"
    formats = ", ".join(reader.FORMAT for reader in _by_name(name) or readers())
    return f"the content is none of what is read here: {formats}"


def _unreadable(reason: str, outcome: Outcome = "unreadable", index: int = 0) -> Block:
    return Block(name="", index=index, text="", outcome=outcome, reason=reason, parser="mlmat.reader 1")
