"""Where a report goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def check(target: Path) -> None:
    """Refuse a place where no file can be. Raises UsageError."""
    if not target.absolute().parent.is_dir():
        raise UsageError(f"-o {target}: there is no folder {target.absolute().parent}; make it first")
    if target.is_dir():
        raise UsageError(f"-o {target}: this is a folder; give a file")
