"""The place of an export: written beside it under another name, and put there when it is whole."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: First line of every CIF that is written, by which a folder is known as one that may be replaced.
MARK = "# written by mlmat export"


def check(target: Path, *, folder: bool, overwrite: bool) -> None:
    """Refuse what must not be written over. Raises UsageError."""
    parent = target.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"{target}: there is no folder {parent}; make it first")
    if not target.exists():
        return
    if target.is_dir() != folder:
        raise UsageError(f"{target} is a {'folder' if target.is_dir() else 'file'}; choose another name")
    if folder:
        _check_folder(target, overwrite)
    elif not overwrite:
        raise UsageError(f"{target} exists; --overwrite replaces it")


def _check_folder(target: Path, overwrite: bool) -> None:
    """A folder that holds anything but what an export wrote is never replaced."""
    entries = sorted(target.iterdir())
    if entries and not overwrite:
        raise UsageError(f"{target} is not empty; --overwrite replaces the CIFs of an earlier export")
    for entry in entries:
        if not _is_ours(entry):
            raise UsageError(f"{target} holds {entry.name}, which no export wrote; choose another folder")


def _is_ours(entry: Path) -> bool:
    if not entry.is_file() or entry.suffix != ".cif":
        return False
    with entry.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """A name beside the target; what is written there takes the target's place at the end, or is removed."""
    target = target.absolute()
    target = target.resolve() if target.is_symlink() else target
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield partial
        if target.is_dir():
            _swap(partial, target)
        else:
            partial.replace(target)
    finally:
        _remove(partial)


def _swap(partial: Path, target: Path) -> None:
    """Put one folder in the place of another."""
    old = partial.with_suffix(".old")
    target.replace(old)
    try:
        partial.replace(target)
    except BaseException:
        old.replace(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
