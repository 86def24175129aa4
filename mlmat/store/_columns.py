"""Typed columns: of the fixed tables, and of the table that each runner gets for what it returns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlmat.store._connection import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

#: Names that a runner cannot have: its view would hide one of ours.
RESERVED = frozenset({"source", "structure", "method", "run", "result", "produced", "mlmat_schema"})
_INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
}
_NUMBERS = _INTEGERS | {"FLOAT", "DOUBLE"}


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def types(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Name and SQL type of each column of a table, view or registered Arrow table."""
    return {name: kind for name, kind, *_ in rows(con, f"DESCRIBE {quoted(relation)}")}


def insert(con: duckdb.DuckDBPyConnection, table: str, new: str) -> None:
    """Insert by name the columns that both have, cast to the table's types."""
    kinds, offered = types(con, table), types(con, new)
    theirs = {name.lower(): name for name in offered}
    names = [name for name in kinds if name.lower() in theirs]
    columns = ", ".join(quoted(n) for n in names)
    values = ", ".join(f"{quoted(theirs[n.lower()])}::{kinds[n]}" for n in names)
    con.execute(f"INSERT INTO {quoted(table)} ({columns}) SELECT {values} FROM {quoted(new)}")


def parse_declaration(text: str) -> tuple[str, str]:
    """SQL type and comment of a declaration such as `DOUBLE -- eV, total energy`."""
    kind, _, comment = text.partition("--")
    kind = kind.strip()
    return ("VARCHAR" if kind.upper() == "STRUCTURE" else kind), comment.strip()


def fit_table(con: duckdb.DuckDBPyConnection, runner: str, new: pa.Table, declared: Mapping[str, str]) -> str:
    """Make or widen table `result_RUNNER` so that the registered rows fit without loss; its name."""
    table = f"result_{runner}"
    con.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table)} (result_id UUID NOT NULL)")
    con.register("new_values", new)
    have = {name.lower(): (name, kind) for name, kind in types(con, table).items()}
    offered = {name: kind for name, kind in types(con, "new_values").items() if name != "result_id"}
    wanted = {name: parse_declaration(text)[0] for name, text in declared.items()}
    changed = False
    for name, kind in {**offered, **wanted}.items():
        if name.lower() not in have:
            con.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
            changed = True
            continue
        known, old = have[name.lower()]
        if (wider := widened(old, kind)) != old:
            con.execute(f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(known)} TYPE {wider}")
            changed = True
    if changed or not has_view(con, runner):
        _comment(con, table, declared)
        make_view(con, runner)
    return table


def widened(have: str, new: str) -> str:
    """The narrowest type that holds both without loss."""
    if have == new or new in {'"NULL"', "NULL"}:
        return have
    if have in _INTEGERS and new in _INTEGERS:
        return "BIGINT"
    if have in _NUMBERS and new in _NUMBERS:
        return "DOUBLE"
    if have.endswith("[]") and new.endswith("[]"):
        return widened(have[:-2], new[:-2]) + "[]"
    return "VARCHAR"


def _comment(con: duckdb.DuckDBPyConnection, table: str, declared: Mapping[str, str]) -> None:
    for name, text in declared.items():
        comment = parse_declaration(text)[1].replace("'", "''")
        con.execute(f"COMMENT ON COLUMN {quoted(table)}.{quoted(name)} IS '{comment}'")


def has_view(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a view of this name exists."""
    return bool(rows(con, "SELECT 1 FROM duckdb_views() WHERE view_name = ?", [name]))


_VIEW_COLUMNS = {
    "structure_id": "r.structure_id",
    "formula": "s.chemical_formula_reduced",
    "space_group": "s.space_group_symbol",
    "nsites": "s.nsites",
    "energy": "r.energy",
    "energy_per_atom": "r.energy / s.nsites",
    "converged": "r.converged",
}
_VIEW_TAIL = {
    "method": "m.method",
    "method_id": "r.method_id",
    "result_id": "r.result_id",
    "seconds": "r.seconds",
}
_VIEW_COMMENTS = {
    "structure_id": "The structure handed in",
    "formula": "Reduced formula",
    "energy": "Total energy of the cell in eV",
    "energy_per_atom": "Energy per atom in eV",
    "converged": "Whether it converged; NULL where the question makes no sense",
    "seconds": "Wall time in s; in a batch, its share of the batch",
}


def make_view(con: duckdb.DuckDBPyConnection, runner: str) -> None:
    """View RUNNER: the current ok results of this runner with their structures, all columns typed."""
    table = f"result_{runner}"
    own = [name for name in types(con, table) if name != "result_id"]
    ours = {n: e for n, e in _VIEW_COLUMNS.items() if n not in own}
    tail = {n: e for n, e in _VIEW_TAIL.items() if n not in own}
    select = [f"{e} AS {quoted(n)}" for n, e in ours.items()]
    select += [f"v.{quoted(n)}" for n in own]
    select += [f"{e} AS {quoted(n)}" for n, e in tail.items()]
    con.execute(
        f"CREATE OR REPLACE VIEW {quoted(runner)} AS SELECT {', '.join(select)} FROM {quoted(table)} AS v "
        "JOIN current_result AS r USING (result_id) JOIN method AS m USING (method_id) "
        "LEFT JOIN structure AS s ON s.structure_id = r.structure_id WHERE r.status = 'ok'"
    )
    con.execute(f"COMMENT ON VIEW {quoted(runner)} IS 'Current ok results of runner {runner}'")
    comments = dict(rows(con, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?", [table]))
    comments |= {n: c for n, c in _VIEW_COMMENTS.items() if n in ours or n in tail}
    for name, text in comments.items():
        if text and name in {*ours, *own, *tail}:
            con.execute(f"COMMENT ON COLUMN {quoted(runner)}.{quoted(name)} IS '{text.replace(chr(39), chr(39) * 2)}'")


def runner_name(name: str) -> str:
    """A runner's name as a table name: letters, digits and _."""
    clean = re.sub(r"\W+", "_", name).strip("_").lower() or "runner"
    return f"runner_{clean}" if clean[0].isdigit() else clean
