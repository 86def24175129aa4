"""Corrections of computed energies: what is added to a raw energy so that it may stand in a hull of another scheme.

The directory is the registry: a module without a leading underscore is a correction. It has `NAME`, the scheme that it
leads to; `TAKES`, the one scheme that it may be applied to; and `correction(crystal)`, eV per cell. Pure: no store and
no files.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from mlmat.corrections._crystal import Crystal, Uncorrectable

if TYPE_CHECKING:
    from mlmat.materials.schemes import Scheme

__all__ = ["Correction", "Crystal", "Uncorrectable", "corrections"]


class Correction(Protocol):
    """What a module of this package offers."""

    NAME: Scheme
    TAKES: Scheme

    def correction(self, crystal: Crystal) -> float:
        """What is added to the energy of a cell, in eV. Raises Uncorrectable."""
        ...


@cache
def corrections() -> dict[str, Correction]:
    """Every correction, by the name of the scheme that it leads to."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    found = [cast("Correction", import_module(f"mlmat.corrections.{name}")) for name in names]
    return {one.NAME.name: one for one in found}
