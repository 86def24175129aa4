"""A folder of CIFs, one structure each: FORMULA_SPACEGROUP-NUMBER_ID8.cif, P 1 with every site and all digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.export._cif_text import block, block_name, unfit
from mlmat.export._keys import Unique
from mlmat.export._target import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.export._rows import Rows

__all__ = ["SUFFIXES", "unfit", "write"]

SUFFIXES = ("",)


def write(rows: Rows, path: Path) -> int:
    """Write a CIF for each row into a new folder; how many."""
    path.mkdir()
    named, count = Unique(), 0
    for row in rows:
        name = named(block_name(row))
        (path / f"{name}.cif").write_text(f"{MARK}\n{block(row, name)}", encoding="ascii")
        count += 1
    return count
