"""Typed columns: of the fixed tables, and of the table that each runner gets for what it returns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlmat.store.access.connection import rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb
    import pyarrow as pa

TABLES = frozenset(
    {"source", "structure", "method", "run", "result", "produced", "ase_row", "ase_metadata"}
    | {"entry", "import_row", "hull_row", "hull_system", "mixture", "repeated", "same_crystal"}
    | {"expected_error", "unfit_element", "reference_polymorph", "corrected", "exclusion", "exclusion_reach"}
)
#: Names that a runner cannot have: its view would hide one of ours, or of the reductions to come.
RESERVED = TABLES | {
    "mlmat_schema",
    "imported",
    "formation_energy",
    "hull",
    "candidates",
    "stability",
    "same_crystal",
    "report",
    "entries",
}
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
_WIDE = {"UBIGINT", "HUGEINT"}
_ARRAY = re.compile(r"(.+)\[(\d*)\]")
#: Comment of a column that the runner did not declare.
UNDECLARED = "As the runner returned it; it declares no unit"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def types(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Name and SQL type of each column of a table, view or registered Arrow table."""
    return {name: kind for name, kind, *_ in rows(con, f"DESCRIBE {quoted(relation)}")}


def empty_like(con: duckdb.DuckDBPyConnection, name: str, table: str) -> None:
    """Make a temporary table with the columns of another one.

    Not by CREATE TABLE AS with LIMIT 0: behind an insert of no rows, DuckDB 2.0.0 hides one of more than 122,880 rows
    in the same transaction.
    """
    columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in types(con, table).items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} ({columns})")


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


def one_spelling(tables: Iterable[pa.Table]) -> list[pa.Table]:
    """Tables whose columns are called alike where only upper and lower case differ, as SQL sees them."""
    known: dict[str, str] = {}
    for table in tables:
        for name in table.column_names:
            known.setdefault(name.lower(), name)
    return [_respelled(table, known) for table in tables]


def _either(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.ChunkedArray:
    """One column of two, where one row said E and another e."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if first.type != second.type:
        first, second = first.cast(pa.string()), second.cast(pa.string())
    return pc.coalesce(first, second)


def _respelled(table: pa.Table, known: Mapping[str, str]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, pa.ChunkedArray] = {}
    for name, values in zip(table.column_names, table.columns, strict=True):
        spelled = known[name.lower()]
        columns[spelled] = _either(columns[spelled], values) if spelled in columns else values
    return pa.table(columns)


def fit_table(
    con: duckdb.DuckDBPyConnection,
    runner: str,
    offered: Iterable[tuple[str, str]],
    declared: Mapping[str, str],
    described: dict[str, Mapping[str, str]],
) -> str:
    """Make or widen table `result_RUNNER` so that columns of these names and types fit without loss; its name.

    described: what each runner declared when its comments and view were last found complete; looking costs as much as
    a small merge.
    """
    table = f"result_{runner}"
    con.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table)} (result_id UUID NOT NULL)")
    have = {name.lower(): (name, kind) for name, kind in types(con, table).items()}
    changed = False
    for name, kind in [*offered, *((name, parse_declaration(text)[0]) for name, text in declared.items())]:
        if name == "result_id" or _is_null(kind):
            continue
        known, old = have.get(name.lower(), (name, None))
        wider = widened(old, kind) if old else kind
        if old is None:
            con.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
        elif wider != old:
            con.execute(f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(known)} TYPE {wider}")
        changed |= wider != old
        have[name.lower()] = (known, types(con, table)[known])
    if changed or described.get(runner) != declared:
        if _comment(con, table, declared) or changed or not has_view(con, runner):
            make_view(con, runner)
        else:
            described[runner] = declared
    return table


def widened(have: str, new: str) -> str:
    """The narrowest type that holds both without loss."""
    if have == new or _is_null(new):
        return have
    if _is_null(have):
        return new
    mine, theirs = _ARRAY.fullmatch(have), _ARRAY.fullmatch(new)
    if mine and theirs:
        size = mine[2] if mine[2] == theirs[2] else ""
        return f"{widened(mine[1], theirs[1])}[{size}]"
    if have in _INTEGERS and new in _INTEGERS:
        return "HUGEINT" if {have, new} & _WIDE else "BIGINT"
    if have in _NUMBERS and new in _NUMBERS:
        return "DOUBLE"
    return "VARCHAR"


def _is_null(kind: str) -> bool:
    return kind in {'"NULL"', "NULL"}


def comments_of(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Comment of each column that has one."""
    query = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ? AND comment IS NOT NULL"
    return dict(rows(con, query, [relation]))


def set_comments(con: duckdb.DuckDBPyConnection, relation: str, comments: Mapping[str, str]) -> None:
    """COMMENT ON each of these columns."""
    for name, text in comments.items():
        con.execute(f"COMMENT ON COLUMN {quoted(relation)}.{quoted(name)} IS {_text(text)}")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _comment(con: duckdb.DuckDBPyConnection, table: str, declared: Mapping[str, str]) -> bool:
    """Give every column of a runner's table its comment; whether any is new."""
    declarations = {name.lower(): parse_declaration(text)[1] for name, text in declared.items()}
    have = comments_of(con, table)
    wanted = {name: declarations.get(name.lower()) or have.get(name) or UNDECLARED for name in types(con, table)}
    wanted["result_id"] = "The result these values belong to"
    new = {name: text for name, text in wanted.items() if have.get(name) != text}
    set_comments(con, table, new)
    if new:
        con.execute(f"COMMENT ON TABLE {quoted(table)} IS {_text('What the runner returned, a row per ok result')}")
    return bool(new)


def inherit_comments(con: duckdb.DuckDBPyConnection, view: str) -> None:
    """Columns of a view that have no comment get that of the table's column of their name."""
    known: dict[str, str] = {}
    for table in ("run", "method", "source", "structure", "result"):
        known |= comments_of(con, table)
    have = comments_of(con, view)
    set_comments(con, view, {n: known[n] for n in types(con, view) if n in known and n not in have})


def has_view(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a view of this name exists."""
    return bool(rows(con, "SELECT 1 FROM duckdb_views() WHERE view_name = ?", [name]))


_VIEW_COLUMNS = {
    "structure_id": "r.structure_id",
    "formula": "s.formula",
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
    "formula": "Reduced formula, elements in order of electronegativity",
    "space_group": "Hermann-Mauguin symbol of the structure handed in",
    "energy_per_atom": "Energy per atom in eV",
}
#: What runner views are made of: a store whose views were made of something else gets new ones.
VIEW_RECIPE = repr((_VIEW_COLUMNS, _VIEW_TAIL, _VIEW_COMMENTS))


def make_view(con: duckdb.DuckDBPyConnection, runner: str) -> None:
    """View RUNNER: the current ok results of this runner with their structures, all columns typed."""
    table = f"result_{runner}"
    own = [name for name in types(con, table) if name != "result_id"]
    taken = {name.lower() for name in own}
    ours = {n: e for n, e in _VIEW_COLUMNS.items() if n not in taken}
    tail = {n: e for n, e in _VIEW_TAIL.items() if n not in taken}
    select = [f"{e} AS {quoted(n)}" for n, e in ours.items()]
    select += [f"v.{quoted(n)}" for n in own]
    select += [f"{e} AS {quoted(n)}" for n, e in tail.items()]
    con.execute(
        f"CREATE OR REPLACE VIEW {quoted(runner)} AS SELECT {', '.join(select)} FROM {quoted(table)} AS v "
        "JOIN current_result AS r USING (result_id) JOIN method AS m USING (method_id) "
        "LEFT JOIN structure AS s ON s.structure_id = r.structure_id WHERE r.status = 'ok'"
    )
    con.execute(f"COMMENT ON VIEW {quoted(runner)} IS {_text(f'Current ok results of runner {runner}')}")
    theirs = {name: text for name, text in comments_of(con, table).items() if name in own}
    set_comments(con, runner, theirs | {n: c for n, c in _VIEW_COMMENTS.items() if n in ours})
    inherit_comments(con, runner)


def runner_tables(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the runners that have a table."""
    found = rows(con, "SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, 'result_') ORDER BY ALL")
    return [name.removeprefix("result_") for (name,) in found]


def runner_name(name: str) -> str:
    """A runner's name as a table name: letters, digits and _."""
    clean = re.sub(r"\W+", "_", name).strip("_").lower() or "runner"
    return f"runner_{clean}" if clean[0].isdigit() else clean
