"""The SQL files in `schemas/`: migrations applied in order, one view per reduction, macros."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.errors import StoreError, StoreTooNew
from mlmat.materials import expected_errors
from mlmat.store.access.connection import rows
from mlmat.store.mend import copies
from mlmat.store.quality.expected_errors import note
from mlmat.store.quality.schemes import recognise
from mlmat.store.schema.earlier import complete
from mlmat.store.tables.columns import VIEW_RECIPE, inherit_comments, make_view, runner_tables

if TYPE_CHECKING:
    import duckdb

#: Version of the schema from which on what `complete` adds is written with the rows.
_COMPLETE = 4


@cache
def folder() -> Path:
    """Where the SQL files are: inside the wheel, or beside the package in a checkout."""
    inside = Path(str(resources.files("mlmat"))) / "schemas"
    return inside if inside.is_dir() else inside.parent.parent / "schemas"


@cache
def migrations() -> list[tuple[int, Path]]:
    """Number and file of every migration, in order."""
    return [(int(file.name[:4]), file) for file in sorted((folder() / "migrations").glob("[0-9]*.sql"))]


@cache
def views() -> dict[str, str]:
    """Name and SQL of every view, in the order in which they build on one another (file names)."""
    return {file.stem.lstrip("0123456789_"): file.read_text() for file in sorted((folder() / "views").glob("*.sql"))}


@cache
def macros() -> list[str]:
    """SQL of every file of macros, in the order of their names."""
    return [file.read_text() for file in sorted((folder() / "macros").glob("*.sql"))]


@cache
def fingerprint() -> str:
    """Hash of views, macros and what was measured of models: tells whether a store has those of this version."""
    texts = [*views().values(), *macros(), VIEW_RECIPE, *map(expected_errors.text, expected_errors.FILES)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def newest() -> int:
    """Version of the schema that this mlmat writes."""
    return migrations()[-1][0]


def is_current(con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether the store is at this version, tables and views. Raises StoreTooNew, StoreError."""
    return is_readable(con, path) and _view_fingerprint(con) == fingerprint()


def is_readable(con: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether the tables are those of this version: readers take the views as they are. Raises as is_current."""
    version = _version(con)
    if version is None:
        if rows(con, "SELECT 1 FROM duckdb_tables() WHERE NOT internal LIMIT 1"):
            raise StoreError(f"{path}: a DuckDB database, but not an mlmat store; give another file with --db")
        return False
    if version > newest():
        raise StoreTooNew(
            f"{path}: written by a newer mlmat (schema {version}, this one knows {newest()}); upgrade mlmat"
        )
    return version == newest()


def _is_begun(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(rows(con, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'mlmat_schema'"))


def _version(con: duckdb.DuckDBPyConnection) -> int | None:
    if not _is_begun(con):
        return None
    return int(rows(con, "SELECT max(version) FROM mlmat_schema")[0][0])


def identity(con: duckdb.DuckDBPyConnection, *, known: bool = False) -> str | None:
    """What tells a store from another one at the same place; a copy of a store is the same store.

    The moment it was made, in hexadecimal microseconds since 1970. None where there are no tables yet. known: there
    were some at this place: asked for at once, because a look at DuckDB's list of tables takes 10 ms.
    """
    import duckdb

    if not known and not _is_begun(con):
        return None
    try:
        made = rows(con, "SELECT epoch_us(min(applied_at)) FROM mlmat_schema WHERE version > 0")[0][0]
    except duckdb.CatalogException:
        return None
    return f"{made:x}"


def newest_run(con: duckdb.DuckDBPyConnection) -> str | None:
    """The highest id of a run, which may lie in the future where the clock was set back."""
    found: str | None = rows(con, "SELECT max(run_id)::VARCHAR FROM run")[0][0]
    return found


def _view_fingerprint(con: duckdb.DuckDBPyConnection) -> str | None:
    found = rows(con, "SELECT comment FROM duckdb_tables() WHERE table_name = 'mlmat_schema'")
    return str(found[0][0]).rpartition(" ")[2] if found and found[0][0] else None


def upgrade(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Bring a store (or an empty file) to this version inside the open transaction; a copy of an older one is kept."""
    if is_current(con, path):
        return
    version = _version(con) or 0
    if 0 < version < newest():
        _keep(path, version)
    for number, file in migrations():
        if number > version:
            con.execute(file.read_text())
            con.execute("INSERT INTO mlmat_schema (version, name) VALUES (?, ?)", [number, file.stem])
    note(con)
    if 0 < version < _COMPLETE:
        complete(con)
    for sql in macros():
        con.execute(sql)
    recognise(con)
    for name, sql in views().items():
        con.execute(sql)
        inherit_comments(con, name)
    for runner in runner_tables(con):
        make_view(con, runner)
    con.execute(f"COMMENT ON TABLE mlmat_schema IS 'Migrations that this store has seen; views {fingerprint()}'")


def _keep(path: Path, version: int) -> None:
    """Copy a store that is about to be migrated: `x.duckdb` to `x.duckdb.schema-1`. Raises StoreError."""
    if (copy := _free(path, version)) is not None:
        copies.keep(path, copy, "has to be migrated")


def _free(path: Path, version: int) -> Path | None:
    """A name for the copy that no other copy has; None where the store as it is has one already."""
    now = path.stat()
    for number in count(1):
        copy = path.with_name(f"{path.name}.schema-{version}" + (f"-{number}" if number > 1 else ""))
        if not copy.exists():
            return copy
        kept = copy.stat()
        if (kept.st_size, kept.st_mtime_ns) == (now.st_size, now.st_mtime_ns):
            return None
    raise AssertionError
