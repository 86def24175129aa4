"""ASE's SQLite databases (ase.db): every row is a member, handed on as an ASE JSON database with that one row.

Read with SQLite itself, read-only: ASE would write a lock file and its own tables beside it.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.container._member import Member, Options, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "ase.db"
PATTERNS = ("*.db",)
#: Columns with numbers as bytes: their type, and the shape of one row (-1: one per atom).
_BLOBS: dict[str, tuple[str, tuple[int, ...]]] = {
    "numbers": ("<i4", (-1,)),
    "positions": ("<f8", (-1, 3)),
    "cell": ("<f8", (3, 3)),
    "initial_magmoms": ("<f8", (-1,)),
    "initial_charges": ("<f8", (-1,)),
    "masses": ("<f8", (-1,)),
    "tags": ("<i4", (-1,)),
    "momenta": ("<f8", (-1, 3)),
    "forces": ("<f8", (-1, 3)),
    "stress": ("<f8", (6,)),
    "dipole": ("<f8", (3,)),
    "magmoms": ("<f8", (-1,)),
    "charges": ("<f8", (-1,)),
}
_NUMBERS = ("ctime", "mtime", "energy", "free_energy", "magmom")
_TEXTS = ("unique_id", "calculator")
_JSON = ("constraints", "calculator_parameters", "key_value_pairs")
#: Largest value in bytes: what SQLite makes (a column may be computed) and what is handed on as JSON, which takes many
#: times as much memory.
_VALUE, _ROW = 256 * 1024**2, 32 * 1024**2
#: All that is read; what else a table has may be large, or computed.
_COLUMNS = ("id", "natoms", "pbc", *_BLOBS, *_NUMBERS, *_TEXTS, *_JSON)
#: The oldest layout that ASE still reads.
_OLDEST = 5


def count(path: str, _options: Options) -> int:
    """How many rows there are."""
    with closing(_connected(path)) as con, _refusing("broken SQLite database"):
        return int(con.execute("SELECT count(*) FROM systems").fetchone()[0])


def members(path: str, options: Options) -> Iterator[Member]:
    """The rows, called by their id. Raises Refused when it is no such database."""
    with closing(_connected(path)) as con:
        with _refusing("broken SQLite database"):
            there = {column[0] for column in con.execute("SELECT * FROM systems LIMIT 0").description}
            names = [name for name in _COLUMNS if name in there]
            rows = con.execute(f"SELECT {', '.join(names)} FROM systems ORDER BY id")
        while row := _next(rows):
            yield _member(dict(zip(names, row, strict=True)), options)


def _next(rows: sqlite3.Cursor) -> Any:
    with _refusing("broken SQLite database, the rest of its rows is not read"):
        return rows.fetchone()


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as error:
        # Whoever writes to it now will have finished when the next ingest comes.
        raise Refused(f"{what}: {error}", final="locked" not in str(error)) from None


def _connected(path: str) -> sqlite3.Connection:
    Path(path).open("rb").close()  # a missing file or permission is said as such
    con = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=20)
    try:
        with _refusing("not an ase.db"):
            con.execute("PRAGMA trusted_schema = OFF")
            con.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE)
            _check(con)
    except Refused:
        con.close()
        raise
    return con


def _check(con: sqlite3.Connection) -> None:
    # A view of such a name could compute for ever; virtual tables have no page.
    tables = con.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").fetchall()
    if ("systems",) not in tables or ("information",) not in tables:
        raise Refused("not an ase.db: this SQLite database has no table `systems`")
    version = con.execute("SELECT value FROM information WHERE name = 'version'").fetchone()
    if version and int(version[0]) < _OLDEST:
        raise Refused(f"an ase.db of version {version[0]}: `python -m ase.db.convert` makes a newer one of it")


def _member(row: dict[str, Any], options: Options) -> Member:
    name = str(row["id"])
    if sum(len(value) for value in row.values() if isinstance(value, bytes | str)) > min(options.max_bytes, _ROW):
        return Member(name, error="too large", outcome="rejected")
    try:
        text = _text(name, row)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Member(name, error=f"a damaged row: {error}")
    return Member(name, text.encode(), f"{name}.json")


def _text(name: str, row: dict[str, Any]) -> str:
    """The row as ASE's JSON database writes it, without `data` (whatever its owner kept there)."""
    found: dict[str, Any] = {key: _array(key, row) for key in _BLOBS if row.get(key) is not None}
    found |= {key: row[key] for key in (*_NUMBERS, *_TEXTS) if row.get(key) is not None}
    found |= {key: json.loads(row[key]) for key in _JSON if row.get(key)}
    found["pbc"] = {"__ndarray__": [[3], "bool", [bool(row["pbc"] & bit) for bit in (1, 2, 4)]]}
    return json.dumps({name: found, "ids": [int(name)], "nextid": int(name) + 1})


def _array(key: str, row: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    kind, shape = _BLOBS[key]
    values = np.frombuffer(row[key], kind)
    if key.endswith("magmoms") and len(values) == 3 * row["natoms"]:  # vectors, which ASE stores flat
        shape = (-1, 3)
    values = values.reshape(shape if len(values) else (0, *shape[1:]))
    return {"__ndarray__": [list(values.shape), "int64" if kind == "<i4" else "float64", values.ravel().tolist()]}
