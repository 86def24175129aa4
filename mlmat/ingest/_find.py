"""Files under paths: folders are walked, patterns expanded, what nobody reads is counted."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from mlmat.container import SUFFIXES, containers
from mlmat.errors import ReadError
from mlmat.reader import patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The path that means standard input.
STDIN = "-"


@dataclass(slots=True)
class Found:
    """Files that a reader or a container takes, and how many others lay beside them."""

    files: list[str] = field(default_factory=list)
    other: int = 0


def find_files(paths: Iterable[str | os.PathLike[str]], column: str | None = None) -> Found:
    """The files under paths, each once, in order. A file that is named itself is taken whatever its name.

    column: a column of tables was named, so that tables are taken, too. Raises ReadError for a path without a file.
    """
    found = Found()
    seen: set[str] = set()
    for path in paths:
        for file, named in _expand(os.fspath(path)):
            if not named and not _is_taken(os.path.basename(file), column is not None):
                found.other += 1
            elif file not in seen:
                seen.add(file)
                found.files.append(file)
    return found


def is_structure(name: str) -> bool:
    """Whether a reader takes files of this name, compressed or not."""
    return _pattern(patterns()).match(PurePath(name).name.lower()) is not None


def _is_taken(name: str, tables: bool) -> bool:
    """Whether a reader or a container takes files of this name; tables: those, too."""
    return _pattern(_names(tables)).match(name.lower()) is not None


@cache
def _names(tables: bool) -> tuple[str, ...]:
    taking = [one for one in containers() if tables or not getattr(one, "COLUMN", False)]
    return (*patterns(), *(pattern for one in taking for pattern in one.PATTERNS))


@cache
def _pattern(known: tuple[str, ...]) -> re.Pattern[str]:
    compressed = "|".join(map(re.escape, SUFFIXES))
    return re.compile("|".join(f"{translate(p).removesuffix(_END)}(?:{compressed})?{_END}" for p in known))


_END = r"\Z"


def _expand(path: str) -> Iterator[tuple[str, bool]]:
    """Absolute paths of what is no folder; whether they were named themselves."""
    if path == STDIN:
        yield path, True
        return
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        yield from _walk(os.path.abspath(path))
    elif os.path.exists(path):
        yield os.path.abspath(path), True
    elif glob.has_magic(path) and (matches := sorted(glob.glob(path, recursive=True))):
        for match in matches:
            yield from _expand(match)
    else:
        raise ReadError(f"{path}: there is no such file or folder (and no file matches it as a pattern)")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _walk(top: str) -> Iterator[tuple[str, bool]]:
    """What is no folder below a folder, sorted; links are followed, but no folder is entered twice.

    A folder that cannot be read is there itself, as if it had been named, so that it gets a row.
    """
    todo, seen = [(top, True)], set()
    while todo:
        path, is_folder = todo.pop()
        if not is_folder:
            yield path, False
            continue
        try:
            found = os.stat(path)
            if (real := (found.st_dev, found.st_ino)) not in seen:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
                todo += [(entry.path, _is_folder(entry)) for entry in entries]
                seen.add(real)
        except OSError:
            yield path, True
