"""Crystals that others are compared with: the elements, which ship with mlmat, and systems of the Materials Project.

`elements.cif` is of the Materials Project (CC BY 4.0; its attribution stands at its head).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.errors import UsageError
from mlmat.references import _materials_project

if TYPE_CHECKING:
    from collections.abc import Iterable

ELEMENTS = "elements"
_SYSTEM = re.compile(r"mp:([A-Z][a-z]?(?:-[A-Z][a-z]?)*)")


def check(names: Iterable[str]) -> None:
    """See that references of these names can be had. Raises UsageError, ReadError."""
    systems = [system for name in names if (system := _system(name))]
    if systems:
        _materials_project.check()


def files(names: Iterable[str], folder: Path) -> list[Path]:
    """The files of references of these names; what has to be fetched is kept in a folder. Raises UsageError, ReadError.

    `elements` needs nothing; `mp:Li-Fe-P-O` needs mp-api, a key in $MP_API_KEY and the network.
    """
    chosen = list(dict.fromkeys(names))
    check(chosen)
    return [_file(name, folder) for name in chosen]


def _file(name: str, folder: Path) -> Path:
    system = _system(name)
    return _materials_project.fetch(system, folder) if system else Path(__file__).parent / "elements.cif"


def _system(name: str) -> list[str]:
    """The elements of `mp:Li-Fe-P-O`; none for `elements`. Raises UsageError."""
    if name == ELEMENTS:
        return []
    found = _SYSTEM.fullmatch(name)
    if found is None:
        raise UsageError(f"no references {name!r}; give elements, or mp: and elements joined by -, as in mp:Li-Fe-P-O")
    from ase.data import atomic_numbers

    elements = found[1].split("-")
    unknown = [element for element in elements if not atomic_numbers.get(element)]
    if unknown:
        raise UsageError(f"references {name}: {unknown[0]} is not an element")
    return sorted(set(elements))
