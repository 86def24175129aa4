"""Table `mixture`: methods whose results somebody wants to see in one hull."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mlmat.errors import UsageError
from mlmat.store._connection import rows
from mlmat.store._results import find_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


def put(con: duckdb.DuckDBPyConnection, name: str, methods: Sequence[str]) -> str:
    """Keep a mixture of methods, given by name or id, in the place of what had this name; its id. Raises UsageError."""
    check_name(con, name)
    members = [find_method(con, text) for text in methods]
    if len(set(members)) != len(members) or len(members) < 2:
        raise UsageError("a mixture is of two different methods or more")
    mixture_id = hashlib.sha256(json.dumps(["mixture", name, members]).encode()).hexdigest()[:10]
    _forget(con, name)
    con.executemany(
        "INSERT INTO mixture (method_id, method, place, member_id) VALUES (?, ?, ?, ?)",
        [[mixture_id, name, place, member] for place, member in enumerate(members, 1)],
    )
    return mixture_id


def listed(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The methods of each mixture, by its name."""
    query = """
        SELECT x.method, list(m.method ORDER BY x.place) FROM mixture AS x JOIN method AS m ON m.method_id = x.member_id
        GROUP BY x.method ORDER BY x.method
    """
    return dict(rows(con, query))


def drop(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Forget a mixture; the results of its methods stay. Raises UsageError where there is none of this name."""
    if not _forget(con, name):
        raise UsageError(f"no mixture {name!r} in this store")


def _forget(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    for table in ("hull_row", "hull_system"):
        con.execute(f"DELETE FROM {table} WHERE method_id IN (SELECT method_id FROM mixture WHERE method = ?)", [name])
    return bool(con.execute("DELETE FROM mixture WHERE method = ? RETURNING 1", [name]).fetchall())


def check_name(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """See that a mixture may have this name. Raises UsageError."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise UsageError("a mixture takes a name of 1 to 100 printable characters")
    if rows(con, "SELECT 1 FROM method WHERE $1 IN (method, runner, method_id)", [name]):
        raise UsageError(f"the store has a method or runner {name} already; give the mixture another name")
