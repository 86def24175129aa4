"""ASE databases (SQLite), as `ase.db.connect` and `ase gui` read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.export._ase_row import DESCRIPTIONS, key_values

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.export._rows import Rows

SUFFIXES = (".db",)


def write(rows: Rows, path: Path) -> int:
    """Write a row of the database for each row, in one transaction; how many."""
    from ase.db import connect

    count = 0
    database = connect(str(path), type="db", use_lock_file=False)
    with database:
        for row in rows:
            pairs, data = key_values(row)
            database.write(row.calculated(), key_value_pairs=pairs, data=data)
            count += 1
    database.metadata = {"title": "mlmat export", "key_descriptions": DESCRIPTIONS}
    return count
