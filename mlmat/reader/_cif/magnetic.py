"""Magnetic CIFs: the operations of the magnetic cell, and moments in µB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._cif.expand import SAME_ATOM, images
from mlmat.reader._cif.items import given, number, plain
from mlmat.reader._cif.operations import parse_operations, parse_triplet
from mlmat.reader._cif.setting import of_operations
from mlmat.reader._cif.symmetry import Symmetry
from mlmat.reader.common.verdict import Refused, some

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.expand import Expansion
    from mlmat.reader._cif.items import Items
    from mlmat.reader._cif.operations import Operations
    from mlmat.reader._cif.sites import Sites

OPERATIONS = "_space_group_symop_magn_operation_xyz"
CENTRINGS = "_space_group_symop_magn_centering_xyz"
MOMENT_LABEL = "_atom_site_moment_label"
MOMENTS = tuple(tuple(f"_atom_site_moment_crystalaxis_{prefix}{axis}" for axis in "xyz") for prefix in ("", "m"))
#: How far a moment may change under an operation that leaves its atom in place, in µB: rounding of the file.
MOMENT_TOLERANCE = 0.05


def read_magnetic(items: Items) -> tuple[Symmetry, NDArray[np.float64]] | None:
    """The symmetry of the magnetic cell and the time reversal (±1) of each operation; None where not listed."""
    listed = _listed(items, OPERATIONS)
    if not listed:
        return None
    centrings = _listed(items, CENTRINGS) or [("x,y,z", 1.0)]
    combined = [(_shifted(t, c), theta * flip) for c, flip in centrings for t, theta in listed]
    operations = parse_operations(tuple(t for t, _ in combined))
    reversal = np.array([combined[i][1] if i >= 0 else 1.0 for i in operations.listed])
    return Symmetry([of_operations("the magnetic operations listed", operations)], "operations"), reversal


def _listed(items: Items, tag: str) -> list[tuple[str, float]]:
    found = []
    for text in items.column(tag) or ():
        triplet, _, theta = plain(text).rpartition(",")
        if theta.strip() not in ("1", "+1", "-1"):
            raise Refused(f"magnetic symmetry operation not understood: {plain(text)}")
        found.append((triplet, float(theta)))
    return found


def _shifted(triplet: str, centring: str) -> str:
    parts, shifts = triplet.split(","), parse_triplet(centring)[1]
    return ",".join(f"{part}+{shift}" if shift else part for part, shift in zip(parts, shifts, strict=False))


def moments(
    items: Items,
    sites: Sites,
    cell: NDArray[np.float64],
    operations: Operations,
    reversal: NDArray[np.float64] | None,
    expansion: Expansion,
    warnings: list[str],
) -> NDArray[np.float64] | None:
    """Cartesian moments of all atoms in µB, shape (n, 3); None with a warning where they cannot be kept."""
    if MOMENT_LABEL not in items:
        return None
    listed = _crystal_axes(items, sites)
    if listed is None or (reversal is None and len(operations) > 1):
        warnings.append("magnetic moments are not kept: their form or their symmetry is not settled by the file")
        return None
    # Components along the cell edges become components in the basis of the cell vectors, which operations turn.
    listed = listed / np.linalg.norm(cell, axis=1)
    axial = np.linalg.det(operations.rotations) * (reversal if reversal is not None else 1.0)
    turned = np.einsum("k,kij,nj->nki", axial, operations.rotations, listed)
    changed = _not_invariant(turned, sites, cell, operations)
    if changed:
        warnings.append(f"magnetic moments are not kept: the operations forbid those of {some(changed)}")
        return None
    kept: NDArray[np.float64] = turned[expansion.site, expansion.operation] @ cell
    return kept if kept.any() else None


def _crystal_axes(items: Items, sites: Sites) -> NDArray[np.float64] | None:
    labels = items.column(MOMENT_LABEL)
    columns = next((c for tags in MOMENTS if all(c := [items.column(t) for t in tags])), None)
    if labels is None or columns is None or len(set(sites.labels)) < len(sites.labels):
        return None
    values = {plain(label): row for label, *row in zip(labels, *(c or [] for c in columns), strict=True)}
    if not set(values) <= set(sites.labels):
        return None
    rows = [[number(x) if given(x) else 0.0 for x in values.get(label, "...")] for label in sites.labels]
    moments = np.array(rows, float)
    return moments if np.isfinite(moments).all() else None


def _not_invariant(
    turned: NDArray[np.float64], sites: Sites, cell: NDArray[np.float64], operations: Operations
) -> list[str]:
    offset = images(sites.fract, operations) - sites.fract[:, None]
    offset -= np.rint(offset)
    stays = np.linalg.norm(offset @ cell, axis=2) < SAME_ATOM
    change = np.linalg.norm((turned - turned[:, :1]) @ cell, axis=2)
    return [sites.labels[i] for i in np.flatnonzero((stays & (change > MOMENT_TOLERANCE)).any(axis=1))]
