"""Which hulls have to be up to date: those that a query names, or those that a run changed.

A look at all phases takes seconds at a million results. Where it is not plain which ones are asked for, it is all.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmat.store.access.connection import rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import duckdb

#: Systems that a run changed, and systems that contain them, that are looked at one by one.
FEW, MANY = 20, 2_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Ids of methods, and chemical systems as elements joined by -; None: all of them."""

    methods: tuple[str, ...] | None = None
    systems: tuple[str, ...] | None = None


ALL = Scope()


def changed_by(con: duckdb.DuckDBPyConnection, run_id: str) -> Scope | None:
    """The hulls that results of a run are in; None where it has no energies."""
    made = "FROM result WHERE run_id = $run AND status = 'ok' AND energy IS NOT NULL"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE changed AS
        SELECT chemical_system, elements FROM structure SEMI JOIN (SELECT structure_id {made}) USING (structure_id)
        UNION
        SELECT chemical_system, elements FROM entry SEMI JOIN (SELECT result_id {made}) USING (result_id)
        """,
        {"run": run_id},
    )
    own = f"SELECT method_id {made}"
    own = f"{own} UNION SELECT method_id FROM method WHERE derived_from IN ({own})"
    query = f"{own} UNION SELECT method_id FROM mixture WHERE member_id IN ({own})"
    methods = tuple(method for (method,) in rows(con, query, {"run": run_id}))
    return Scope(methods, _containing(con)) if methods else None


def _containing(con: duckdb.DuckDBPyConnection) -> tuple[str, ...] | None:
    """The systems of the store that contain one of those in table `changed`; None where they are many."""
    if rows(con, "SELECT count(*) FROM changed")[0][0] > FEW:
        return None
    query = f"""
        SELECT DISTINCT x.chemical_system
        FROM (SELECT chemical_system, elements FROM structure UNION SELECT chemical_system, elements FROM entry) AS x
        JOIN changed ON list_has_all(x.elements, changed.elements)
        LIMIT {MANY + 1}
    """
    found = tuple(system for (system,) in rows(con, query))
    return found if len(found) <= MANY else None


def named_in(con: duckdb.DuckDBPyConnection, query: str, parameters: Any, views: Collection[str]) -> Scope:
    """What a query asks of the view `hull`, where this is all that it reads of these views, with plain conditions."""
    if sum(word in views for word in re.findall(r"\w+", query.lower())) != 1:
        return ALL
    parsed = json.loads(rows(con, "SELECT json_serialize_sql(?)", [query])[0][0])
    if parsed["error"] or len(parsed["statements"]) != 1:
        return ALL
    node = parsed["statements"][0]["node"]
    if node["type"] != "SELECT_NODE" or node["from_table"].get("table_name", "").lower() != "hull":
        return ALL
    conditions = list(_conditions(node["where_clause"]))
    return Scope(_values(conditions, "method_id", parameters), _values(conditions, "chemical_system", parameters))


def _conditions(node: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The conditions that must hold together."""
    if node and node["type"] == "CONJUNCTION_AND":
        for child in node["children"]:
            yield from _conditions(child)
    elif node:
        yield node


def _values(conditions: list[dict[str, Any]], column: str, parameters: Any) -> tuple[str, ...] | None:
    """The texts that a column must be one of; None where no condition says so plainly."""
    for condition in conditions:
        if condition["type"] not in ("COMPARE_EQUAL", "COMPARE_IN"):
            continue
        sides = condition.get("children") or [condition["left"], condition["right"]]
        columns = [side["column_names"][-1].lower() for side in sides if side["class"] == "COLUMN_REF"]
        texts = [_text(side, parameters) for side in sides if side["class"] != "COLUMN_REF"]
        if columns == [column] and all(isinstance(text, str) for text in texts):
            return tuple(map(str, texts))
    return None


def _text(node: dict[str, Any], parameters: Any) -> Any:
    """The value of a constant or a parameter; None where it is something else."""
    if node["class"] == "CONSTANT":
        return node["literal"].get("text") if node["literal"].get("kind") == "STRING" else None
    if node["class"] != "PARAMETER":
        return None
    name = node["identifier"]
    if hasattr(parameters, "keys"):
        return parameters.get(name)
    return parameters[int(name) - 1] if name.isdigit() and 0 < int(name) <= len(parameters or ()) else None
