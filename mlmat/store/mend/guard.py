"""SQL of a user may write to tables and views of the user's own: mlmat's own are kept true by its commands alone.

What a statement writes to is not read from its text. For the time of one transaction each own table has triggers that
fail as soon as a statement that inserts, updates or deletes there is planned, whatever it says and through whatever it
says it; and the catalog is compared after every statement that could change it. The transaction is then rolled back.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

from mlmat.errors import QueryError
from mlmat.store.access.connection import rows
from mlmat.store.schema.migrations import macros, views
from mlmat.store.tables.columns import TABLES, quoted, runner_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

T = TypeVar("T")
#: The table that triggers pretend to write to; their names begin so, too.
_GUARD = "mlmat_guard"
_VERBS = ("insert", "update", "delete")
#: Kinds of statements that change rows alone.
_PLAIN = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE_INTO", "EXPLAIN", "TRANSACTION"}
#: One of these words is in every query that writes (WITH x AS (DELETE …) SELECT …).
_WRITES = re.compile(r"insert|update|delete|truncate|merge|copy", re.IGNORECASE)
_MET = re.compile(rf"{_GUARD} (\w+) ([^']*)'")
_READ_OR_COMPUTED = "what was read or computed is not edited: mlmat exclude leaves it out of rankings and hulls"
#: What does it properly, by what was tried.
_DELETE = (
    "mlmat forget takes out a source, run, method, import or result with all that hangs on it, mlmat exclude leaves "
    "structures and results out of rankings and hulls"
)
_INSTEAD = {
    "delete": _DELETE,
    "update": f"{_READ_OR_COMPUTED}, mlmat import-results brings other numbers",
    "insert": "mlmat ingest reads structures, mlmat import-results energies",
}
#: Tables that belong to one command, and that command.
_OF_COMMANDS = {
    "mixture": "mlmat mix makes and removes mixtures",
    "exclusion": "mlmat exclude and mlmat include write it",
    "corrected": "mlmat correct makes derived methods, mlmat forget --method takes them out",
    "hull_row": "mlmat reduce hull computes it anew where something has changed",
    "hull_system": "mlmat reduce hull computes it anew where something has changed",
    "same_crystal": "mlmat reduce crystals computes it anew where something has changed",
    "ase_row": "the ase.db face writes it (store.asedb() in Python)",
    "ase_metadata": "the ase.db face writes it (store.asedb() in Python)",
    "mlmat_schema": "it says what this store is",
}
_YOURS = "tables and views of your own can be written, under other names"


def one_answer(con: duckdb.DuckDBPyConnection, text: str) -> list[duckdb.Statement]:
    """The statements of a text. Raises QueryError where several of them have an answer: only one can be given."""
    statements = list(con.extract_statements(text))
    asked = sum(_kind(statement) == "SELECT" for statement in statements)
    if asked > 1:
        raise QueryError(f"the text holds {asked} queries, and one answer can be given: ask them one at a time")
    return statements


def _kind(statement: duckdb.Statement) -> str:
    try:
        return str(statement.type.name)
    except ValueError:  # a kind that DuckDB's Python does not know (UPDATE EXTENSIONS)
        return ""


def run(con: duckdb.DuckDBPyConnection, text: str, take: Callable[[Any], T]) -> T:
    """What take makes of the answer of the last statement of a text, which wrote to nothing of mlmat's own.

    Raises QueryError where it did, or tried to; the transaction cannot go on then.
    """
    statements = one_answer(con, text)
    if any(_kind(statement) == "TRANSACTION" for statement in statements):
        raise QueryError("the text is one transaction as it is: leave out BEGIN, COMMIT and ROLLBACK")
    if all(_kind(statement) == "SELECT" for statement in statements) and not _WRITES.search(text):
        return take(con.execute(text) if statements else None)
    home = str(rows(con, "SELECT current_database()")[0][0])
    runners = runner_tables(con)
    guarded = [*sorted(TABLES | {"mlmat_schema"}), *(f"result_{runner}" for runner in runners)]
    _protect(con, guarded)
    names = [*guarded, *runners, *views(), _GUARD]
    functions = re.findall(r"\bMACRO (\w+)", " ".join(macros()))
    values = {"home": home, "names": names, "functions": functions}
    found = _watched(con, statements, take, lambda: set(rows(con, _CATALOG, values)))
    con.execute(f"USE {quoted(home)}.main")
    _release(con, guarded)
    return found


def _watched(
    con: duckdb.DuckDBPyConnection,
    statements: list[duckdb.Statement],
    take: Callable[[Any], T],
    catalog: Callable[[], set[tuple[str, ...]]],
) -> T:
    before = set() if all(_kind(statement) in _PLAIN for statement in statements) else catalog()
    for statement in statements[:-1]:
        _attempt(con, statement)
        _compare(statement, before, catalog)
    found = take(_attempt(con, statements[-1]))
    _compare(statements[-1], before, catalog)
    return found


def _attempt(con: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> Any:
    import duckdb

    try:
        return con.execute(statement)
    except duckdb.ConversionException as error:
        if (met := _MET.search(str(error))) is None:
            raise
        raise QueryError(_refused(met[2], verb=met[1])) from error
    except duckdb.NotImplementedException as error:
        if "on tables with triggers" not in str(error):
            raise
        raise QueryError(f"MERGE INTO one of mlmat's own tables is refused: {_DELETE}; {_YOURS}") from error


def _compare(
    statement: duckdb.Statement, before: set[tuple[str, ...]], catalog: Callable[[], set[tuple[str, ...]]]
) -> None:
    if _kind(statement) not in _PLAIN and (changed := before ^ catalog()):
        name, kind, *_ = min(changed, key=lambda row: (row[1] == "column of", row))
        raise QueryError(_refused(name, kind))


def _refused(name: str, kind: str = "", verb: str = "change") -> str:
    instead = _OF_COMMANDS.get(name) or _INSTEAD.get(verb, "")
    what = f"{verb.upper()} {kind}{' ' if kind else ''}{name}: refused, it is one of mlmat's own"
    return "; ".join(part for part in (what, instead, _YOURS) if part)


def _protect(con: duckdb.DuckDBPyConnection, tables: list[str]) -> None:
    con.execute(f"CREATE TABLE {_GUARD} (touched INTEGER)")
    for table, verb in product(tables, _VERBS):
        text = f"{_GUARD} {verb} {table}".replace("'", "''")
        con.execute(
            f"CREATE TRIGGER {quoted(f'{_GUARD}_{table}_{verb}')} AFTER {verb} ON {quoted(table)} "
            f"FOR EACH STATEMENT INSERT INTO {_GUARD} VALUES ('{text}'::INTEGER)"
        )


def _release(con: duckdb.DuckDBPyConnection, tables: list[str]) -> None:
    for table, verb in product(tables, _VERBS):
        con.execute(f"DROP TRIGGER {quoted(f'{_GUARD}_{table}_{verb}')} ON {quoted(table)}")
    con.execute(f"DROP TABLE {_GUARD}")


#: Everything that has a name of mlmat's own, or would stand before it: name, kind, and all that defines it. Functions
#: are ours, and those that would stand before one of DuckDB's in every view.
_CATALOG = """
    WITH relation AS (
        SELECT database_name AS base, schema_name AS place, lower(table_name) AS name, 'table' AS kind,
            table_oid AS oid, sql, comment
        FROM duckdb_tables() WHERE NOT internal
        UNION ALL
        SELECT database_name, schema_name, lower(view_name), 'view', view_oid, sql, comment
        FROM duckdb_views() WHERE NOT internal
    ),
    own AS (
        FROM relation WHERE ((base = $home AND place = 'main') OR base = 'temp')
            AND (list_contains($names, name) OR starts_with(name, 'result_'))
    ),
    hung AS (
        SELECT database_name AS base, schema_name AS place, lower(table_name) AS name, 'column of' AS kind,
            column_name || ': ' || coalesce(comment, '') AS says
        FROM duckdb_columns() WHERE NOT internal
        UNION ALL
        SELECT database_name, schema_name, lower(table_name), 'trigger of', trigger_oid || sql FROM duckdb_triggers()
        UNION ALL
        SELECT database_name, schema_name, lower(table_name), 'index of', index_oid::VARCHAR FROM duckdb_indexes()
    )
    SELECT name, kind, base || oid || sql || coalesce(comment, '') FROM own
    UNION ALL
    SELECT name, kind, says FROM hung SEMI JOIN own USING (base, place, name)
    UNION ALL
    SELECT sequence_name, 'sequence', sequence_oid::VARCHAR FROM duckdb_sequences()
    WHERE database_name = $home AND schema_name = 'main' AND sequence_name = 'ase_id'
    UNION ALL
    SELECT function_name, 'function', function_oid || macro_definition FROM duckdb_functions()
    WHERE NOT internal AND macro_definition IS NOT NULL
        AND (list_contains($functions, function_name)
            OR function_name IN (SELECT function_name FROM duckdb_functions() WHERE internal))
"""
