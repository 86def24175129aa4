"""The place of an export: written beside it under another name, and put there when it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.errors import UsageError
from mlmat.output import placed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MARK", "check", "placed"]

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
