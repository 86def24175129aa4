"""Results that come back in an export of the store itself: left out, not taken for those of a new method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmat.export_marks import Exported
    from mlmat.store import Store

#: How far two energies may lie apart to be the same, in eV.
SAME = 1e-9


def leave_out_known(store: Store, batch: Sequence[dict[str, Any]]) -> None:
    """Take `exported` out of the rows, and with it the results, and values of results, that the store has."""
    marked = [(row, one) for row in batch if (one := row.pop("exported", None)) is not None and row["structure_id"]]
    if not marked:
        return
    known = _known(store, {one.method_id for _, one in marked}, {row["structure_id"] for row, _ in marked})
    for row, one in marked:
        energies = known.get((one.method_id, row["structure_id"]), [])
        if any(_same(energy, _energy(row, one)) for energy in energies):
            row["results"] = {}
            pairs = [(key, value) for key, value in row["key_values"] or () if key.lower() not in one.names]
            row["key_values"] = pairs or None


def _known(store: Store, methods: set[str], structures: set[str]) -> dict[tuple[str, str], list[float | None]]:
    """Energies in eV by method and structure, which was handed in or came out relaxed."""
    query = """
        WITH asked AS (SELECT unnest($structures::VARCHAR[]) AS structure_id),
        about AS (
            SELECT result_id, structure_id FROM result SEMI JOIN asked USING (structure_id)
            UNION ALL
            SELECT result_id, structure_id FROM produced SEMI JOIN asked USING (structure_id) WHERE role = 'relaxed'
        )
        SELECT r.method_id, a.structure_id, r.energy FROM result AS r JOIN about AS a USING (result_id)
        WHERE r.status = 'ok' AND r.method_id IN (SELECT unnest($methods::VARCHAR[]))
    """
    found: dict[tuple[str, str], list[float | None]] = {}
    for row in store.arrow(query, {"methods": sorted(methods), "structures": sorted(structures)}).to_pylist():
        found.setdefault((row["method_id"], row["structure_id"]), []).append(row["energy"])
    return found


def _energy(row: dict[str, Any], one: Exported) -> float | None:
    energy: float | None = row["results"].get("energy", one.energy)
    return energy


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) <= SAME)
