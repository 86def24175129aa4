"""Versions of what makes the numbers, and whether they are those that mlmat needs."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is named, in this order.
NAMED = ("mlmat", "parsl", "ase", "pymatgen", "duckdb", "pyarrow", "numpy", "torch", "mace-torch")


def check(place: Place) -> Iterator[Line]:
    """One line for all that is as it should be, one for each package that is not."""
    bad = list(unmet(metadata.requires("mlmat") or []))
    for name, needs, has in bad:
        yield Line(
            "fail",
            "versions",
            f"{name} {has or 'is not installed'}; mlmat needs {needs}",
            f"pip install '{name}{needs}'",
        )
    here = ", ".join(f"{name} {version}" for name in NAMED if (version := provenance.version_of(name)))
    yield Line("ok", "versions", f"Python {platform.python_version()}, {here}")


def unmet(requirements: list[str]) -> Iterator[tuple[str, str, str | None]]:
    """Of requirements such as `ase>=3.29` those that do not hold: package, what is asked for, what is there."""
    for text in requirements:
        found = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", text)
        if found is None or "extra ==" in text:
            continue
        has = provenance.version_of(found[1])
        if has is None or (found[2] and _numbers(has) < _numbers(found[2])):
            yield found[1], f">={found[2]}" if found[2] else "", has


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (release[0] if release else "").split(".") if part)
