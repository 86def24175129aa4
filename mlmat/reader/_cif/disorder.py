"""Partial occupancy, mixed sites and disorder groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._cif.expand import images
from mlmat.reader._cif.sites import MAX_OCCUPANCY
from mlmat.reader.common.verdict import Refused, some

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.operations import Operations
    from mlmat.reader._cif.sites import Sites

#: Sites nearer than this, in Å, are one site that several species share.
SAME_SITE = 0.05
#: Most distances (sites times sites times operations) computed to find shared sites.
_MOST = 50_000_000


def disorder(sites: Sites, warnings: list[str]) -> str | None:
    """What is disordered about these sites, or None."""
    partial = ~sites.full
    if partial.any():
        names = [sites.labels[i] for i in np.flatnonzero(partial)]
        first = int(np.argmax(partial))
        return f"partial occupancy at {some(names)} ({names[0]}: {sites.occupancy[first]:.4g})"
    groups = sorted(set(sites.groups) - {""})
    if not groups:
        return None
    named = [label for label, group in zip(sites.labels, sites.groups, strict=True) if group]
    assemblies = {group.partition(":")[0] for group in groups}
    if len(assemblies) == len(groups) and not any(":-" in group for group in groups):
        warnings.append(f"disorder group at {some(named)}, but full occupancy and no alternative: taken as ordered")
        return None
    return f"disorder groups at {some(named)}"


def refuse_crowded_sites(sites: Sites, cell: NDArray[np.float64], operations: Operations) -> None:
    """Refuse where the occupancies of different sites at one place add up to more than 1."""
    some_partial = sites.take(~sites.full) if len(sites.labels) > 2000 else sites
    n, order = len(some_partial.labels), len(operations)
    if n < 2 or n * n * order > _MOST:
        return
    for i in range(n):
        offset = some_partial.fract - images(some_partial.fract[i : i + 1], operations)[0][:, None]
        offset -= np.rint(offset)
        here = (np.linalg.norm(offset @ cell, axis=2) < SAME_SITE).any(axis=0)
        here[i] = True
        total = float(some_partial.occupancy[here].sum())
        if total > MAX_OCCUPANCY:
            names = [some_partial.labels[j] for j in np.flatnonzero(here)]
            raise Refused(f"occupancies add up to {total:.4g} on the site of {some(names)}")
