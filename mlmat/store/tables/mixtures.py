"""Table `mixture`: methods whose results somebody wants to see in one hull."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mlmat.errors import UsageError
from mlmat.store.access.connection import rows
from mlmat.store.quality.schemes import mark_different
from mlmat.store.tables.results import find_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


def put(con: duckdb.DuckDBPyConnection, name: str, methods: Sequence[str], different: bool = False) -> str:
    """Keep a mixture of methods, given by name or id, in the place of what had this name; its id.

    different: also of methods whose energy schemes differ. Raises UsageError.
    """
    check_name(con, name)
    members = [find_method(con, text) for text in methods]
    if len(set(members)) != len(members) or len(members) < 2:
        raise UsageError("a mixture is of two different methods or more")
    said = schemes_of(con, members)
    if len({scheme for _, scheme in said if scheme}) > 1 and not different:
        each = "; ".join(f"{method}: {scheme or 'unknown'}" for method, scheme in said)
        raise UsageError(
            f"their energies are of different schemes ({each}): a hull of them means nothing; correct one of them "
            "(mlmat correct), or insist with --different-schemes, and each row will say so"
        )
    mixture_id = hashlib.sha256(json.dumps(["mixture", name, members]).encode()).hexdigest()[:10]
    _forget(con, name)
    con.executemany(
        "INSERT INTO mixture (method_id, method, place, member_id) VALUES (?, ?, ?, ?)",
        [[mixture_id, name, place, member] for place, member in enumerate(members, 1)],
    )
    mark_different(con)
    return mixture_id


def schemes_of(con: duckdb.DuckDBPyConnection, members: Sequence[str]) -> list[tuple[str, str | None]]:
    """Name and scheme of methods, in the order of their ids as given."""
    known = {i: (method, scheme) for i, method, scheme in rows(con, "SELECT method_id, method, scheme FROM method")}
    return [known[member] for member in members]


def note(con: duckdb.DuckDBPyConnection, mixture_id: str) -> str | None:
    """What is to be known of the schemes of a mixture; None where all are known and the same."""
    query = "SELECT member_id FROM mixture WHERE method_id = ? ORDER BY place"
    said = schemes_of(con, [member for (member,) in rows(con, query, [mixture_id])])
    unknown = [method for method, scheme in said if scheme is None]
    if len({scheme for _, scheme in said if scheme}) > 1:
        return "different schemes: " + "; ".join(f"{method}: {scheme or 'unknown'}" for method, scheme in said)
    if unknown:
        return f"the scheme of {', '.join(unknown)} is not known: nobody can tell whether their energies fit together"
    return None


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
