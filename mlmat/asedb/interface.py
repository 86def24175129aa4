"""The store as a database of ASE: `select`, `get`, `count`, `write`, `update`, … over the same DuckDB file.

    import mlmat
    db = mlmat.open("x.duckdb").asedb()
    for row in db.select("Li,O,natoms<20", sort="energy", limit=10):
        print(row.formula, row.energy, row.method)

Code that calls `ase.db.connect("x.duckdb")` needs one line before it, once in a process:

    from mlmat.asedb import register; register()

`ase.db.connect`, `ase.io.read` and `ase.io.write` then know the suffix `.duckdb`. ASE's commands know it as
`python -m mlmat.asedb db x.duckdb "Li,natoms<20"`, with whatever follows `ase` in place of `db …`.

Rows are the structures that files and runners gave, and what was written through the face; `structure.id` and
`ase_row.id` are their numbers. A structure has the energy (eV), forces (eV/Å), stress (eV/Å³) and scalars of one
result about it, with the method's name under the key `method` and the runner as `calculator`: of the method asked for
(`asedb(method=…)`), else of the only method that was computed in this store. Where several were, or none, it is the
latest result, and one that came with a file only where nothing was computed for the structure. What a runner found for
a relaxed structure stands at the relaxed one, which has the key-value pairs of the one handed in. Pairs whose name ASE
keeps to itself, such as id, are in `row.data`. What is written here is a source for screens like a file. A file or
result cannot be changed through the face, but every row takes key-value
pairs and data.

No call keeps the file open. In `with db:` writes and updates wait in memory for one transaction at the end (or at
5,000 of them); reads, `reserve` and `delete` write what waits first. An exception drops what waits. Numbers taken for
rows that were never written stay gaps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.io.db import read_db as read_duckdb
from ase.io.db import write_db as write_duckdb

from mlmat.asedb.database import AseDatabase
from mlmat.errors import UsageError
from mlmat.store import Store
from mlmat.store.tables.structures import ASEDB_PATH

if TYPE_CHECKING:
    import os

__all__ = ["AseDatabase", "connect", "read_duckdb", "register", "write_duckdb"]

SUFFIX = ".duckdb"


def connect(name: str | os.PathLike[str], *, append: bool = True, serial: bool = False) -> AseDatabase:
    """The face of the store in a file, which is made with the first use; append=False: start a new one.

    Raises UsageError rather than throw away a store that holds more than what was written through this face.
    """
    store = Store(name)
    if not append and store.path.exists():
        _discard(Store(name))  # what is made afterwards is another store
    return AseDatabase(store, create=True, serial=serial)


def _discard(store: Store) -> None:
    files = f"SELECT count(*) FROM source WHERE NOT starts_with(path, '{ASEDB_PATH}')"
    query = f"SELECT ({files}) + (SELECT count(*) FROM result)"
    if store.arrow(query).column(0)[0].as_py():
        raise UsageError(
            f"{store.path}: this store holds files or results; remove it yourself, or write with append=True"
        )
    store.path.unlink()


def register() -> None:
    """Teach `ase.db.connect`, `ase.io.read` and `ase.io.write` the suffix `.duckdb`, in this process.

    Modules that took `connect` out of `ase.db` before keep the old one, those of ASE apart: register first.
    """
    from ase.db import core
    from ase.io.formats import define_io_format, ioformats

    if "duckdb" in ioformats:
        return
    plain = core.connect

    def with_stores(name: Any, type: str = "extract_from_name", *args: Any, **kwargs: Any) -> Any:
        named = isinstance(name, (str, Path)) and Path(name).suffix == SUFFIX
        if type == "duckdb" or (type == "extract_from_name" and named):
            return connect(name, append=kwargs.get("append", True), serial=kwargs.get("serial", False))
        return plain(name, type, *args, **kwargs)

    with_stores.__doc__ = plain.__doc__
    for module in [m for key, m in sys.modules.items() if key.split(".")[0] == "ase"]:
        if getattr(module, "connect", None) is plain:
            module.connect = with_stores  # type: ignore[attr-defined]
    define_io_format("duckdb", "mlmat store", "+S", ext="duckdb", module="mlmat.asedb.interface", external=True)


def main() -> None:
    """ASE's command line, with stores."""
    from ase.cli.main import main as ase

    register()
    ase()
