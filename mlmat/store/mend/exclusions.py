"""Tables `exclusion` and `exclusion_reach`: what somebody took out of hulls, rankings, reports and exports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.errors import StoreError
from mlmat.store.access.connection import rows
from mlmat.store.mend import named as names
from mlmat.store.tables.formulas import respelled
from mlmat.store.tables.results import add_row
from mlmat.store.tables.structures import condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

Item = tuple[str, str]
#: What counts as far as exclusions go: results of a method with an energy.
_COUNT = "SELECT count(DISTINCT result_id) FROM energies WHERE excluded IS NULL"


@dataclass(slots=True)
class Excluded:
    """What an exclude or include did.

    asked: how many structures, results and sources were meant, by kind; changed: those of them that were excluded or
    included now; the others were so before. structures, results: how many are out in all, after it; energies: by how
    many the energies that count became fewer (exclude) or more (include). others: for each that is still out although
    it was included, or never was out by itself, what to do.
    """

    asked: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    structures: int = 0
    results: int = 0
    energies: int = 0
    others: list[str] = field(default_factory=list)


def refresh(con: duckdb.DuckDBPyConnection) -> None:
    """Find anew what exclusions reach, where there are any. Every writer does so: files and results come and go."""
    held = "SELECT 1 FROM exclusion WHERE included_at IS NULL UNION ALL SELECT 1 FROM exclusion_reach"
    if rows(con, f"FROM ({held}) LIMIT 1"):
        con.execute("CREATE OR REPLACE TEMP TABLE new_reach AS FROM exclusions")
        con.execute("DELETE FROM exclusion_reach")
        con.execute("INSERT INTO exclusion_reach BY NAME FROM new_reach")


def items(
    con: duckdb.DuckDBPyConnection, named: Iterable[str], sources: Iterable[str], where: str | None, results: bool
) -> list[Item]:
    """Kind and id or path of everything that is meant, each once. Raises StoreError, for one that is not there."""
    found = [names.item(con, text) for text in named]
    found += [("source", names.source(con, text)) for text in sources]
    if where and results:
        query = f"SELECT DISTINCT result_id::VARCHAR FROM phase WHERE ({respelled(where)}\n) ORDER BY ALL"
        found += [("result", name) for (name,) in rows(con, query)]
    elif where:
        query = f"SELECT structure_id FROM structure {condition(where)} ORDER BY ALL"
        found += [("structure", name) for (name,) in rows(con, query)]
    return list(dict.fromkeys(found))


def exclude(con: duckdb.DuckDBPyConnection, found: list[Item], why: str) -> Excluded:
    """Take these out. What is out already keeps its reason."""
    before, held = rows(con, _COUNT)[0][0], _held(con)
    new = [one for one in found if one not in held]
    about = {"user_name": provenance.user_name(), "host": provenance.host(), "excluded_at": provenance.now()}
    _insert(con, new, {"why": provenance.clean(why), **about})
    return _done(con, found, new, before)


def include(con: duckdb.DuckDBPyConnection, found: list[Item]) -> Excluded:
    """Let these count again; the rows of their exclusions stay, with who did it and when."""
    before, held = rows(con, _COUNT)[0][0], _held(con)
    back = [one for one in found if one in held]
    con.execute("CREATE OR REPLACE TEMP TABLE back (kind VARCHAR, item VARCHAR)")
    if back:
        con.executemany("INSERT INTO back VALUES (?, ?)", [list(one) for one in back])
    con.execute(
        "UPDATE exclusion SET included_at = $1, included_by = $2 FROM back "
        "WHERE exclusion.kind = back.kind AND exclusion.item = back.item AND included_at IS NULL",
        [provenance.now(), provenance.user_name()],
    )
    done = _done(con, found, back, before)
    done.energies = -done.energies
    done.others = _still_out(con, found)
    return done


def _insert(con: duckdb.DuckDBPyConnection, new: list[Item], about: dict[str, object]) -> None:
    import pyarrow as pa

    if len(new) == 1:
        add_row(con, "exclusion", {"exclusion_id": provenance.new_id(), "kind": new[0][0], "item": new[0][1], **about})
    elif new:
        columns = [[provenance.new_id() for _ in new], [kind for kind, _ in new], [name for _, name in new]]
        con.register("new_items", pa.table(columns, ["exclusion_id", "kind", "item"]))
        given = ", ".join(f"${name} AS {name}" for name in about)
        con.execute(f"INSERT INTO exclusion BY NAME SELECT *, {given} FROM new_items", about)


def _held(con: duckdb.DuckDBPyConnection) -> set[Item]:
    return set(rows(con, "SELECT kind, item FROM exclusion WHERE included_at IS NULL"))


def _done(con: duckdb.DuckDBPyConnection, found: list[Item], changed: list[Item], before: int) -> Excluded:
    refresh(con)
    structures, results = rows(con, "SELECT count(structure_id), count(result_id) FROM exclusion_reach")[0]
    return Excluded(_kinds(found), _kinds(changed), structures, results, before - rows(con, _COUNT)[0][0])


def _kinds(found: list[Item]) -> dict[str, int]:
    kinds = [kind for kind, _ in found]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _still_out(con: duckdb.DuckDBPyConnection, found: list[Item]) -> list[str]:
    """For structures and results that are out because of something else: because of what."""
    query = """
        SELECT coalesce(x.structure_id, x.result_id::VARCHAR), h.kind, h.item FROM exclusion_reach AS x
        JOIN exclusion AS h USING (exclusion_id)
    """
    because = {name: (kind, item) for name, kind, item in rows(con, query)}
    return [
        f"{name} is still out, because of the {because[name][0]} {because[name][1]}"
        for _, name in found
        if name in because
    ]


def check_why(why: str) -> str:
    """A reason, which there has to be. Raises StoreError."""
    if not why.strip():
        raise StoreError("say why: the reason stands beside what is excluded (mlmat reduce excluded)")
    return why.strip()
