"""Hulls as they are kept: which are out of date, what they are computed from, and how they are written.

A hull belongs to a method and a chemical system. It holds as long as the fingerprint of the phases that compete in it
does (view `chemical_systems`), so that a new result makes its own system and those that contain it out of date.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mlmat.materials.hull import Phase, Verdict, above_hull
from mlmat.store.hulls.scope import ALL, Scope
from mlmat.store.schema.migrations import views
from mlmat.store.tables.columns import insert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

#: Elements up to which the subsets of a chemical system are looked up one by one.
SUBSETS = 8


@dataclass(frozen=True, slots=True)
class System:
    """A chemical system of one method whose hull is out of date."""

    method_id: str
    elements: tuple[str, ...]
    fingerprint: str

    @property
    def name(self) -> str:
        """Elements joined by -."""
        return "-".join(self.elements)


@dataclass(frozen=True, slots=True)
class Known:
    """The phases of one method: by chemical system, and by the id of their result as it is written into products."""

    systems: Mapping[tuple[str, ...], Sequence[Phase]]
    names: Mapping[str, tuple[str, str]]

    def inside(self, elements: tuple[str, ...]) -> list[Phase]:
        """The phases of these elements or of some of them."""
        parts = subsets(elements) or [part for part in self.systems if set(elements).issuperset(part)]
        return [phase for part in parts for phase in self.systems.get(part, ())]


def outdated(con: duckdb.DuckDBPyConnection, scope: Scope = ALL) -> list[System]:
    """Systems that have all their end members and no hull of the phases as they are now."""
    of_methods, methods = _among("method_id", scope.methods)
    of_systems, systems = _among("chemical_system", scope.systems)
    query = f"""
        SELECT method_id, elements, fingerprint FROM {_systems(con, scope, of_methods, methods)}
        WHERE end_members_complete AND NOT computed AND {of_methods} AND {of_systems}
        ORDER BY nelements, method_id, chemical_system
    """
    found = con.execute(query, [*methods, *systems]).fetchall()
    return [System(method, tuple(elements), mark) for method, elements, mark in found]


def _among(column: str, names: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """A condition with its values. Not a join: a condition reaches the tables below `phase`."""
    return ("true", []) if names is None else (f"{column} IN ({', '.join('?' for _ in names)})", names)


def _systems(con: duckdb.DuckDBPyConnection, scope: Scope, of_methods: str, methods: Sequence[str]) -> str:
    """The view `chemical_systems`; where systems are named, over no more than the phases inside them."""
    if scope.systems is None:
        return "chemical_systems"
    asked = [tuple(name.split("-")) for name in scope.systems]
    names = {"-".join(part) for elements in asked for part in subsets(elements)}
    query = f"SELECT DISTINCT chemical_system FROM phase WHERE list_has_all(?, elements) AND {of_methods}"
    for large in (elements for elements in asked if len(elements) > SUBSETS):
        names |= {name for (name,) in con.execute(query, [list(large), *methods]).fetchall()}
    inside, values = _among("chemical_system", sorted(names))
    near = f"CREATE OR REPLACE TEMP TABLE near_phase AS FROM phase WHERE {of_methods} AND {inside}"
    con.execute(near, [*methods, *values])
    view = views()["chemical_systems"].partition(" AS\n")[2].partition(";\n")[0]
    return f"({view.replace('FROM phase', 'FROM near_phase')})"


def phases(con: duckdb.DuckDBPyConnection, systems: Sequence[System]) -> dict[str, Known]:
    """What competes in these systems, by method."""
    import pyarrow as pa

    names = sorted({(system.method_id, "-".join(part)) for system in systems for part in subsets(system.elements)})
    names += _of_many_elements(con, [system for system in systems if len(system.elements) > SUBSETS])
    columns = [pa.array([pair[i] for pair in names], pa.string()) for i in (0, 1)]
    con.register("asked", pa.table(columns, ["method_id", "chemical_system"]))
    inside, values = _among("chemical_system", sorted({name for _, name in names}))
    query = f"""
        SELECT method_id, result_id::VARCHAR, coalesce(external_id, structure_id), formula, elements, amounts, energy
        FROM phase SEMI JOIN asked USING (method_id, chemical_system) WHERE competes AND {inside}
    """
    groups: dict[str, dict[tuple[str, ...], list[Phase]]] = defaultdict(lambda: defaultdict(list))
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for method, key, name, formula, symbols, amounts, energy in con.execute(query, values).fetchall():
        groups[method][tuple(symbols)].append(Phase(key, dict(zip(symbols, amounts, strict=True)), energy))
        found[method][key] = (name, formula)
    return {system.method_id: Known(groups[system.method_id], found[system.method_id]) for system in systems}


def subsets(elements: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every system of some of these elements; none where that would be too many."""
    if len(elements) > SUBSETS:
        return []
    return [part for size in range(1, len(elements) + 1) for part in combinations(elements, size)]


def _of_many_elements(con: duckdb.DuckDBPyConnection, systems: Sequence[System]) -> list[tuple[str, str]]:
    """The systems at hand inside those that have too many elements to name all that could be."""
    query = "SELECT DISTINCT method_id, chemical_system FROM phase WHERE method_id = ? AND list_has_all(?, elements)"
    asked = {(system.method_id, system.elements) for system in systems}
    return [pair for method, elements in asked for pair in con.execute(query, [method, list(elements)]).fetchall()]


def rows_of(system: System, known: Known) -> Iterator[dict[str, Any]]:
    """Rows of `hull_row`: the phases of exactly these elements."""
    asked = known.systems.get(system.elements, ())  # they may have changed a moment ago
    fixed = {"method_id": system.method_id, "chemical_system": system.name}
    try:
        verdicts = above_hull(asked, known.inside(system.elements))
        reason = None
    except (ValueError, ArithmeticError) as error:
        verdicts, reason = [None] * len(asked), f"the hull could not be computed: {error}"
    for phase, verdict in zip(asked, verdicts, strict=True):
        found = _columns(verdict, known.names) if verdict else {}
        yield {"result_id": phase.key, **fixed, **found, "reason": reason}


def _columns(verdict: Verdict, names: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    products = [
        {"id": names[key][0], "formula": names[key][1], "amount": amount} for key, amount in verdict.products.items()
    ]
    text = " + ".join(f"{product['amount']:.3f} {product['formula']}" for product in products)
    numbers = {name: getattr(verdict, name) for name in ("e_above_hull", "e_decomposition", "competitors")}
    return {**numbers, "decomposition": text, "products": products}


def write(con: duckdb.DuckDBPyConnection, systems: Sequence[System], rows: Sequence[Mapping[str, Any]]) -> None:
    """Put these hulls in the place of those that the store has of the same systems."""
    import pyarrow as pa

    known = [{"method_id": s.method_id, "chemical_system": s.name, "fingerprint": s.fingerprint} for s in systems]
    con.register("new_system", pa.Table.from_pylist(known))
    for table in ("hull_row", "hull_system"):
        con.execute(f"DELETE FROM {table} USING new_system AS n WHERE {table}.method_id = n.method_id "
                    f"AND {table}.chemical_system = n.chemical_system")  # fmt: skip
    insert(con, "hull_system", "new_system")
    if rows:
        con.register("new_hull", pa.Table.from_pylist(list(rows), _schema()))
        insert(con, "hull_row", "new_hull")


def _schema() -> Any:
    import pyarrow as pa

    product = pa.struct([("id", pa.string()), ("formula", pa.string()), ("amount", pa.float64())])
    texts = [(name, pa.string()) for name in ("result_id", "method_id", "chemical_system", "decomposition", "reason")]
    numbers = [("e_above_hull", pa.float64()), ("e_decomposition", pa.float64()), ("competitors", pa.int32())]
    return pa.schema([*texts, *numbers, ("products", pa.list_(product))])
