"""Sites that give their species with amounts, as in OPTIMADE and pymatgen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.reader.common.crystal import ISOTOPES
from mlmat.reader.common.verdict import Refused, some

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def shares(sites: Sequence[Mapping[str, float]], names: Sequence[object]) -> str | None:
    """What is disordered about these sites, or None; refuses amounts and elements that make no sense."""
    from ase.data import atomic_numbers

    from mlmat.reader._cif.sites import FULL, MAX_OCCUPANCY

    partial: list[str] = []
    first = 0.0
    for i, (site, name) in enumerate(zip(sites, names, strict=True), 1):
        unknown = [s for s in site if s not in ISOTOPES and not atomic_numbers.get(s)]
        if unknown:
            raise Refused(f"unknown element {unknown[0]} at site {i}")
        total = sum(site.values())
        if not all(0 < x <= MAX_OCCUPANCY for x in site.values()) or not 0 < total <= MAX_OCCUPANCY:
            raise Refused(f"occupancy of site {i} ({name}) makes no sense: {total:.4g}")
        if len(site) > 1 or total < FULL:
            first = first or max(site.values())
            partial.append(f"{name} (site {i})")
    return f"partial occupancy at {some(partial)}, {first:.4g} on the first" if partial else None
