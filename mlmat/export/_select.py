"""Which structures go out, in which order, and what the store knows of them: SELECTs only, through the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmat.errors import MlmatError, QueryError, UsageError
from mlmat.export._explain import explained
from mlmat.store.tables.columns import quoted
from mlmat.store.tables.formulas import respelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from mlmat.store import Store

#: What `--method` takes for structures without results.
NO_METHOD = "none"
#: The reduction whose order and columns are at hand unless another is asked for.
DEFAULT_REDUCTION = "ranking"
#: Columns of a reduction that every row has anyway, or that only name the row.
_KNOWN = frozenset({
    "structure_id", "relaxed_id", "parent_id", "external_id", "result_id", "run_id", "source_id", "method", "method_id",
    "energy", "energy_per_atom", "converged", "volume_per_atom", "relaxed",
})  # fmt: skip
#: What nobody excluded.
_COUNTS = "{0} NOT IN (SELECT {0} FROM exclusion_reach WHERE {0} IS NOT NULL)"
#: The runner of results that came with files.
_IMPORTED = "imported"
_SCALARS = ("BOOLEAN", "VARCHAR", "DOUBLE", "FLOAT")


@dataclass(frozen=True, slots=True)
class Method:
    """A method whose results go out."""

    method_id: str
    name: str
    runner: str


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """What goes out, as the user said it; SQL in where, order and query."""

    method: str | None = None
    where: str | None = None
    order: str | None = None
    reduction: str | None = None
    query: str | None = None
    limit: int | None = None
    initial: bool = False
    include_flagged: bool = False


def chosen_method(store: Store, wish: ExportSelection) -> Method | None:
    """The method whose results go out: the one asked for, the only one, or the only one that a runner computed.

    None for structures alone. Raises UsageError where it has to be said.
    """
    if wish.method == NO_METHOD:
        return None
    one = store.find_method(wish.method) if wish.method is not None else None
    done = "true" if one else "method_id IN (SELECT method_id FROM result WHERE status = 'ok')"
    query = f"SELECT method_id, method, runner FROM method WHERE {done} AND method_id = coalesce($id, method_id) "
    known = [Method(*row.values()) for row in store.arrow(query + "ORDER BY created_at", {"id": one}).to_pylist()]
    computed = [one for one in known if one.runner != _IMPORTED]
    if len(computed) == 1:
        return computed[0]
    if len(known) > 1:
        names = ", ".join(f"{one.name} ({one.method_id})" for one in known)
        raise UsageError(
            f"there are results of several methods: {names}; choose one with --method, "
            f"or --method {NO_METHOD} for the structures alone"
        )
    return known[0] if known else None


def columns(store: Store) -> dict[str, dict[str, str]]:
    """Name and type of the columns of every table and view of the store."""
    query = "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal ORDER BY column_index"
    found: dict[str, dict[str, str]] = {}
    for row in store.arrow(query).to_pylist():
        found.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    return found


def select(
    store: Store, wish: ExportSelection, method: Method | None, known: Mapping[str, Mapping[str, str]]
) -> pa.Table:
    """What goes out, in order: structure_id, final_id, result_id, source_id, and columns of the reduction or query.

    final_id is the relaxed structure where there is one, source_id the first entry that fits the condition; known
    are the `columns` of the store.
    Raises UsageError, QueryError.
    """
    if wish.query is None:
        try:
            return store.arrow(_statement(wish, method, known), _parameters(method))
        except QueryError as error:
            raise explained(error, store, wish) from error
    if wish.where or wish.order or wish.reduction:
        raise UsageError("--query says all: put --where, --order and --reduction into it")
    return _asked(store, wish, method)


def _parameters(method: Method | None) -> dict[str, Any] | None:
    return {"method": method.method_id} if method else None


def _candidates(wish: ExportSelection, method: Method | None) -> str:
    """SQL for the structures that can go out: those with a result of the method, else those from files."""
    if method is None:
        outcomes = "'stored', 'duplicate'" + (", 'flagged'" if wish.include_flagged else "")
        kept = "structure" if wish.query else f"source WHERE current AND outcome IN ({outcomes})"
        return (
            "SELECT DISTINCT structure_id, structure_id AS final_id, NULL::UUID AS result_id, NULL::DOUBLE AS energy, "
            f"NULL::BOOLEAN AS converged, NULL::UUID AS came_with FROM (FROM {kept}) "
            f"WHERE {_COUNTS.format('structure_id')}"
        )
    final = "r.structure_id" if wish.initial else "coalesce(p.structure_id, r.structure_id)"
    return (
        f"SELECT r.structure_id, {final} AS final_id, r.result_id, r.energy, r.converged, r.source_id AS came_with "
        "FROM current_result AS r "
        "LEFT JOIN (FROM produced WHERE role = 'relaxed') AS p USING (result_id) "
        "WHERE r.method_id = $method AND r.status = 'ok' AND r.structure_id IS NOT NULL "
        f"AND r.{_COUNTS.format('structure_id')} AND r.{_COUNTS.format('result_id')}"
    )


def _statement(wish: ExportSelection, method: Method | None, known: Mapping[str, Mapping[str, str]]) -> str:
    reduction = wish.reduction or (DEFAULT_REDUCTION if method else None)
    listed = _reduction_columns(reduction, known) if reduction else {}
    about, sources = [*known["structure"], "space_group"], known["source"]
    extra = [n for n, kind in listed.items() if _is_scalar(kind) and n not in _KNOWN and n not in {*about, *sources}]
    rows = _reduction_rows(reduction, listed, method)
    key = "result_id" if method and "result_id" in listed else "structure_id"
    return f"""
        WITH candidate AS ({_candidates(wish, method)}), listed AS ({rows}),
        about AS (SELECT *, space_group_symbol AS space_group FROM structure)
        SELECT structure_id, mlmat_final AS final_id, mlmat_result::VARCHAR AS result_id,
            mlmat_source::VARCHAR AS source_id{_names(extra)}
        FROM (
            SELECT candidate.structure_id, candidate.final_id AS mlmat_final, candidate.result_id AS mlmat_result,
                listed.mlmat_place, source.source_id AS mlmat_source, structure, source,
                listed AS {quoted(reduction or "mlmat_listed")}, {_flat(listed, about, sources)}
            FROM candidate JOIN about AS structure ON structure.structure_id = candidate.structure_id
            {"" if wish.reduction else "LEFT"} JOIN listed ON listed.{key} = candidate.{key}
            LEFT JOIN (FROM source WHERE current) AS source ON source.structure_id = candidate.structure_id
                AND (candidate.came_with IS NULL OR candidate.came_with = source.source_id)
        )
        WHERE ({respelled(wish.where or "true")}
        )
        QUALIFY row_number() OVER (PARTITION BY structure_id, mlmat_result ORDER BY mlmat_place, mlmat_source) = 1
        ORDER BY {wish.order + chr(10) + "," if wish.order else ""} mlmat_place, formula, structure_id
        {f"LIMIT {int(wish.limit)}" if wish.limit is not None else ""}
    """


def _reduction_rows(reduction: str | None, columns: Mapping[str, str], method: Method | None) -> str:
    """SQL for the rows of a reduction, numbered as it orders them."""
    if reduction is None:
        return "SELECT NULL::VARCHAR AS structure_id, NULL::BIGINT AS mlmat_place LIMIT 0"
    of = "WHERE method_id = $method" if method and "method_id" in columns else ""
    return f"SELECT *, row_number() OVER () AS mlmat_place FROM (SELECT * FROM {quoted(reduction)} {of})"


def _reduction_columns(reduction: str, known: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    if reduction not in known:
        raise UsageError(f"no reduction {reduction!r}; `mlmat reductions` lists them")
    columns = known[reduction]
    if "structure_id" not in columns:
        raise UsageError(
            f"reduction {reduction} has no column structure_id: it does not say what to write; use --query"
        )
    return columns


def _flat(listed: Mapping[str, str], about: Sequence[str], sources: Iterable[str]) -> str:
    """The columns that --where and --order can name as they are; the reduction's come first, then the structure's."""
    found = {"structure_id": ""}
    for name in listed:
        column = f"listed.{quoted(name)}"
        found.setdefault(name, f"coalesce({column}, structure.{quoted(name)})" if name in about else column)
    for table, names in (("structure", about), ("source", sources), ("candidate", ("energy", "converged"))):
        for name in names:
            found.setdefault(name, f"{table}.{quoted(name)}")
    return ", ".join(f"{expression} AS {quoted(name)}" for name, expression in found.items() if expression)


def _asked(store: Store, wish: ExportSelection, method: Method | None) -> pa.Table:
    """The answer to --query with the results that belong to it; ids of relaxed structures are understood, too."""
    import pyarrow as pa

    answer = store.arrow(wish.query or "").slice(0, wish.limit)
    if "structure_id" not in answer.column_names:
        raise UsageError("--query must return a column structure_id: SELECT structure_id FROM …")
    ids = answer["structure_id"].cast(pa.string())
    extra = [n for n in answer.column_names if n.lower() not in _KNOWN and _is_plain(answer.schema.field(n).type)]
    found = store.arrow(_asked_statement(wish, method), {"ids": ids.to_pylist(), **(_parameters(method) or {})})
    missing = len(set(ids.to_pylist())) - len(set(found["asked"].to_pylist()))
    if missing:
        what = f"result of {method.name}" if method else "structure of this id in the store"
        what += " that is not excluded"
        raise MlmatError(f"{missing:,} of the {len(ids):,} structures that --query returns: no {what}; leave them out")
    about = answer.select(extra).take(found["place"])
    table = found.select(["structure_id", "final_id", "result_id"])
    table = table.append_column("source_id", pa.nulls(len(table), pa.string()))
    for name in extra:
        table = table.append_column(name, about[name])
    return table


def _asked_statement(wish: ExportSelection, method: Method | None) -> str:
    return f"""
        WITH candidate AS ({_candidates(wish, method)}),
        known AS (
            SELECT structure_id AS asked, * FROM candidate
            UNION ALL SELECT final_id, * FROM candidate WHERE final_id NOT IN (SELECT structure_id FROM candidate)
        ),
        wanted AS (SELECT unnest($ids::VARCHAR[]) AS asked, unnest(range(len($ids::VARCHAR[]))) AS place)
        SELECT asked, structure_id, final_id, result_id::VARCHAR AS result_id, place
        FROM wanted JOIN known USING (asked)
        QUALIFY row_number() OVER (PARTITION BY structure_id, result_id ORDER BY place) = 1
        ORDER BY place, result_id
    """


def _is_scalar(kind: str) -> bool:
    return "[" not in kind and (kind.startswith(_SCALARS) or kind.endswith(("INT", "INTEGER")))


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind))


def _names(columns: Iterable[str]) -> str:
    return "".join(f", {quoted(name)}" for name in columns)
