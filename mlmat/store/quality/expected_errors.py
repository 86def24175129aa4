"""Tables `expected_error` and `unfit_element`: what was measured of the models of a store's methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.materials import expected_errors
from mlmat.store.access.connection import rows

if TYPE_CHECKING:
    import duckdb


def note(con: duckdb.DuckDBPyConnection, method_id: str | None = None) -> None:
    """Write what is known of the model of a method, or of each, in the place of what was. What a user gave stays."""
    query = "SELECT method_id, model_sha256 FROM method WHERE method_id = coalesce(?, method_id)"
    for method, sha256 in rows(con, query, [method_id]):
        con.execute("DELETE FROM expected_error WHERE method_id = ? AND structures IS NOT NULL", [method])
        con.execute("DELETE FROM unfit_element WHERE method_id = ?", [method])
        for one in expected_errors.errors(sha256):
            con.execute(
                "INSERT INTO expected_error (method_id, quantity, class, error, structures, source) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [method, one.quantity, one.kind, one.error, one.structures, one.source],
            )
        for element, reason in expected_errors.unfit(sha256).items():
            con.execute("INSERT INTO unfit_element VALUES (?, ?, ?)", [method, element, reason])
