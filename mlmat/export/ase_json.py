"""ASE databases in JSON, written row by row: ASE's own writer copies the whole file for each row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmat.export._ase_row import DESCRIPTIONS, key_values

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.export._rows import Row, Rows

SUFFIXES = (".json",)


def write(rows: Rows, path: Path) -> int:
    """Write an object for each row; how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("{")
        for count, row in enumerate(rows, 1):
            file.write(f'"{count}": {_encoded(row)},\n')
        file.write(f'"metadata": {json.dumps({"title": "mlmat export", "key_descriptions": DESCRIPTIONS})},\n')
        file.write(f'"ids": {json.dumps(list(range(1, count + 1)))},\n"nextid": {count + 1}}}\n')
    return count


def _encoded(row: Row) -> str:
    from ase.db.core import now
    from ase.db.row import AtomsRow
    from ase.io.jsonio import encode

    pairs, data = key_values(row)
    kept: dict[str, Any] = dict(AtomsRow(row.calculated()).__dict__)
    kept = {name: value for name, value in kept.items() if not name.startswith("_")}
    kept |= {"ctime": now(), "mtime": now(), "user": "", "key_value_pairs": pairs, "data": data}
    return str(encode(kept))
