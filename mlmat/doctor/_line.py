"""What a check says, and what it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Line:
    """One finding. level: ok; warn, it works and will cost something; fail, it will not work. remedy: what to do."""

    level: Literal["ok", "warn", "fail"]
    what: str
    says: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """What is looked at: a store that need not exist, and the configuration that tasks shall run on.

    patience: seconds that the first worker may take to answer.
    """

    db: Path
    config: str | None = None
    patience: float = 120.0

    @property
    def folder(self) -> Path:
        """The folder that the store lies in, or will."""
        return self.db.expanduser().absolute().parent

    @property
    def wants_slurm(self) -> bool:
        """Whether blocks are to be had from Slurm."""
        return self.config is not None and (self.config == "slurm" or Path(self.config).suffix == ".toml")


def existing(path: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    return next((one for one in (path, *path.parents) if one.is_dir()), Path(os.sep))


def size(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
