"""What a file of results says in one of its rows, not yet believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: Names of columns that are understood; all others are named as not used.
COLUMNS = ("formula", "energy", "id", "correction", "structure_id", "cif", "scheme", "run_type")


class Wrong(ValueError):  # noqa: N818 - reads better where it is caught
    """Why a row, or what is left of a file, cannot be taken, in one line."""


@dataclass(frozen=True, slots=True)
class Given:
    """One row as its file gives it: every value may be anything.

    place: where it is (`line 7`); composition: a formula, or amounts by element, of the cell; energy and correction in
    eV for that cell, the energy without its correction; structure: JSON of pymatgen (a dict) or the text of a CIF;
    charge: total charge in e; said: of its energy scheme, by the names of `_scheme.Said`.
    """

    place: str
    external_id: Any = None
    composition: Any = None
    energy: Any = None
    correction: Any = None
    structure: Any = None
    structure_id: Any = None
    charge: Any = None
    said: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A part of a file that is no row at all, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unused:
    """Columns of a table that are not used."""

    names: list[str]


def from_cells(place: str, cells: dict[str, Any]) -> Given:
    """The row of a table, its cells by the names of `COLUMNS`."""
    return Given(place, cells.get("id"), cells.get("formula"), cells.get("energy"), cells.get("correction"),
                 cells.get("cif"), cells.get("structure_id"),
                 said={name: cells[name] for name in ("scheme", "run_type") if cells.get(name)})  # fmt: skip


def known_columns(names: list[str]) -> dict[str, str]:
    """The columns that are understood, by the name that the table has for each. Raises Wrong where some are missing."""
    taken = [name.strip().lower() for name in names]
    found = {name: known for name, known in zip(names, taken, strict=True) if known in COLUMNS}
    if twice := next((name for name in COLUMNS if taken.count(name) > 1), None):
        raise Wrong(f"two columns are called {twice}")
    if "energy" not in taken:
        raise Wrong(f"no column energy, in eV per cell; the table has: {', '.join(names) or 'none':.200}")
    if not {"formula", "structure_id", "cif"} & set(taken):
        raise Wrong(f"no column formula, structure_id or cif; the table has: {', '.join(names):.200}")
    return found
