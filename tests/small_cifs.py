"""A folder of small CIFs, and what an ingest made of it."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from test_isolation import waited

from mlmat.errors import MlmatError
from mlmat.ingest import Report, ingest
from mlmat.store import Store

LEDGER = """
    SELECT path, block, block_index, outcome, reason, structure_id, file_sha256, warnings, parser FROM source
    WHERE current ORDER BY path, block_index
"""


def cif(a: float = 4.0, element: str = "Cu", name: str = "one", occupancy: float = 1) -> str:
    return f"""data_{name}
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{element}1 {element} 0.125 0.25 0.3 {occupancy}
"""


def make_folder(tmp_path: Path) -> Path:
    """A folder of files of every kind."""
    folder = tmp_path / "files"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.cif").write_text(cif())
    (folder / "b.cif").write_text(cif(4.1) + cif(4.0, name="two"))
    (folder / "c.cif").write_text("data_x\n_cell_length_a\n")
    (folder / "deep" / "d.CIF").write_text(cif(element="Xx"))
    (folder / "deep" / "er" / "e.cif.gz").write_bytes(gzip.compress(cif(4.2).encode()))
    (folder / "deep" / "half.cif").write_text(cif(4.3, occupancy=0.5))
    (folder / "notes.txt").write_text("not a crystal")
    return folder


def run(store: Store, *paths: object, **options: Any) -> Report:
    return ingest(store, [os.fspath(p) for p in paths], **{"processes": 1, **options})  # type: ignore[arg-type]


def ledger(store: Store) -> list[dict[str, Any]]:
    return store.arrow(LEDGER).to_pylist()  # type: ignore[no-any-return]


def outcomes(store: Store) -> dict[str, str]:
    """Outcome by file name and block."""
    return {f"{Path(row['path']).name} {row['block']}".strip(): row["outcome"] for row in ledger(store)}


def everything(store: Store) -> list[Any]:
    return [store.arrow(f"FROM {table} ORDER BY ALL").to_pylist() for table in ("source", "structure")]


def written(store: Store) -> int:
    """Rows in the ledger so far, also before there are tables."""
    try:
        return int(store.sql("SELECT count(*) AS n FROM source")["n"][0])
    except MlmatError:
        time.sleep(0.05)
        return 0


def kill_an_ingest(source: Path, store: Store, flush: int, seconds: float) -> None:
    """Start an ingest that writes after every `flush` files or members; kill it once something is written."""
    code = (
        f"import sys, mlmat.ingest as i; i.FLUSH_FILES = {flush}\n"
        "from mlmat.cli import main; main(['ingest', sys.argv[1], '--db', sys.argv[2], '--processes', '2'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, source, store.path], stderr=subprocess.DEVNULL)
    waited(lambda: store.path.exists() and written(store) > 0, seconds=seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
