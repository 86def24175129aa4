"""What a report shows of a store, as plain values: one dictionary, its tables as columns.

Energies in eV/atom, forces in eV/Å, volumes in Å³/atom, positions and cells in 0.001 Å.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlmat.output import shown
from mlmat.page import _queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from mlmat.store import Store

#: Results that a report shows at most, so that it stays a file to send around.
ROWS = 20_000
#: Numbers in the geometries that a report carries: about 5 MB.
COORDINATES = 1_000_000
#: Structures that are read at once.
CHUNK = 500


def of(store: Store, title: str, rows: int = ROWS) -> dict[str, Any]:
    """All of it. The structures of the first rows come along, as many as fit. Raises StoreError."""
    from mlmat.provenance import version_of

    table = columns(store.arrow(_queries.rows_of(_columns_of_runners(store)), {"rows": rows}))
    found = {name: columns(store.arrow(query)) for name, query in _queries.TABLES.items()}
    return found | {
        "title": title,
        "store": store.path.name,
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "mlmat": version_of("mlmat"),
        "counts": records(store.arrow(_queries.COUNTS))[0],
        "size": len(table["result_id"]),
        "rows": {name: packed(values) for name, values in table.items()},
        "structures": _structures(store, [id_ for id_ in table["shown_id"] if id_ is not None]),
    }


def _columns_of_runners(store: Store) -> dict[str, set[str]]:
    """The columns of the view of each runner that has results here."""
    views = {name for name, _ in store.reductions()}
    runners = store.arrow("SELECT DISTINCT runner FROM method").column("runner").to_pylist()
    names = {store.table_name(runner) for runner in runners} & views
    return {name: {column for column, _, _ in store.columns(name)} for name in sorted(names)}


def _structures(store: Store, ids: Sequence[str]) -> dict[str, Any]:
    """Geometries by id, the first ones of ids, until COORDINATES are reached."""
    wanted, room = list(dict.fromkeys(ids)), COORDINATES
    found: dict[str, Any] = {}
    for start in range(0, len(wanted), CHUNK):
        for row in store.geometry(wanted[start : start + CHUNK]).to_pylist():
            room -= 3 * len(row["atomic_numbers"]) + 9
            if room < 0:
                return found
            found[row["structure_id"]] = {
                "cell": _thousandths(row["lattice_vectors"]),
                "positions": _thousandths(row["cartesian_site_positions"]),
                "numbers": list(row["atomic_numbers"]),
                "periodic": list(row["dimension_types"]),
            }
    return found


def _thousandths(vectors: Iterable[Iterable[float]]) -> list[int]:
    return [round(1000 * x) for vector in vectors for x in vector]


def packed(values: list[Any]) -> Any:
    """Values of which many are the same, as different ones and their numbers (none where all are one)."""
    different = list({_key(value): value for value in values}.values())
    if len(different) == 1:
        return {"values": different, "rows": None}
    if 4 * len(different) > len(values) or all(isinstance(value, int | float | None) for value in different):
        return values
    number = {_key(value): k for k, value in enumerate(different)}
    return {"values": different, "rows": [number[_key(value)] for value in values]}


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def columns(table: pa.Table) -> dict[str, list[Any]]:
    """A table as lists of plain values."""
    return {name: [_plain(value) for value in table.column(name).to_pylist()] for name in table.column_names}


def records(table: pa.Table) -> list[dict[str, Any]]:
    """A table as dictionaries of plain values."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    """What JSON knows: seven digits of a number, none where it is not finite; times and ids as text that prints."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, int | bool) else shown(value)
