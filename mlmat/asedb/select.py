"""Selections of ase.db as SQL: which rows, in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.asedb.row import is_key, is_real
from mlmat.asedb.tables import (
    GIVEN,
    YEARS,
    Runners,
    calculator_sql,
    history_sql,
    picked_sql,
    rows_sql,
    said_sql,
)
from mlmat.store.tables.columns import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXTS = {"user", "username", "calculator", "unique_id"}


class Selection:
    """One SQL statement for the keys and comparisons that ASE's `parse_selection` gives."""

    def __init__(self, runners: Runners, keys: Sequence[str], cmps: Sequence[Any], method: str | None = None) -> None:
        """Raises ValueError for a comparison that makes no sense."""
        self.runners, self.method = runners, method
        self.parameters: dict[str, Any] = {}
        self._joins: dict[str, str] = {}
        self._where = [self._has(key) for key in keys] + [self._compare(*cmp) for cmp in cmps]

    def count(self) -> str:
        """How many rows."""
        return f"SELECT count(*) FROM {self._tables()} WHERE {self._condition()}"

    def rows(self, sort: str | None = None, limit: int | None = None, offset: int = 0) -> str:
        """id, structure_id, written, own of the rows in order: without a sort that of the ids."""
        order = self._order(sort)
        bounds = (f" LIMIT {int(limit)}" if limit else "") + (f" OFFSET {int(offset)}" if offset else "")
        return (
            f"SELECT y.id, y.structure_id, y.written, y.own FROM {self._tables()} "
            f"WHERE {self._condition()} ORDER BY {order}{bounds}"
        )

    def _condition(self) -> str:
        return " AND ".join(f"({part})" for part in self._where) or "true"

    def _tables(self) -> str:
        if self.method and "p" in self._joins:
            self.parameters["method"] = self.method
        return f"({rows_sql()}) AS y " + " ".join(self._joins.values())

    def _order(self, sort: str | None) -> str:
        if not sort:
            return "y.id"
        direction = "DESC" if sort.startswith("-") else "ASC"
        key = sort.removeprefix("-")
        column = self._column(key)
        parts = [column] if column else [self._number(text := self._pair(key)), text]
        terms = [f"{part} {direction} NULLS LAST" for part in parts]
        return ", ".join([*terms, "y.id"])

    # -- conditions ------------------------------------------------------------------------------

    def _has(self, key: str) -> str:
        column = {"forces": "fmax", "strain": "smax"}.get(key, key)
        if column in {"energy", "fmax", "smax", "constraints", "calculator"}:
            return f"{self._column(column)} IS NOT NULL"
        return f"{self._pair(key.replace('-', ''))} IS {'' if '-' in key else 'NOT '}NULL"

    def _compare(self, key: Any, op: str, value: Any) -> str:
        if op not in {"=", "!=", "<", "<=", ">", ">="}:
            raise ValueError(f"{key}{op}{value}: no such comparison")
        if isinstance(key, int):
            if (op, value) == (">", 0):
                return f"list_contains(y.numbers, {key})"
            return f"len(list_filter(y.numbers, lambda z: z = {key})) {op} {self._given(float(value))}"
        if key == "pbc":
            value = sum(bit for bit, letter in zip((1, 2, 4), str(value), strict=False) if letter == "T")
        column = self._column(key)
        if column is None:
            return self._compare_pair(key, op, value)
        if key in _TEXTS:
            return f"{column} {op} {self._given(str(value))}"
        if not is_real(value):
            raise ValueError(f"{key}{op}{value}: {key} is a number")
        return f"{column} {op} {self._given(int(value) if isinstance(value, int) else float(value))}"

    def _compare_pair(self, key: str, op: str, value: Any) -> str:
        text = self._pair(key)
        if is_real(value):
            return f"{self._number(text)} {op} {self._given(float(value))}"
        is_text = f"{text} NOT IN ('True', 'False') AND TRY_CAST({text} AS DOUBLE) IS NULL"
        return f"{is_text} AND {text} {op} {self._given(str(value))}"

    def _given(self, value: Any) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    # -- columns ---------------------------------------------------------------------------------

    def _column(self, key: str) -> str | None:
        """The SQL of what ASE has a column for, with the tables that it needs; None for a key-value pair."""
        if key in {"id", "natoms", "pbc", "volume", "mass", "charge", "unique_id"}:
            return f"y.{key}"
        if key == "constraints":
            return "y.own_constraints"
        if key in {"ctime", "user", "username"}:
            self._join("h", f"({history_sql()})", "h.structure_id = y.structure_id AND NOT y.written")
            name = "ctime" if key == "ctime" else "user_name"
            return f"coalesce(y.{name}, h.{name})"
        if key == "mtime":
            found = YEARS.format(f"{self._result()}.finished_at")
            return f"coalesce(greatest(y.mtime, {found}), {self._column('ctime')})"
        return self._result_column(key)

    def _result_column(self, key: str) -> str | None:
        if key == "energy":
            return f"nullif(CASE WHEN y.own THEN y.own_energy ELSE {self._result()}.energy END, 'nan'::DOUBLE)"
        if key == "calculator":
            return f"CASE WHEN y.own THEN y.own_calculator ELSE {calculator_sql(self._method())} END"
        if key not in {"fmax", "smax", "magmom"}:
            return None
        values = self.runners.values_sql()
        if values is None:
            return f"y.own_{key}"
        self._join("v", f"({values})", f"v.result_id = {self._result()}.result_id")
        found = {
            "fmax": "sqrt(list_max(list_transform(v.forces, lambda f: f[1] * f[1] + f[2] * f[2] + f[3] * f[3])))",
            "smax": "list_max(list_transform(v.stress, lambda s: abs(s)))",
            "magmom": "v.magmom",
        }
        return f"CASE WHEN y.own THEN y.own_{key} ELSE {found[key]} END"

    def _join(self, alias: str, relation: str, on: str) -> str:
        self._joins.setdefault(alias, f"LEFT JOIN {relation} AS {alias} ON {on}")
        return alias

    def _result(self) -> str:
        return self._join("p", f"({picked_sql(self.method)})", "p.about = y.structure_id AND NOT y.own")

    def _method(self) -> str:
        return self._join("m", "method", f"m.method_id = {self._result()}.method_id")

    # -- key-value pairs -------------------------------------------------------------------------

    def _pair(self, key: str) -> str:
        """The value of a key as text, NULL where a row has none; the row's own goes before what results say."""
        name = _literal(key)
        parts = [f"y.key_values[{name}]", *self._given_pair(key)]
        for at, runner in enumerate(self.runners.types):
            if key in self.runners.scalars(runner):
                on = f"x{at}.result_id = {self._result()}.result_id"
                parts.append(_shown(f"{self._join(f'x{at}', quoted('result_' + runner), on)}.{quoted(key)}"))
        if is_key(key):
            self._join("k", f"({said_sql()})", "k.structure_id = y.structure_id AND NOT y.written")
            parts.append(_shown(f"k.key_values[{name}]"))
        return f"coalesce({', '.join(parts)}, NULL)"

    def _given_pair(self, key: str) -> list[str]:
        if key not in GIVEN:
            return []
        return [given_sql(key, self._result() if key == "converged" else "", self._method() if key == "method" else "")]

    @staticmethod
    def _number(text: str) -> str:
        return (
            f"CASE {text} WHEN 'True' THEN 1 WHEN 'False' THEN 0 "
            f"ELSE nullif(TRY_CAST({text} AS DOUBLE), 'nan'::DOUBLE) END"
        )


def given_sql(key: str, result: str, method: str) -> str:
    """A pair of `GIVEN` as text. An id that looks like a number would not be a text to ASE: it is left out."""
    shown = {
        "structure_id": "CASE WHEN NOT y.written AND TRY_CAST(y.structure_id AS DOUBLE) IS NULL "
        "THEN y.structure_id END",
        "space_group": "y.space_group_symbol",
        "space_group_number": "y.space_group_it_number::VARCHAR",
        "method": f"{method}.method",
        "converged": _shown(f"{result}.converged"),
    }
    return shown[key]


def _shown(column: str) -> str:
    """A value as Python writes it."""
    return f"CASE {column}::VARCHAR WHEN 'true' THEN 'True' WHEN 'false' THEN 'False' ELSE {column}::VARCHAR END"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
