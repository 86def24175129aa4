"""One CIF file with a data block for each structure: P 1 with every site and all digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.export._cif_text import block, block_name, unfit
from mlmat.export._keys import Unique
from mlmat.export._target import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.export._rows import Rows

__all__ = ["SUFFIXES", "unfit", "write"]

SUFFIXES = (".cif",)


def write(rows: Rows, path: Path) -> int:
    """Write a block for each row; how many."""
    named, count = Unique(), 0
    with path.open("w", encoding="ascii") as file:
        file.write(f"{MARK}\n")
        for row in rows:
            file.write(block(row, named(block_name(row))) + "\n")
            count += 1
    return count
