"""Formulas as people write them: in the tables, and in conditions in any order.

Of a condition only the literals compared with a formula change, so that it reaches the tables as plain filters do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmat.materials.formula import parse, pretty, reduced_formula
from mlmat.store.access.connection import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import duckdb

#: How each column writes a formula. Other columns of formulas are of cells: a multiple is another one.
SPELLED: dict[str, Callable[[Mapping[str, float]], str]] = {
    "formula": pretty,
    "chemical_formula_reduced": reduced_formula,
}
_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<other>[eExXbB]'(?:[^'\\]|\\.|'')*'|(?P<tag>\$\w*\$).*?(?P=tag))
    |(?P<text>'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")*"|[^\W\d]\w*)
    |(?P<sign>[<>=!|~^@&*/%+:-]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_EQUAL = ("=", "==", "<>", "!=")
_ENDS = (")", "]", ",", ";")
_BEGINS = ("(", "[", ",")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """An unquoted word in capitals, or the sign; nothing for texts and quoted names."""
        return "" if self.kind == "text" or self.text.startswith('"') else self.text.upper()

    @property
    def column(self) -> str:
        """The name of a column, in small letters."""
        return self.text.strip('"').lower() if self.kind == "name" else ""


def respelled(condition: str) -> str:
    """An SQL condition in which `formula = 'O2Si'` (or <>, IN, IS DISTINCT FROM) is `formula = 'SiO2'`."""
    for token, column in sorted(_compared(condition), key=lambda pair: -pair[0].start):
        amounts = parse(_value(token))
        if amounts:
            end = token.start + len(token.text)
            condition = f"{condition[: token.start]}'{SPELLED[column](amounts)}'{condition[end:]}"
    return condition


def compared_in(query: str) -> list[str]:
    """The texts that a query compares with formulas."""
    return [_value(token) for token, _ in _compared(query)]


def _value(token: _Token) -> str:
    return token.text[1:-1].replace("''", "'")


def _compared(text: str) -> Iterator[tuple[_Token, str]]:
    """Literals that are compared with a column of formulas, and the column."""
    found = _TOKEN.finditer(text)
    tokens = [_Token(m.lastgroup or "other", m[0], m.start()) for m in found if m.lastgroup != "skip"]
    tokens = [_Token("other", t.text, t.start) if t.kind == "tag" else t for t in tokens]
    for place, token in enumerate(tokens):
        if token.column in SPELLED:
            yield from ((one, token.column) for one in [*_before(tokens, place), *_after(tokens, place)])


def _before(tokens: list[_Token], place: int) -> list[_Token]:
    """The literal of `'SiO2' = s.formula`."""
    start = _start(tokens, place)
    if start < 2 or tokens[start - 1].text not in _EQUAL or tokens[start - 2].kind != "text":
        return []
    after = tokens[place + 1] if place + 1 < len(tokens) else None
    return [tokens[start - 2]] if _is_begin(tokens, start - 3) and _is_end(after) else []


def _after(tokens: list[_Token], place: int) -> list[_Token]:
    """The literals of `s.formula = 'SiO2'` and `s.formula IN ('SiO2', 'LiCoO2')`."""
    if not _is_begin(tokens, _start(tokens, place) - 1):
        return []
    rest = tokens[place + 1 :]
    words = [token.word for token in rest[:5]]
    if words[:1] and words[0] in _EQUAL:
        return _one(rest[1:])
    if words[:3] == ["IS", "DISTINCT", "FROM"] or words[:4] == ["IS", "NOT", "DISTINCT", "FROM"]:
        return _one(rest[words.index("FROM") + 1 :])
    if words[:2] == ["NOT", "IN"] or words[:1] == ["IN"]:
        return _listed(rest[words.index("IN") + 1 :])
    return []


def _start(tokens: list[_Token], place: int) -> int:
    """Where a name with its table's name before it begins."""
    while place >= 2 and tokens[place - 1].text == "." and tokens[place - 2].kind == "name":
        place -= 2
    return place


def _is_begin(tokens: list[_Token], place: int) -> bool:
    return place < 0 or tokens[place].text in _BEGINS or (tokens[place].kind == "name" and tokens[place].word != "")


def _is_end(token: _Token | None) -> bool:
    return token is None or token.text in _ENDS or (token.kind == "name" and token.word != "")


def _one(rest: list[_Token]) -> list[_Token]:
    return rest[:1] if rest and rest[0].kind == "text" and _is_end(rest[1] if len(rest) > 1 else None) else []


def _listed(rest: list[_Token]) -> list[_Token]:
    """The literals of a list in brackets that has nothing else."""
    if not rest or rest[0].text not in ("(", "["):
        return []
    found = []
    for token, after in zip(rest[1::2], rest[2::2], strict=False):
        if token.kind != "text":
            return []
        found.append(token)
        if after.text != ",":
            return found if after.text in (")", "]") else []
    return []


def fill(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Column `formula` of the rows that have none yet: those that an earlier version wrote."""
    import pyarrow as pa

    query = f"SELECT DISTINCT chemical_formula_reduced FROM {table} WHERE formula IS NULL"
    known = [text for (text,) in rows(con, query)]
    if not known:
        return
    written = [pretty(amounts) if (amounts := parse(text)) else text for text in known]
    con.register("written_formula", pa.table({"stored": known, "written": written}))
    con.execute(
        f"UPDATE {table} SET formula = w.written FROM written_formula AS w "
        f"WHERE {table}.formula IS NULL AND {table}.chemical_formula_reduced = w.stored"
    )
    con.unregister("written_formula")
