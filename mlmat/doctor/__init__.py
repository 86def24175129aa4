"""Will it work here? One module is one check; this folder is the list of them, in alphabetical order.

A check is a function `check(place)` that yields lines: ok, warn or fail, with the remedy. It changes nothing and leaves
nothing behind; heavy packages are asked for their versions, not imported.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "Place", "examine", "names"]


def names() -> list[str]:
    """Names of the checks."""
    return sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py"))


def examine(place: Place) -> Iterator[Line]:
    """Every line of every check. A check that cannot be made is a failure of its own and stops no other."""
    for name in names():
        try:
            yield from import_module(f"{__name__}.{name}").check(place)
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            yield Line("fail", name, f"this could not be found out ({why})", "mend that, and ask again")
