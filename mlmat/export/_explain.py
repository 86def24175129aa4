"""What a user is told when --where or --order cannot be understood."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlmat.errors import QueryError

if TYPE_CHECKING:
    from mlmat.export._select import ExportSelection
    from mlmat.store import Store

_UNKNOWN = re.compile(r'Referenced (?:column|table) "([^"]+)" not found')
_BINDINGS = re.compile(r"(Candidate (?:bindings|tables): )(.*)")
_OURS = re.compile(r"mlmat_\w+")


def explained(error: QueryError, store: Store, wish: ExportSelection) -> QueryError:
    """The error in the words of the user's text: without names that only this program knows."""
    unknown = _UNKNOWN.search(str(error))
    if unknown and unknown[1] in _keys(store):
        name = unknown[1]
        literal = name.replace("'", "''")
        return QueryError(
            f"{name} is a key-value pair, no column: write TRY_CAST(key_values['{literal}'] AS DOUBLE) for a number, "
            f"key_values['{literal}'] for text"
        )
    said = [f"--{name} {text!r}" for name, text in (("where", wish.where), ("order", wish.order)) if text]
    text = _BINDINGS.sub(_public, str(error)).strip()
    return QueryError(f"{' '.join(said)}: {text}" if said else text)


def _keys(store: Store) -> set[str]:
    query = "SELECT DISTINCT unnest(map_keys(key_values)) AS key FROM source WHERE current"
    return set(store.arrow(query)["key"].to_pylist())


def _public(found: re.Match[str]) -> str:
    names = [name for name in re.findall(r'"([^"]+)"', found[2]) if not _OURS.search(name)]
    return found[1] + ", ".join(names) if names else ""
