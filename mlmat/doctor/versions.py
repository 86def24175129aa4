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
            f"{name} {has or 'is not installed'}; mlmat needs {needs or 'it'}",
            f"pip install '{name}{needs}'",
        )
    here = ", ".join(f"{name} {version}" for name in NAMED if (version := provenance.version_of(name)))
    yield Line("ok", "versions", f"Python {platform.python_version()}, {here}")


def unmet(requirements: list[str]) -> Iterator[tuple[str, str, str | None]]:
    """Of requirements such as `ase>=3.29,<4` those that do not hold: package, what is asked for, what is there."""
    for text in requirements:
        wanted, _, marker = text.partition(";")
        found = re.match(r"([\w.-]+)\s*(.*)", wanted)
        if found is None or "extra ==" in marker:
            continue
        bounds = sorted((bound.strip() for bound in found[2].split(",") if bound.strip()), reverse=True)
        has = provenance.version_of(found[1])
        if has is None or not all(_holds(has, bound) for bound in bounds):
            yield found[1], ",".join(bounds), has


def _holds(version: str, bound: str) -> bool:
    """Whether a version keeps `>=` or `<` something; other bounds are pip's to judge."""
    found = re.match(r"(>=|<)\s*([\d.]+)", bound)
    if found is None:
        return True
    least = _numbers(version) >= _numbers(found[2])
    return least if found[1] == ">=" else not least


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (release[0] if release else "").split(".") if part)
