"""Tables `run`, `method`, `result` and those of the runners: what was computed, and what has still to be."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from mlmat.arrow_frames import unpack
from mlmat.errors import QueryError, StoreError, UsageError
from mlmat.store.access.connection import rows
from mlmat.store.quality import schemes
from mlmat.store.quality.expected_errors import note
from mlmat.store.quality.suspects import judge
from mlmat.store.schema.migrations import views
from mlmat.store.schema.superseded import mark_late
from mlmat.store.tables.aligned import aligned, alignments, known_twice, relaxed_rows
from mlmat.store.tables.columns import (
    RESERVED,
    TABLES,
    empty_like,
    fit_table,
    insert,
    one_spelling,
    quoted,
    runner_tables,
    types,
)
from mlmat.store.tables.repeated import note_repeated
from mlmat.store.tables.structures import add_structures, condition, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import duckdb
    import pyarrow as pa


def add_row(con: duckdb.DuckDBPyConnection, table: str, row: Mapping[str, Any]) -> None:
    """Insert one row into a small table."""
    names = ", ".join(quoted(name) for name in row)
    marks = ", ".join("?" for _ in row)
    con.execute(f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})", list(row.values()))


def end_run(con: duckdb.DuckDBPyConnection, run_id: str, outcome: str) -> None:
    """Say how a run ended."""
    con.execute("UPDATE run SET ended_at = current_timestamp, outcome = ? WHERE run_id = ?", [outcome, run_id])


def add_method(con: duckdb.DuckDBPyConnection, method: Mapping[str, Any]) -> None:
    """Register a method once; what is known of its energies is written again.

    Raises UsageError when the runner's name is that of a table or view of the store.
    """
    runner = method["runner"]
    if runner in RESERVED or runner in views() or runner.startswith("result_"):
        raise UsageError(f"a runner cannot be called {runner}: the store has a table or view of that name; rename it")
    known = {name: value for name, value in method.items() if name in schemes.COLUMNS}
    if not rows(con, "SELECT 1 FROM method WHERE method_id = ?", [method["method_id"]]):
        add_row(con, "method", {k: v for k, v in method.items() if k not in known and k != "expected_errors"})
        note(con, method["method_id"])
    schemes.describe(con, method["method_id"], known)
    schemes.expect(con, method["method_id"], method.get("expected_errors") or {})


def has_ok(con: duckdb.DuckDBPyConnection, method_id: str) -> bool:
    """Whether a method has an ok result."""
    return bool(rows(con, "SELECT 1 FROM result WHERE method_id = ? AND status = 'ok' LIMIT 1", [method_id]))


def is_taken(con: duckdb.DuckDBPyConnection, name: str, method_id: str) -> bool:
    """Whether a name means another method, a runner or a mixture."""
    query = """
        SELECT 1 FROM method WHERE method_id <> $1 AND (method = $2 OR runner = $2 OR method_id = $2)
        UNION ALL SELECT 1 FROM mixture WHERE method = $2 LIMIT 1
    """
    return bool(rows(con, query, [method_id, name]))


def find_method(con: duckdb.DuckDBPyConnection, text: str) -> str:
    """The id of a method given by id, beginning of an id, name, or runner. Raises UsageError."""
    found = rows(
        con,
        "SELECT method_id, method FROM method WHERE method_id = $1 OR starts_with(method_id, $1) OR method = $1 "
        "OR runner = $1 ORDER BY method_id = $1 DESC, created_at",
        [text],
    )
    if not found:
        known = ", ".join(name for (name,) in rows(con, "SELECT DISTINCT method FROM method ORDER BY ALL"))
        raise UsageError(f"no method {text!r} in this store; it has: {known or 'none yet'}")
    if len(found) > 1 and found[0][0] != text:
        raise UsageError(f"several methods match {text!r}; say which: " + ", ".join(f"{i} ({n})" for i, n in found))
    return str(found[0][0])


def pending(
    con: duckdb.DuckDBPyConnection,
    method_id: str,
    *,
    where: str | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    of: str | None = None,
    include_flagged: bool = False,
    excluded: bool = False,
) -> pa.Table:
    """Structures without a current result of a method: structure_id, nsites, in the order of their ids.

    Ids are hashes: the first ones are a fair sample, so that rate and ETA hold for the rest.

    where: SQL condition over `structure` and `source`; of: take the structures that this method returned, or that came
    with its imported results, instead of those that came from files; retry_failed: take those whose only results are
    failures too; excluded: take those that somebody excluded, instead of all others.
    """
    origin = _origin(of, include_flagged)
    out = "SELECT structure_id FROM exclusion_reach WHERE structure_id IS NOT NULL"
    done = "SELECT structure_id FROM result WHERE method_id = $method AND superseded IS NULL"
    done += " AND status = 'ok'" if retry_failed else ""
    left = f"ANTI JOIN ({done}) AS done USING (structure_id)"
    if of or not _all_from_files(con):
        left = f"SEMI JOIN (SELECT structure_id FROM ({origin}) AS origin {left}) AS origin USING (structure_id)"
    query = f"""
        SELECT structure_id, nsites
        FROM (SELECT * FROM structure {condition(where)}) AS structure {left}
        {"SEMI" if excluded else "ANTI"} JOIN ({out}) AS out USING (structure_id)
        ORDER BY structure_id
        {"LIMIT " + str(int(limit)) if limit is not None else ""}
    """
    parameters = {"method": method_id, **({"of": of} if of else {})}
    return con.sql(query, params=parameters).to_arrow_table()


def _origin(of: str | None, include_flagged: bool) -> str:
    """SQL for the ids of the structures that can be asked for."""
    if of:
        return (
            "SELECT structure_id FROM produced SEMI JOIN current_result USING (result_id) WHERE method_id = $of "
            "UNION SELECT structure_id FROM import_row WHERE method_id = $of AND current AND structure_id IS NOT NULL"
        )
    return f"SELECT structure_id FROM source WHERE current AND outcome IN ({outcomes(include_flagged)})"


def asked_for(
    con: duckdb.DuckDBPyConnection,
    *,
    where: str | None = None,
    of: str | None = None,
    include_flagged: bool = False,
) -> int:
    """How many structures `pending` looks at, whether they have a result or not."""
    query = (
        f"SELECT count(*) FROM (SELECT * FROM structure {condition(where)}) AS structure "
        f"SEMI JOIN ({_origin(of, include_flagged)}) AS origin USING (structure_id)"
    )
    return int(rows(con, query, {"of": of} if of else None)[0][0])


def _all_from_files(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether every structure is stored from a current block: their checksums agree, which a join would say slower."""
    found = rows(
        con,
        """
        SELECT count(*), sum(hash(structure_id)) FROM structure
        UNION ALL
        SELECT count(*), sum(hash(structure_id)) FROM source WHERE current AND outcome = 'stored'
        """,
    )
    return found[0] == found[1]


class Unmergeable(QueryError):  # noqa: N818 - as in mlmat.errors
    """Frames whose rows the tables cannot take, whoever tries."""


def merge(con: duckdb.DuckDBPyConnection, frames: Iterable[bytes], described: dict[str, Mapping[str, str]]) -> int:
    """Write the rows of frames into their tables; rows that are there already are left. The number of new results.

    described: as in `fit_table`. Raises Unmergeable.
    """
    import duckdb

    try:
        return _merge(con, frames, described)
    except (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError, duckdb.NotSupportedError) as error:
        raise Unmergeable(str(error).splitlines()[0]) from error
    except (ValueError, TypeError, KeyError, struct.error) as error:  # pyarrow's errors are among them
        raise Unmergeable(f"{type(error).__name__}: {error}") from error


def _merge(con: duckdb.DuckDBPyConnection, frames: Iterable[bytes], described: dict[str, Mapping[str, str]]) -> int:
    parts: dict[str, list[pa.Table]] = {}
    made: list[tuple[pa.Table, pa.Table]] = []
    for frame in frames:
        found = unpack(frame)
        if "structure" in found and "produced" in found:
            made.append((found["structure"], found["produced"]))
        for name, table in found.items():
            parts.setdefault(name, []).append(table)
    fresh = _merge_results(con, _joined(parts.pop("result", [])))
    known = known_twice(con, (table for table, _ in made))
    for table in _joined(parts.pop("structure", [])):
        add_structures(con, table)
    # What is stored may list the atoms of a relaxed structure in another order than the runner did, or turned.
    differ = alignments(con, relaxed_rows(made, known)) if known else {}
    for table in _joined(parts.pop("produced", [])):
        _add_fresh(con, "produced", table, "result_id, role")
    declared = {
        runner: _merge_values(con, runner, [aligned(table, differ) for table in tables], described)
        for runner, tables in ((name.removeprefix("values:"), tables) for name, tables in parts.items())
    }
    judge(con, "fresh_result", declared)
    return fresh


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """Tables as one, or as they are where a column is a number in one and a text or a list in another."""
    import pyarrow as pa

    try:
        return [pa.concat_tables(tables, promote_options="permissive")] if tables else []
    except pa.ArrowException:
        return tables


def _merge_results(con: duckdb.DuckDBPyConnection, new: list[pa.Table]) -> int:
    """Add the results that are not here, each once, and keep them in `fresh_result`, too; how many they are."""
    empty_like(con, "fresh_result", "result")
    for table in new:
        con.register("new_result", table)
        con.execute(
            """
            CREATE OR REPLACE TEMP TABLE fresh AS
            SELECT * REPLACE (result_id::UUID AS result_id) FROM new_result
            QUALIFY row_number() OVER (PARTITION BY result_id) = 1
            """
        )
        # Of a table whose size is known, an anti-join reads only what may match. Ids sort by time: that is the end.
        con.execute(
            "CREATE OR REPLACE TEMP TABLE fresh AS FROM fresh "
            "ANTI JOIN result USING (result_id) ANTI JOIN fresh_result USING (result_id)"
        )
        insert(con, "fresh_result", "fresh")
    note_repeated(con, "fresh_result")
    mark_late(con, "fresh_result")
    insert(con, "result", "fresh_result")
    return int(rows(con, "SELECT count(*) FROM fresh_result")[0][0])


def _add_fresh(con: duckdb.DuckDBPyConnection, table: str, new: pa.Table, key: str) -> None:
    """Insert the rows that belong to new results, each once."""
    con.register("new_rows", new)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE fresh_rows AS
        SELECT * REPLACE (result_id::UUID AS result_id) FROM new_rows
        WHERE result_id::UUID IN (SELECT result_id FROM fresh_result)
        QUALIFY row_number() OVER (PARTITION BY {key}) = 1
        """
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE fresh_rows AS FROM fresh_rows ANTI JOIN {quoted(table)} USING ({key})")
    insert(con, table, "fresh_rows")


def _merge_values(
    con: duckdb.DuckDBPyConnection, runner: str, tables: list[pa.Table], described: dict[str, Mapping[str, str]]
) -> dict[str, str]:
    """Add the values of new results; what the runner declares of its columns."""
    declared: dict[str, str] = {}
    for table in tables:
        declared |= json.loads((table.schema.metadata or {}).get(b"mlmat.columns", b"{}"))
    parts = _joined(one_spelling(tables))
    name = fit_table(con, runner, [kinds for part in parts for kinds in _kinds(con, part)], declared, described)
    for part in parts:
        _add_fresh(con, name, part, "result_id")
    return declared


def _kinds(con: duckdb.DuckDBPyConnection, table: pa.Table) -> Iterable[tuple[str, str]]:
    con.register("new_rows", table)
    return types(con, "new_rows").items()


def status_tables(con: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """What `mlmat status` prints: blocks by outcome, results by method, failures by class."""
    # Of the current blocks with one structure, one alone is `stored`.
    eligible = (
        "SELECT structure_id FROM source WHERE current AND outcome = 'stored' "
        "AND structure_id NOT IN (SELECT structure_id FROM exclusion_reach WHERE structure_id IS NOT NULL)"
    )
    queries = {
        "outcomes": "SELECT outcome, count(*) AS blocks FROM source WHERE current GROUP BY ALL ORDER BY blocks DESC",
        "structures": f"""
            SELECT (SELECT count(*) FROM structure) AS structures, (SELECT count(*) FROM ({eligible})) AS screenable
        """,
        "methods": f"""
            WITH eligible AS ({eligible}),
            -- Other structures are fewer: those that runners returned, whose files are gone, or that are excluded.
            other AS (SELECT structure_id FROM structure ANTI JOIN eligible USING (structure_id)),
            corrected_done AS (SELECT method_id, count(correction) AS ok, count(reason) AS failed
                               FROM corrected SEMI JOIN current_result USING (result_id) GROUP BY method_id),
            done AS (SELECT method_id, count(*) FILTER (status = 'ok') AS ok,
                     count(*) FILTER (status = 'failed') AS failed,
                     count(structure_id) - count(structure_id) FILTER (structure_id IN (FROM other)) AS eligible_done
                     FROM current_result GROUP BY method_id)
            SELECT m.method, m.method_id, m.model_name, m.model_sha256, m.scheme, m.derived_from,
                   coalesce(d.ok, c.ok, 0) AS ok, coalesce(d.failed, c.failed, 0) AS failed,
                   CASE WHEN m.runner NOT IN ('imported', 'corrected') AND (d.eligible_done > 0 OR d.method_id IS NULL)
                   THEN (SELECT count(*) FROM eligible) - coalesce(d.eligible_done, 0) END AS pending
            FROM method AS m LEFT JOIN done AS d USING (method_id)
            LEFT JOIN corrected_done AS c ON c.method_id = m.method_id
            ORDER BY m.created_at
        """,
        "excluded": "SELECT count(structure_id) AS structures, count(result_id) AS results FROM exclusion_reach",
        # Energies of formation, which all phases together make, are left to the reduction: this is asked often.
        "suspects": """
            SELECT method, count(*) AS structures, min(suspect) AS example, count(DISTINCT suspect) AS reasons
            FROM (
                SELECT method_id, result_id, suspect FROM current_result WHERE suspect IS NOT NULL
                UNION
                SELECT method_id, result_id, suspect FROM phase
                WHERE chemical_system NOT LIKE '%-%' AND suspect IS NOT NULL AND energy_method = method
            ) JOIN method USING (method_id) GROUP BY method ORDER BY structures DESC
        """,
        "failures": "SELECT method, error_class, count(*) AS structures, min(error_message) AS example, "
        "count(DISTINCT error_message) AS messages FROM failures GROUP BY method, error_class ORDER BY structures DESC",
    }
    return {name: _dicts(con, query) for name, query in queries.items()}


def _dicts(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Few rows by column; without Arrow, whose import would take longer than the query."""
    found = rows(con, query)
    names = [name for name, *_ in con.description or []]
    return [dict(zip(names, row, strict=True)) for row in found]


def values_of(con: duckdb.DuckDBPyConnection, runner: str, result_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a runner's table for these results, by column; none where the runner has no table."""
    if runner not in runner_tables(con):
        return []
    query = f"SELECT * REPLACE (result_id::VARCHAR AS result_id) FROM {quoted(f'result_{runner}')} "
    found = con.sql(query + "WHERE result_id IN (SELECT unnest($ids)::UUID)", params={"ids": list(result_ids)})
    rows_found: list[dict[str, Any]] = found.to_arrow_table().to_pylist()
    return rows_found


def relation_names(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Name and comment of every view: the reductions."""
    return rows(con, "SELECT view_name, coalesce(comment, '') FROM duckdb_views() WHERE NOT internal ORDER BY 1")


def check_reduction(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The quoted name of a reduction. Raises StoreError for a name that is none."""
    known = [n for n, _ in relation_names(con)]
    if name not in known:
        raise StoreError(f"no reduction {name!r}; there are: {', '.join(known)}")
    return quoted(name)


def describe(con: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str, str]]:
    """Name, type and comment of each column of a view or table. Raises StoreError for a name that is none."""
    query = (
        "SELECT column_name, data_type, coalesce(comment, '') FROM duckdb_columns() "
        "WHERE table_name = ? AND NOT internal ORDER BY column_index"
    )
    found = rows(con, query, [name])
    if not found:
        known = ", ".join(view for view, _ in relation_names(con))
        raise StoreError(f"no reduction or table {name!r}; there are: {known}, {', '.join(sorted(TABLES))}")
    return found
