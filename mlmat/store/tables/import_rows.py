"""Table `import_row` and what belongs to it: results that `import-results` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.errors import UsageError
from mlmat.materials import schemes
from mlmat.store.access.connection import rows
from mlmat.store.quality.schemes import describe, scheme_of
from mlmat.store.tables.columns import insert
from mlmat.store.tables.repeated import note_repeated
from mlmat.store.tables.results import add_row, is_taken
from mlmat.store.tables.structures import add_structures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import duckdb
    import pyarrow as pa

#: What the ledger takes of a row, and the tables of results and compositions; other columns are given here.
_LEDGER = ("method_id", "scheme", "path", "place", "external_id", "outcome", "reason", "warnings", "chemical_formula",
           "structure_id", "result_id", "parser", "file_sha256", "row_sha256", "run_id")  # fmt: skip
_ENTRY = ("elements", "amounts", "nsites", "formula", "chemical_formula_reduced", "chemical_system")
_RESULT = ("result_id", "structure_id", "external_id", "method_id", "run_id", "energy", "correction")


def check_method(con: duckdb.DuckDBPyConnection, method: Mapping[str, Any]) -> str | None:
    """See that results may be imported under a name; its scheme. Raises UsageError where it means another method."""
    if is_taken(con, method["method"], method["method_id"]):
        raise UsageError(
            f"the store has a method, runner or mixture {method['method']} already; give --method another name"
        )
    return scheme_of(con, method["method_id"])


def _add_method(con: duckdb.DuckDBPyConnection, method: Mapping[str, Any]) -> None:
    """Register the method of imported results once: with its first result, so that a failed import leaves none."""
    check_method(con, method)
    if not rows(con, "SELECT 1 FROM method WHERE method_id = ?", [method["method_id"]]):
        add_row(con, "method", method)


def _settle(con: duckdb.DuckDBPyConnection, method_id: str) -> None:
    """A method has the scheme of its rows, where all that say one say the same: rows of another go elsewhere then."""
    query = (
        "SELECT DISTINCT scheme FROM import_row "
        "WHERE method_id = ? AND current AND outcome = 'imported' AND scheme IS NOT NULL"
    )
    said = [scheme for (scheme,) in rows(con, query, [method_id])]
    if len(said) == 1 and said[0] != scheme_of(con, method_id):
        describe(con, method_id, schemes.named(said[0]).columns())


def cells(con: duckdb.DuckDBPyConnection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Elements, their ratios and the number of atoms of the structures among these ids, by id."""
    query = """
        SELECT structure_id, elements, elements_ratios, nsites FROM structure
        WHERE structure_id IN (SELECT unnest($ids::VARCHAR[]))
    """
    found = con.sql(query, params={"ids": sorted(ids)}).to_arrow_table().to_pylist()
    return {row["structure_id"]: row for row in found}


def add(
    con: duckdb.DuckDBPyConnection, given: Sequence[Mapping[str, Any]], methods: Iterable[Mapping[str, Any]] = ()
) -> dict[str, int]:
    """Write rows of one file: the ledger, and results of those that say something new; how many of each verdict.

    methods: rows of table `method` that they belong to.

    A row that says what the store has under its id is `unchanged`: its line in the ledger leads to that result.
    """
    import pyarrow as pa

    before = _structures(con)
    for method in methods:
        _add_method(con, method)
    found = [row["structure"] for row in given if row["structure"]]
    if found:
        add_structures(con, pa.Table.from_pylist(found))
    con.register("given_rows", _table(given))
    _judge(con)
    _write_ledger(con)
    _write_results(con)
    for method in methods:
        _settle(con, method["method_id"])
    counts = rows(con, "SELECT verdict, count(*) FROM judged_import GROUP BY verdict")
    return {**{verdict: int(n) for verdict, n in counts}, "structures": _structures(con) - before}


def _structures(con: duckdb.DuckDBPyConnection) -> int:
    return int(rows(con, "SELECT count(*) FROM structure")[0][0])


def _table(given: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = {name: pa.string() for name in (*_LEDGER, *_ENTRY)}
    kinds |= {name: pa.float64() for name in ("energy", "correction", "nsites")}
    kinds |= {name: pa.list_(pa.string()) for name in ("warnings", "elements")}
    kinds |= {"amounts": pa.list_(pa.float64()), "nr": pa.int64()}
    made = [_row(row) | {"nr": i} for i, row in enumerate(given)]
    return pa.Table.from_pylist(made, schema=pa.schema(list(kinds.items())))


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["outcome"] != "imported":
        return {name: row.get(name) for name in _LEDGER}
    return {**row, "result_id": provenance.new_id(), "amounts": list(row["amounts"].values())}


def _judge(con: duckdb.DuckDBPyConnection) -> None:
    """Say of each row what it is to the current ones: `known` lines of the same id or place, `verdict`."""
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE judged_import AS
        WITH same AS (
            -- What an id says may stand in several files; a refused row is one of its file and place.
            SELECT g.nr, bool_or(i.path = g.path) AS here, any_value(i.result_id) AS known,
                max(i.rowid) FILTER (i.path = g.path) AS line
            FROM given_rows AS g JOIN import_row AS i
            ON i.method_id = g.method_id AND i.row_sha256 = g.row_sha256 AND i.outcome = g.outcome AND i.current
                AND (g.outcome = 'imported' OR (i.path = g.path AND i.place = g.place))
            GROUP BY g.nr
        ),
        other AS (
            SELECT DISTINCT g.nr FROM given_rows AS g JOIN import_row AS i
            ON i.method_id = g.method_id AND i.external_id = g.external_id AND i.current
                AND i.outcome = 'imported' AND g.outcome = 'imported' AND i.row_sha256 <> g.row_sha256
        )
        SELECT g.* REPLACE (coalesce(s.known, g.result_id::UUID) AS result_id),
            coalesce(s.here, false) AS here, s.line, s.nr IS NULL AND g.outcome = 'imported' AS is_new,
            CASE WHEN g.outcome <> 'imported' THEN g.outcome WHEN s.nr IS NOT NULL THEN 'unchanged'
                WHEN o.nr IS NOT NULL THEN 'replaced' ELSE 'imported' END AS verdict
        FROM given_rows AS g LEFT JOIN same AS s USING (nr) LEFT JOIN other AS o USING (nr)
        ORDER BY g.nr
        """
    )


def _write_ledger(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "UPDATE import_row SET current = false FROM judged_import AS j WHERE j.verdict = 'replaced' "
        "AND import_row.current AND import_row.outcome = 'imported' "
        "AND import_row.method_id = j.method_id AND import_row.external_id = j.external_id"
    )
    con.execute(
        "UPDATE import_row SET run_id = j.run_id::UUID, place = j.place, file_sha256 = j.file_sha256, "
        "warnings = j.warnings, parser = j.parser, scheme = j.scheme FROM judged_import AS j "
        "WHERE j.here AND import_row.rowid = j.line"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE new_lines AS SELECT {', '.join(_LEDGER)}, true AS current "
        "FROM judged_import WHERE NOT here ORDER BY nr"
    )
    insert(con, "import_row", "new_lines")


def _write_results(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE new_results AS SELECT {', '.join(_RESULT)}, 'ok' AS status, "
        "1 AS attempt, current_timestamp AS finished_at FROM judged_import WHERE is_new ORDER BY nr"
    )
    note_repeated(con, "new_results")
    insert(con, "result", "new_results")
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE new_entries AS SELECT result_id, {', '.join(_ENTRY)} "
        "FROM judged_import WHERE is_new ORDER BY nr"
    )
    insert(con, "entry", "new_entries")


def forget(con: duckdb.DuckDBPyConnection, method: Mapping[str, Any], path: str, run_id: str) -> int:
    """Rows of a file that this import did not meet are no longer current; the number of results among them.

    Also of the methods that took rows of other schemes. What has moved to another one of them is not counted.
    """
    family = [method["method_id"], *(i for (i,) in rows(con, _FAMILY, [method["method"]]))]
    unmet = "current AND list_contains($1, method_id) AND path = $2 AND run_id <> $3::UUID"
    values = [family, path, run_id]
    moved = "SELECT external_id FROM import_row WHERE list_contains($1, method_id) AND path = $2 AND run_id = $3::UUID"
    gone = f"outcome = 'imported' AND {unmet} AND external_id NOT IN ({moved})"
    count = rows(con, f"SELECT count(*) FROM import_row WHERE {gone}", values)
    con.execute(f"UPDATE import_row SET current = false WHERE {unmet}", values)
    for method_id in family:
        _settle(con, method_id)
    return int(count[0][0])


#: Methods that hold the rows of other schemes of the files of one.
_FAMILY = "SELECT method_id FROM method WHERE runner = 'imported' AND method = $1 || ' ' || scheme"
