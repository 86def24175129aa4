"""What hangs on what: which rows go with a source, run, method, import or result.

`plan` fills temporary tables `going_…` with the ids of all that goes; `_removal` takes it out in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.errors import UsageError
from mlmat.store.access.connection import rows
from mlmat.store.mend import named
from mlmat.store.tables.results import find_method

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class ForgetSelection:
    """What is to be forgotten, as the user named it."""

    sources: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.sources, self.runs, self.methods, self.imports, self.results))


@dataclass(slots=True)
class Going:
    """What goes: numbers by what it is, names of methods and mixtures, and structures that stay all the same.

    driven: ids of the methods that nobody may be computing meanwhile; runs: ids of the runs that go; processes: of
    those runs of this host that have not said that they ended, each with the time when the run began.
    """

    counts: dict[str, int] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)
    mixtures: list[str] = field(default_factory=list)
    staying: int = 0
    driven: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    processes: list[tuple[int, float]] = field(default_factory=list)


_TABLES = {
    "going_source": "source_id UUID", "going_line": "line BIGINT", "going_result": "result_id UUID",
    "going_structure": "structure_id VARCHAR", "going_method": "method_id VARCHAR", "going_run": "run_id UUID",
    "going_mixture": "method_id VARCHAR", "going_exclusion": "exclusion_id UUID",
}  # fmt: skip
#: Ids that are kept while they are looked for: each insert adds those that are not there.
_OF_RUN = {
    "going_source": "SELECT source_id FROM source WHERE run_id = $1",
    "going_result": "SELECT result_id FROM result WHERE run_id = $1",
    # The latest import that met a row is not always the one that brought it.
    "going_line": "SELECT rowid FROM import_row WHERE run_id = $1 AND (result_id IS NULL "
    "OR result_id IN (SELECT result_id FROM result WHERE run_id = $1))",
    "going_method": "SELECT method_id FROM run SEMI JOIN (FROM method WHERE derived_from IS NOT NULL) "
    "USING (method_id) WHERE run_id = $1",
    "going_run": "SELECT $1::UUID",
}
_LINES = "SELECT rowid FROM import_row WHERE result_id IN (FROM going_result)"
#: What belongs to methods that go, and the methods that are made from their results.
_OF_METHODS = {
    "going_method": """
        WITH RECURSIVE derived AS (
            SELECT method_id FROM going_method
            UNION SELECT m.method_id FROM method AS m JOIN derived AS d ON m.derived_from = d.method_id
        ) FROM derived""",
    "going_mixture": "SELECT method_id FROM mixture WHERE member_id IN (FROM going_method)",
    "going_result": "SELECT result_id FROM result WHERE method_id IN (FROM going_method)",
    "going_line": "SELECT rowid FROM import_row WHERE method_id IN (FROM going_method)",
    "going_run": "SELECT run_id FROM run WHERE method_id IN (FROM going_method)",
}
#: Structures that nothing that stays gives: no block, no imported row, no result on something that stays.
_STRUCTURES = """
    WITH RECURSIVE near AS (
        SELECT structure_id FROM source WHERE source_id IN (FROM going_source) AND structure_id IS NOT NULL
        UNION SELECT structure_id FROM import_row WHERE rowid IN (FROM going_line) AND structure_id IS NOT NULL
        UNION SELECT structure_id FROM produced WHERE result_id IN (FROM going_result)
        UNION SELECT p.structure_id FROM produced AS p JOIN near AS n ON n.structure_id = p.parent_id
    ),
    edge AS (
        SELECT p.structure_id, p.parent_id FROM produced AS p SEMI JOIN near USING (structure_id)
        WHERE p.result_id NOT IN (FROM going_result)
    ),
    staying AS (
        SELECT structure_id FROM source SEMI JOIN near USING (structure_id)
        WHERE source_id NOT IN (FROM going_source)
        UNION SELECT structure_id FROM import_row SEMI JOIN near USING (structure_id)
        WHERE import_row.rowid NOT IN (FROM going_line)
        UNION SELECT structure_id FROM edge WHERE parent_id NOT IN (FROM near)
        UNION SELECT e.structure_id FROM edge AS e JOIN staying AS s ON s.structure_id = e.parent_id
    )
    SELECT structure_id, structure_id IN (FROM staying) AS stays FROM near
"""
#: Methods that have nothing left.
_EMPTY = """
    SELECT DISTINCT method_id FROM result WHERE result_id IN (FROM going_result) AND method_id NOT IN (
        SELECT method_id FROM result WHERE result_id NOT IN (FROM going_result)
        UNION ALL SELECT method_id FROM import_row WHERE import_row.rowid NOT IN (FROM going_line)
    )
    UNION SELECT DISTINCT method_id FROM import_row WHERE rowid IN (FROM going_line) AND method_id NOT IN (
        SELECT method_id FROM result WHERE result_id NOT IN (FROM going_result)
        UNION ALL SELECT method_id FROM import_row WHERE import_row.rowid NOT IN (FROM going_line)
    )
"""


_EXCLUSIONS = """
    SELECT exclusion_id FROM exclusion WHERE CASE kind
        WHEN 'result' THEN item IN (SELECT result_id::VARCHAR FROM going_result)
        WHEN 'structure' THEN item IN (FROM going_structure)
        ELSE item IN (SELECT source_id::VARCHAR FROM going_source) END
"""


def plan(con: duckdb.DuckDBPyConnection, wish: ForgetSelection) -> Going:
    """Find all that goes. Raises StoreError, UsageError for what is not there."""
    for table, column in _TABLES.items():
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({column})")
    _named_ones(con, wish)
    _add_all(con, _OF_METHODS)
    _add(con, "going_result", "SELECT result_id FROM result WHERE source_id IN (FROM going_source)")
    _add(con, "going_line", _LINES)
    con.execute(f"CREATE OR REPLACE TEMP TABLE near_going AS {_STRUCTURES}")
    _add(con, "going_structure", "SELECT structure_id FROM near_going WHERE NOT stays")
    _add(con, "going_result", "SELECT result_id FROM result WHERE structure_id IN (FROM going_structure)")
    _add(con, "going_line", _LINES)
    _add(con, "going_method", _EMPTY)
    _add_all(con, _OF_METHODS)
    _add(con, "going_exclusion", _EXCLUSIONS)
    for path in _texts(con, "SELECT DISTINCT item FROM exclusion WHERE kind = 'source'"):
        if _has_nothing_left(con, path):
            _add(
                con, "going_exclusion", "SELECT exclusion_id FROM exclusion WHERE kind = 'source' AND item = $1", [path]
            )
    return _found(con)


def _has_nothing_left(con: duckdb.DuckDBPyConnection, path: str) -> bool:
    """Whether a source names something, and all of it goes."""
    left = "SELECT count(*), count(*) FILTER (WHERE {0} NOT IN (FROM {1})) FROM {2} WHERE "
    blocks = left.format("source_id", "going_source", "source") + named.MATCHES.format(member="member")
    lines = left.format("import_row.rowid", "going_line", "import_row") + named.MATCHES.format(member="NULL")
    every, stays = zip(*(rows(con, query, [path, named.pattern(path)])[0] for query in (blocks, lines)), strict=True)
    return bool(sum(every)) and not sum(stays)


def _add(con: duckdb.DuckDBPyConnection, table: str, query: str, values: list[object] | None = None) -> None:
    con.execute(f"INSERT INTO {table} SELECT DISTINCT * FROM ({query}) EXCEPT FROM {table}", values)


def _add_all(con: duckdb.DuckDBPyConnection, queries: dict[str, str], values: list[object] | None = None) -> None:
    for table, query in queries.items():
        _add(con, table, query, values)


def _named_ones(con: duckdb.DuckDBPyConnection, wish: ForgetSelection) -> None:
    for text in wish.sources:
        _add(con, "going_source", *_blocks(con, text))
    for text in wish.imports:
        _add(con, "going_line", *_imported(con, text))
    # What another file says, too, stays.
    others = (
        "SELECT result_id FROM import_row WHERE import_row.rowid NOT IN (FROM going_line) AND result_id IS NOT NULL"
    )
    _add(con, "going_result", "SELECT result_id FROM import_row WHERE rowid IN (FROM going_line) "
                              f"AND result_id IS NOT NULL AND result_id NOT IN ({others})")  # fmt: skip
    for text in wish.runs:
        _add_all(con, _OF_RUN, [_id(con, "run", text)])
    for text in wish.results:
        _add(con, "going_result", "SELECT $1::UUID", [_id(con, "result", text)])
    for text in wish.methods:
        _add(con, "going_method", "SELECT $1", [find_method(con, text)])


def _id(con: duckdb.DuckDBPyConnection, table: str, text: str) -> str:
    found = named.whole(con, table, f"{table}_id", text) if text.strip() else None
    if found is None:
        raise UsageError(f"no {table} {text!r} in this store: give its id, or the beginning of it")
    return found


def _blocks(con: duckdb.DuckDBPyConnection, text: str) -> tuple[str, list[object]]:
    if named.is_uuid(text):
        return "SELECT $1::UUID", [_id(con, "source", text)]
    path = named.source(con, text)
    if not named.count_of(con, path)[0]:
        raise UsageError(f"{path} was imported, not ingested: mlmat forget --import {path}")
    matches = named.MATCHES.format(member="member")
    return f"SELECT source_id FROM source WHERE {matches}", [path, named.pattern(path)]


def _imported(con: duckdb.DuckDBPyConnection, text: str) -> tuple[str, list[object]]:
    path = named.source(con, text)
    if not named.count_of(con, path)[1]:
        raise UsageError(f"{path} was ingested, not imported: mlmat forget --source {path}")
    matches = named.MATCHES.format(member="NULL")
    return f"SELECT rowid FROM import_row WHERE {matches}", [path, named.pattern(path)]


def _found(con: duckdb.DuckDBPyConnection) -> Going:
    counts = {
        "blocks of files": "FROM going_source",
        "imported rows": "FROM going_line",
        "structures": "FROM going_structure",
        "results": "FROM going_result",
        "corrected results": "SELECT 1 FROM corrected WHERE result_id IN (FROM going_result) "
        "OR method_id IN (FROM going_method)",
        "runs": "FROM going_run",
        "exclusions": "FROM going_exclusion",
    }
    driven = """
        SELECT DISTINCT method_id FROM result WHERE result_id IN (FROM going_result)
        UNION FROM going_method
        UNION SELECT method_id FROM method WHERE EXISTS (FROM going_structure)
        UNION SELECT method_id FROM run WHERE run_id IN (FROM going_run) AND method_id IS NOT NULL
        ORDER BY ALL
    """
    methods = (
        "SELECT method || ' (' || method_id || ')' FROM method WHERE method_id IN (FROM going_method) ORDER BY ALL"
    )
    mixtures = "SELECT DISTINCT method FROM mixture WHERE method_id IN (FROM going_mixture) ORDER BY ALL"
    # Those that have a method have a driver's lock.
    open_runs = (
        "SELECT host, pid, epoch(started_at) FROM run WHERE run_id IN (FROM going_run) AND ended_at IS NULL "
        "AND method_id IS NULL AND pid IS NOT NULL ORDER BY ALL"
    )
    return Going(
        {what: int(rows(con, f"SELECT count(*) FROM ({query})")[0][0]) for what, query in counts.items()},
        _texts(con, methods),
        _texts(con, mixtures),
        int(rows(con, "SELECT count(*) FROM near_going WHERE stays")[0][0]),
        _texts(con, driven),
        _texts(con, "SELECT run_id::VARCHAR FROM going_run ORDER BY ALL"),
        [(pid, began) for host, pid, began in rows(con, open_runs) if host == provenance.host()],
    )


def _texts(con: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [str(text) for (text,) in rows(con, query)]
