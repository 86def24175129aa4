"""What DuckDB and the system say of a broken file, a full disk or a missing permission, in one line for people."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from mlmat.errors import MlmatError, QueryError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

_DAMAGED = re.compile(r"[Cc]orrupt|Could not read enough bytes|replaying WAL|does not match database file")
_FULL = re.compile(r"No space left|quota exceeded|File too large")
_FULL_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ROOM = "nothing of this step was written, what was there is safe; make room and run the same command again"


def plain(path: Path | None, error: Exception) -> MlmatError:
    """An error of DuckDB as one line: of the store in path where it is about the file, else of the query."""
    import duckdb

    lines = (line.strip() for line in str(error).splitlines())
    text = " ".join(line for line in lines if line and not line.startswith(("LINE", "^")))
    about_file = isinstance(error, (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException))
    if path is not None and (about_file or type(error) is duckdb.Error):
        if _FULL.search(text):
            return StoreError(f"{path}: cannot be written ({text}); {_NO_ROOM}")
        if _DAMAGED.search(text):
            return damaged(path, text)
    return QueryError(text)


def refused(path: Path, error: Exception) -> StoreError:
    """Why DuckDB cannot open a file."""
    text = str(error).splitlines()[0]
    if path.is_dir():
        return StoreError(f"{path}: this is a folder; --db takes the store file")
    if path.stat().st_size == 0:
        return StoreError(f"{path}: an empty file, not a store; remove it and ingest again")
    if "not a valid DuckDB" in text:
        return StoreError(f"{path}: this file is not a DuckDB database; give the store with --db")
    if _DAMAGED.search(text):
        return damaged(path, text)
    if isinstance(error, PermissionError) or "ermission denied" in text or "Read-only file system" in text:
        return StoreError(f"{path}: permission denied; check who owns the file and its folder, or work on a copy")
    return StoreError(f"{path}: DuckDB cannot open it: {text}")


def missing(path: Path, *, was_there: bool) -> StoreError:
    """There is no store; was_there: this process has had it open before."""
    if was_there:
        return StoreError(
            f"{path}: the store is gone (deleted? moved?); put it back, or a copy of it: results that wait are kept in "
            f"{path}.d/journal, and the next command that writes takes them in"
        )
    return StoreError(
        f"{path}: there is no such store; `mlmat ingest PATH --db {path}`, or create=True in Python, makes one"
    )


def damaged(path: Path, text: str) -> StoreError:
    """A store file that cannot be read as a whole: what is safe, and what there is to go back to."""
    kept = (path.parent.glob(f"{path.name}.{label}-*") for label in ("schema", "forget"))
    copies = ", ".join(str(copy) for some in kept for copy in sorted(some))
    back = f"put a backup in its place (there is {copies})" if copies else "put a backup in its place"
    log = ", without the old .wal beside it" if path.with_name(f"{path.name}.wal").exists() else ""
    return StoreError(
        f"{path}: the store is damaged ({text}); {back}{log}, or ingest again into another file; results that wait in "
        f"{path}.d/journal are safe"
    )


def unwritable(path: Path, error: OSError) -> StoreError:
    """Something beside the store cannot be written."""
    what = f"{path}: cannot be written ({error.strerror or error}: {error.filename or path})"
    if error.errno in _FULL_NUMBERS:
        return StoreError(f"{what}; {_NO_ROOM}")
    return StoreError(f"{what}; check who owns the file and its folder, or work on a copy")
