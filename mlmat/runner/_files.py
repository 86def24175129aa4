"""The structures of a runner's own list: files, folders, atoms, or a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.runner._base import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

Found = tuple[str, "Atoms | Unreadable"]


def read_sources(files: Any) -> Iterator[Found]:
    """Label and structure of everything in files; what cannot be read comes with its reason instead."""
    from ase import Atoms

    if hasattr(files, "structures"):
        yield from ((atoms.info["structure_id"], atoms) for atoms in files.structures())
        return
    several = [files] if isinstance(files, (str, os.PathLike, Atoms)) else files
    for index, item in enumerate(several):
        if isinstance(item, Atoms):
            yield f"atoms {index}", item
        elif isinstance(item, (str, os.PathLike)):
            yield from _read_path(Path(item).expanduser())
        else:
            yield repr(item), Unreadable(repr(item), f"neither a file name nor ase.Atoms: {item!r:.60}", "TypeError")


def _read_path(path: Path) -> Iterator[Found]:
    from mlmat.reader import reader_for

    if not path.is_dir():
        yield from read_file(path)
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and reader_for(file) is not None:
            yield from read_file(file)


def read_file(path: Path) -> Iterator[Found]:
    """Every structure of one file, by mlmat's reader of its format, else by ASE's."""
    from mlmat.reader import Limits, reader_for

    reader = reader_for(path)
    try:
        if reader is None:
            yield from _by_ase(path)
            return
        blocks = list(reader.read(path.name, path.read_bytes(), Limits()))
    except OSError as error:
        yield str(path), _refused(path, error)
        return
    for block in blocks:
        label = f"{path}[{block.name}]" if len(blocks) > 1 else str(path)
        if block.atoms is None or block.outcome != "stored":
            yield label, Unreadable(label, f"{block.outcome}: {block.reason}")
        else:
            yield label, block.atoms


def _by_ase(path: Path) -> Iterator[Found]:
    from ase.io import read

    try:
        images = read(path, index=":")
    except OSError as error:
        yield str(path), _refused(path, error)
    except Exception as error:  # ASE's readers raise whatever a malformed file makes them raise
        why = " ".join(str(error).split()) or type(error).__name__
        yield str(path), Unreadable(str(path), f"ASE cannot read it: {why}")
    else:
        many = len(images) > 1
        yield from ((f"{path}[{i}]" if many else str(path), atoms) for i, atoms in enumerate(images))


def _refused(path: Path, error: OSError) -> Unreadable:
    return Unreadable(str(path), error.strerror or str(error), type(error).__name__)
