"""Columns of table `method` that say what its energies are: they describe a method and are no part of its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.materials import schemes
from mlmat.store.access.connection import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

COLUMNS = ("scheme", "functional", "hubbard_u", "corrections", "dispersion", "trained_on")


def describe(con: duckdb.DuckDBPyConnection, method_id: str, known: Mapping[str, Any]) -> None:
    """Write what is known of a method's energies; what is not said stays as it is."""
    said = {name: known[name] for name in COLUMNS if known.get(name) is not None}
    if "scheme" in said:
        said = dict.fromkeys(COLUMNS[:5]) | said  # the parts of another scheme go with it
    if said:
        names = ", ".join(f"{name} = ?" for name in said)
        con.execute(f"UPDATE method SET {names} WHERE method_id = ?", [*said.values(), method_id])
        mark_different(con)


def mark_different(con: duckdb.DuckDBPyConnection) -> None:
    """Say of each mixture whether schemes differ in it: that of a method may become known after it was mixed."""
    con.execute(
        """
        UPDATE mixture SET different_schemes = s.differ
        FROM (
            SELECT x.method_id, count(DISTINCT m.scheme) > 1 AS differ
            FROM mixture AS x JOIN method AS m ON m.method_id = x.member_id GROUP BY x.method_id
        ) AS s
        WHERE s.method_id = mixture.method_id AND mixture.different_schemes IS DISTINCT FROM s.differ
        """
    )


def expect(con: duckdb.DuckDBPyConnection, method_id: str, errors: Mapping[str, float]) -> None:
    """Write the errors that somebody expects of a method, in eV/atom by quantity, in the place of earlier ones."""
    for quantity, error in errors.items():
        key = [method_id, quantity]
        con.execute(
            "DELETE FROM expected_error WHERE method_id = ? AND quantity = ? AND class = 'all' AND structures IS NULL",
            key,
        )
        con.execute(
            "INSERT INTO expected_error (method_id, quantity, class, error, source) "
            "VALUES (?, ?, 'all', ?, 'given at registration')",
            [*key, error],
        )


def recognise(con: duckdb.DuckDBPyConnection) -> None:
    """Say the scheme of methods of an older store whose model is known now."""
    query = "SELECT method_id, runner, model_name, model_sha256 FROM method WHERE scheme IS NULL"
    for method_id, runner, name, sha256 in rows(con, query):
        learned = schemes.BY_SHA256.get(sha256 or "")
        if learned is None and runner == "chgnet":
            learned = schemes.MODELS.get(name or "")
        if learned is not None:
            describe(con, method_id, learned.columns())


def scheme_of(con: duckdb.DuckDBPyConnection, method_id: str) -> str | None:
    """The scheme of a method; None where it is not known."""
    found = rows(con, "SELECT scheme FROM method WHERE method_id = ?", [method_id])
    return found[0][0] if found else None
