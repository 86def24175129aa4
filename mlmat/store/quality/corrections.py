"""Derived methods (`mlmat correct`): what table `corrected` lacks, what it is computed from, how it is written.

A derived method has no results of its own: the view `energies` adds to each raw result what `corrected` says.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from mlmat.corrections import Crystal, Uncorrectable, corrections
from mlmat.errors import UsageError
from mlmat.store.access.connection import rows
from mlmat.store.quality.schemes import describe
from mlmat.store.tables.columns import insert
from mlmat.store.tables.results import add_row, find_method, is_taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

RUNNER, VERSION = "corrected", "1"
#: What is known of the raw method.
_RAW = (
    "method_id",
    "method",
    "scheme",
    "dispersion",
    "derived_from",
    "model_name",
    "model_sha256",
    "dtype",
    "trained_on",
)


def derive(con: duckdb.DuckDBPyConnection, text: str, scheme: str) -> str:
    """Make the method that corrects another one, given by name or id; its id. Raises UsageError."""
    query = f"SELECT {', '.join(_RAW)} FROM method WHERE method_id = ?"
    raw = dict(zip(_RAW, rows(con, query, [find_method(con, text)])[0], strict=True))
    correction = _fitting(raw, scheme)
    settings = {"corrections": correction.NAME.name, "of": raw["method_id"]}
    identity = json.dumps([RUNNER, VERSION, settings]).encode()
    row = {
        "method_id": hashlib.sha256(identity).hexdigest()[:10],
        "method": f"{raw['method']} {correction.NAME.name}",
        "runner": RUNNER,
        "runner_version": VERSION,
        "settings": settings,
        "derived_from": raw["method_id"],
        **{name: raw[name] for name in ("model_name", "model_sha256", "dtype")},
    }
    row["method"] = _free_name(con, row["method"], row["method_id"])
    _register(con, row)
    describe(con, row["method_id"], {**correction.NAME.columns(), "trained_on": raw["trained_on"]})
    return str(row["method_id"])


def _fitting(raw: Mapping[str, Any], scheme: str) -> Any:
    """The correction of this name, where it may be applied to a method. Raises UsageError."""
    known = {name.lower(): one for name, one in corrections().items()}
    if (correction := known.get(scheme.strip().lower())) is None:
        raise UsageError(f"no corrections {scheme!r}; there are {', '.join(corrections())}")
    of, takes, leads = raw["scheme"], correction.TAKES.name, correction.NAME.name
    if raw["derived_from"] or of == leads:
        raise UsageError(f"{raw['method']} is corrected already: its scheme is {of}")
    if of is None:
        raise UsageError(
            f"the scheme of {raw['method']} is not known, and {leads} is right for {takes} alone; if it is that, say "
            "so: mlmat models add … --scheme, import-results --scheme, or the attribute scheme of the runner"
        )
    if raw["dispersion"] not in (None, "none"):
        raise UsageError(f"{raw['method']} holds a dispersion correction ({of}): {leads} was fitted without one")
    if of != takes:
        raise UsageError(f"{leads} corrects {takes} alone; {raw['method']} is {of}: other settings need other figures")
    return correction


def _free_name(con: duckdb.DuckDBPyConnection, name: str, method_id: str) -> str:
    """This name, or with a word behind it where imported entries are called so."""
    mine = rows(con, "SELECT method FROM method WHERE method_id = ?", [method_id])
    names = [mine[0][0]] if mine else [name, f"{name} (corrected here)"]
    return next((one for one in names if not is_taken(con, one, method_id)), name)


def _register(con: duckdb.DuckDBPyConnection, row: Mapping[str, Any]) -> None:
    if is_taken(con, row["method"], row["method_id"]):
        raise UsageError(f"the store has a method or mixture {row['method']} already")
    if not rows(con, "SELECT 1 FROM method WHERE method_id = ?", [row["method_id"]]):
        # Not with the expected errors of the raw energies: what is added changes them.
        add_row(con, "method", row)


def summary(con: duckdb.DuckDBPyConnection, method_id: str) -> tuple[str, list[tuple[str | None, int]]]:
    """Name of a derived method, and how many current results are corrected (None) or are not, by reason."""
    name = rows(con, "SELECT method FROM method WHERE method_id = ?", [method_id])[0][0]
    query = """
        SELECT reason, count(*) FROM corrected SEMI JOIN current_result USING (result_id) WHERE method_id = ?
        GROUP BY reason ORDER BY reason NULLS FIRST
    """
    return name, rows(con, query, [method_id])


#: Whether it came with a row that says nothing of its scheme.
_SILENT = """r.result_id IN (
    SELECT result_id FROM import_row WHERE current AND outcome = 'imported' AND scheme IS NULL
)"""
#: Raw results that their derived method does not know yet.
_MISSING = """
    FROM result AS r JOIN method AS m ON m.derived_from = r.method_id
    ANTI JOIN corrected AS c ON c.method_id = m.method_id AND c.result_id = r.result_id
    WHERE r.status = 'ok' AND r.energy IS NOT NULL
"""


def missing(con: duckdb.DuckDBPyConnection) -> int:
    """Raw results that have not been corrected yet."""
    if not rows(con, "SELECT 1 FROM method WHERE derived_from IS NOT NULL LIMIT 1"):
        return 0
    return int(rows(con, f"SELECT count(*) {_MISSING}")[0][0])


def read(con: duckdb.DuckDBPyConnection, limit: int) -> list[dict[str, Any]]:
    """Some of them: derived method, result, its scheme, the cell that the energy is of, and what it holds already.

    The cell of a relaxation is the relaxed one. An entry's own composition counts, as in the view `phase`.
    """
    query = f"""
        WITH chosen AS (
            SELECT m.method_id, m.scheme, r.result_id, r.structure_id, r.correction AS held, {_SILENT} AS silent
            {_MISSING} LIMIT {limit:d}
        ),
        relaxed AS (
            SELECT result_id, any_value(structure_id) AS relaxed_id FROM produced
            WHERE role = 'relaxed' AND result_id IN (SELECT result_id FROM chosen) GROUP BY result_id
        )
        SELECT o.method_id, o.scheme, o.result_id::VARCHAR AS result_id, o.held, o.silent,
            coalesce(e.elements, s.elements) AS elements,
            coalesce(e.amounts, list_transform(s.elements_ratios, lambda x: round(x * s.nsites))) AS amounts,
            s.lattice_vectors::DOUBLE[][] AS cell, s.atomic_numbers::INTEGER[] AS numbers,
            s.cartesian_site_positions::DOUBLE[][] AS positions, s.dimension_types::INTEGER[] AS periods
        FROM chosen AS o
        LEFT JOIN relaxed AS x USING (result_id)
        LEFT JOIN structure AS s ON s.structure_id = coalesce(x.relaxed_id, o.structure_id)
        LEFT JOIN entry AS e USING (result_id)
    """
    found: list[dict[str, Any]] = con.sql(query).to_arrow_table().to_pylist()
    return found


def row_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """The row of table `corrected` for one raw result."""
    row = {"method_id": found["method_id"], "result_id": found["result_id"], "correction": None, "reason": None}
    try:
        row["correction"] = corrections()[found["scheme"]].correction(_crystal(found))
    except Uncorrectable as error:
        row["reason"] = str(error)
    except Exception as error:  # one odd cell must not keep all others from being corrected
        row["reason"] = f"{found['scheme']}: {type(error).__name__}: {' '.join(str(error).split()):.150}"
    return row


def _crystal(found: Mapping[str, Any]) -> Crystal:
    if found["held"]:
        raise Uncorrectable(f"its energy holds a correction of {found['held']:g} eV already")
    if found["silent"]:
        raise Uncorrectable("its row says nothing of its energy scheme: import it with --scheme, if it is known")
    if found["elements"] is None:
        raise Uncorrectable("neither its composition nor its structure is known")
    if found["periods"] is not None and sum(found["periods"]) < 3:
        raise Uncorrectable("not periodic in three directions")
    amounts = dict(zip(found["elements"], found["amounts"], strict=True))
    return Crystal(amounts, found["cell"], found["numbers"], found["positions"])


def write(con: duckdb.DuckDBPyConnection, found: Sequence[Mapping[str, Any]]) -> None:
    """Add rows to table `corrected`; another process may have been faster."""
    import pyarrow as pa

    names = ("method_id", "result_id", "reason")
    schema = pa.schema([*((name, pa.string()) for name in names), ("correction", pa.float64())])
    con.register("given_corrected", pa.Table.from_pylist(list(found), schema))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE new_corrected AS "
        "SELECT * REPLACE (result_id::UUID AS result_id) FROM given_corrected"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE new_corrected AS "
        "FROM new_corrected ANTI JOIN corrected USING (method_id, result_id)"
    )
    insert(con, "corrected", "new_corrected")
