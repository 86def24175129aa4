"""What goes beside the atoms into a row of an ASE database."""

from __future__ import annotations

import json
import math
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from mlmat.export._keys import plain_text

if TYPE_CHECKING:
    from mlmat.export._rows import Row

#: Short and long description and unit of the keys that every export may have.
DESCRIPTIONS = {
    "structure_id": ("Structure", "Content id of the structure", ""),
    "initial_id": ("Initial structure", "Id of the structure before its relaxation", ""),
    "method": ("Method", "Runner with settings and model", ""),
    "energy_per_atom": ("Energy per atom", "Energy per atom", "eV"),
    "energy_above_best": ("Above best", "Energy per atom above the best of the formula", "eV"),
    "rank": ("Rank", "1 for the lowest energy per atom of the formula", ""),
    "space_group": ("Space group", "Hermann-Mauguin symbol", ""),
    "space_group_it_number": ("Number", "Number of the space group", ""),
}


def key_values(row: Row) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key-value pairs that ASE takes, and as data what it does not: other names, arrays, and the exact id."""
    group = {
        "space_group": row.about["space_group_symbol"],
        "space_group_it_number": row.about["space_group_it_number"],
    }
    facts = {name: value for name, value in {**group, **row.facts()}.items() if value is not None}
    pairs = {name: _pair(value) for name, value in facts.items() if _is_allowed(name) and _is_kept(value)}
    rest = {name: value for name, value in facts.items() if name not in pairs}
    data = {"structure_id": row.structure_id, **rest, **row.arrays}
    return pairs, json.loads(json.dumps(data, default=str))


def _pair(value: Any) -> Any:
    return plain_text(value) if isinstance(value, str) else value


def _is_kept(value: Any) -> bool:
    """Whether ASE gives this value back as it is."""
    return bool(value) if isinstance(value, str) else isinstance(value, int | float) and math.isfinite(value)


@cache
def _is_allowed(name: str) -> bool:
    """Whether ASE takes a key of this name; properties of its rows would hide some."""
    from ase.db.core import check
    from ase.db.row import AtomsRow

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that are formulas, too
            check({name: 0})
    except ValueError:
        return False
    return not hasattr(AtomsRow, name)
