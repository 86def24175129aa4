"""Copies of a store that are kept beside it, made while its transaction has written nothing yet."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from itertools import count
from typing import TYPE_CHECKING

from mlmat.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def log_of(path: Path) -> Path:
    """DuckDB's log of what is on its way into a file."""
    return path.with_name(f"{path.name}.wal")


def free_name(path: Path, label: str) -> Path:
    """A name beside the store that nothing has: `x.duckdb.LABEL-1`, then -2, …"""
    names = (path.with_name(f"{path.name}.{label}-{number}") for number in count(1))
    return next(name for name in names if not name.exists() and not log_of(name).exists())


def keep(path: Path, copy: Path, why: str) -> None:
    """Copy a store inside its write transaction, in whole or not at all. Raises StoreError; why: what is to be done.

    The transaction has written nothing yet, and its lock keeps others away: the file is at rest. That lock would go if
    this process itself opened and closed the file, so another one makes the copy.
    """
    part = copy.with_name(f"{copy.name}.part")
    try:
        _check_room(path)
        if log_of(path).exists():
            _copy(log_of(path), log_of(copy))
        _copy(path, part)
        part.replace(copy)
    except (OSError, subprocess.CalledProcessError) as error:
        part.unlink(missing_ok=True)
        log_of(copy).unlink(missing_ok=True)
        reason = getattr(error, "stderr", "").strip() or error
        raise StoreError(f"{path}: {why}, and no copy of it could be made first ({reason})") from error


def _check_room(path: Path) -> None:
    needed = sum(file.stat().st_size for file in (path, log_of(path)) if file.exists())
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(f"it takes {needed / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free in {path.parent}")


def _copy(path: Path, target: Path) -> None:
    subprocess.run(["cp", "-p", path, target], check=True, capture_output=True, text=True)


def back(copy: Path, path: Path) -> str:
    """The command that puts a copy in the place of the store."""
    pairs = [(copy, path), *([(log_of(copy), log_of(path))] if log_of(copy).exists() else [])]
    return " && ".join(f"mv {shlex.quote(str(one))} {shlex.quote(str(other))}" for one, other in pairs)
