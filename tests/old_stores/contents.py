"""What must hold of a store in every later version, as JSON: `python contents.py STORE`.

A query each, of columns that mean the same in every version; keys are ids, values are texts, numbers or lists of them.
"""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

import mlmat

if TYPE_CHECKING:
    from mlmat.store import Store

#: Name, and a query whose first column is the key.
QUERIES = {
    "structures": "SELECT structure_id, nsites, chemical_system, volume, space_group_it_number FROM structure",
    "sources": "SELECT path || '|' || coalesce(member, '') || '|' || block_index, outcome, structure_id FROM source",
    "methods": "SELECT method_id, method, runner, runner_version, model_sha256, dtype FROM method",
    "results": "SELECT result_id::VARCHAR, structure_id, external_id, method_id, status, energy, correction, "
    "converged, error_class FROM result",
    "produced": "SELECT result_id::VARCHAR || '|' || role, structure_id, parent_id FROM produced",
    "imports": "SELECT path || '|' || place, outcome, external_id, result_id::VARCHAR, structure_id FROM import_row",
    "key_values": "SELECT source_id::VARCHAR, list_sort(map_entries(key_values)::VARCHAR[]) FROM source "
    "WHERE key_values IS NOT NULL",
    "current": "SELECT result_id::VARCHAR FROM current_result",
    "ranking": "SELECT result_id::VARCHAR, rank, energy_per_atom, energy_above_best FROM ranking",
    "hull": "SELECT method_id || '|' || result_id::VARCHAR, e_above_hull, formation_energy_per_atom, "
    "competing_phases, end_members_complete FROM hull",
    "candidates": "SELECT method_id || '|' || result_id::VARCHAR, hidden FROM candidates",
}


def contents(store: Store) -> dict[str, dict[str, list[Any]]]:
    """The answers, by name and key; of each runner's typed columns the sums, and what is pending for each method."""
    queries = QUERIES | {name: _sums(store, name) for name in _runner_tables(store)}
    found = {name: _answer(store, query) for name, query in queries.items()}
    pending = {method: store.pending(method)["structure_id"].to_pylist() for method in found["methods"]}
    return found | {"pending": pending}


def _answer(store: Store, query: str) -> dict[str, list[Any]]:
    names = store.arrow(query).to_pylist()
    rows = ([_plain(value) for value in row.values()] for row in names)
    return {str(key): values for key, *values in sorted(rows, key=lambda row: str(row[0]))}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _runner_tables(store: Store) -> list[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, 'result_') ORDER BY ALL"
    return list(store.sql(query)["table_name"])


def _sums(store: Store, table: str) -> str:
    """Numbers as they are; of lists the sum of squares of all that is in them."""
    columns = [(name, kind) for name, kind, _ in store.columns(table) if name != "result_id"]
    parts = [_part(f'"{name}"', kind) for name, kind in columns if kind.startswith("DOUBLE")]
    return f"SELECT {', '.join(['result_id::VARCHAR', *parts])} FROM {table}"


def _part(name: str, kind: str) -> str:
    for _ in range(kind.count("[") - 1):
        name = f"flatten({name}::DOUBLE[][])"
    return f"list_sum(list_transform({name}::DOUBLE[], lambda x: x * x))" if "[" in kind else name


def as_text(found: dict[str, dict[str, list[Any]]]) -> str:
    """JSON with a line for each key, so that a difference can be read."""
    parts = []
    for name, answer in found.items():
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(values)}" for key, values in answer.items())
        parts.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.stdout.write(as_text(contents(mlmat.open(sys.argv[1]))))
