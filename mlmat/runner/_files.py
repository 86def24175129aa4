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
    """Every structure of one file: CIFs by mlmat's reader, others by ASE's or, where that cannot, by mlmat's.

    A runner's own list may hold what the store does not take, molecules for instance: ASE decides.
    """
    from mlmat.reader import cif, reader_for

    if reader_for(path) is cif:
        yield from _by_mlmat(path)
        return
    found = list(_by_ase(path))
    failed = len(found) == 1 and isinstance(found[0][1], Unreadable)
    yield from _by_mlmat(path) if failed and reader_for(path) else found


def _by_mlmat(path: Path) -> Iterator[Found]:
    from mlmat.reader import read

    try:
        blocks = list(read(path.name, path.read_bytes()))
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
