"""What `mlmat export` adds to a CIF: facts by name, initial moments and charges of the sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmat.reader._cif.items import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmat.reader._cif.expand import Expansion
    from mlmat.reader._cif.items import Items
    from mlmat.reader._cif.sites import Sites

#: How tags of mlmat begin.
PREFIX = "_mlmat_"
MOMENT = f"{PREFIX}atom_site_initial_magnetic_moment"
CHARGE = f"{PREFIX}atom_site_initial_charge"


def of_all_atoms(items: Items, tag: str, sites: Sites, expansion: Expansion) -> NDArray[np.float64] | None:
    """A column of the sites (moments in µB, charges in e) for all atoms, shape (n,); None where it is not there."""
    column = items.column(tag)
    if column is None or len(column) != len(sites.labels):
        return None
    values = np.array([number(text) for text in column])
    return values[expansion.site] if np.isfinite(values).all() else None
