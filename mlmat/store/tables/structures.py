"""Tables `source` and `structure`: what was ingested and what it became."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlmat.errors import StoreError
from mlmat.materials.formula import canonical
from mlmat.store.access.connection import rows
from mlmat.store.tables.columns import empty_like, insert
from mlmat.store.tables.formulas import fill as fill_formulas
from mlmat.store.tables.formulas import respelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb
    import pyarrow as pa
    from ase import Atoms

#: How the path of a row written through ase.db begins in table `source`; the number of the row follows.
ASEDB_PATH = "asedb:"
#: What a worker needs to build the atoms (Å, µB, e).
GEOMETRY = (
    "structure_id, nsites, lattice_vectors, cartesian_site_positions, atomic_numbers, dimension_types, "
    "initial_magnetic_moments, initial_charges, charge, spin_multiplicity"
)


def changed_files(con: duckdb.DuckDBPyConnection, files: pa.Table) -> list[str]:
    """Of the files (path, size, mtime_ns, column_read) those that the ledger does not hold as they are.

    A file that could not even be opened has no hash there: it is tried again, because permissions and disks recover. A
    container that was not read to its end has no time there, and is tried again, too. column_read: how `parser` ends
    where the column was read that is asked for; NULL for what is no table.
    """
    con.register("files", files)
    found = rows(
        con,
        """
        SELECT path FROM files
        ANTI JOIN (SELECT DISTINCT path, file_size, file_mtime_ns, parser FROM source
                   WHERE current AND (file_sha256 <> '' OR member IS NOT NULL)) AS s
        ON files.path = s.path AND files.size = s.file_size AND files.mtime_ns = s.file_mtime_ns
            AND (column_read IS NULL OR parser = column_read OR ends_with(parser, ', ' || column_read))
        """,
    )
    return [path for (path,) in found]


#: What a later reading of the same file must find again for its rows to stay. Who was first is not the file's matter.
_FINDINGS = """list(hash(
    block_index, block, file_sha256, parser, structure_id, warnings, chemical_formula, declared_formula, key_values,
    CASE WHEN member IS NULL THEN file_size END,
    CASE WHEN outcome NOT IN ('stored', 'duplicate') THEN [outcome, reason] END
) ORDER BY block_index)"""
#: A member, or '' for a file that is none, to compare with.
_MEMBER = "coalesce(member, '')"
#: A block for people: path, member and name. Standard input without a name has its hash as member, which tells nobody.
FILE = """CASE WHEN path = '-'
    THEN 'standard input' || coalesce(' (' || nullif(regexp_replace(member, '^[0-9a-f]{12}$', ''), '') || ')', '')
    ELSE path || coalesce('!' || member, '') END"""
PLACE = f"{FILE} || coalesce(' [' || nullif(block, '') || ']', '')"
#: In place of the time of a container that is being read: on the rows of this reading, and on those of earlier ones.
_READING, _BEFORE = -1, -2


def add(
    con: duckdb.DuckDBPyConnection,
    sources: pa.Table | None,
    structures: pa.Table | None,
    containers: pa.Table | None = None,
) -> list[tuple[str, int]]:
    """Write blocks and the structures they became; the number of blocks by outcome, and of files that did not change.

    Earlier rows of the same path, or of the same member of a container, are no longer current. Of the current blocks
    with one structure the oldest is `stored`, the others are `duplicate`s of it.

    sources: rows without `file_mtime_ns` are of containers; containers: how far each is (path, size, mtime_ns; begun:
    it was named in an earlier call; done: this is its last). A container gets its time at its end, so that one whose
    reading was cut off counts as changed, and rows of what it has no longer are not current from then on.
    """
    empty_like(con, "judged", "source")
    if sources is not None:
        con.register("new_sources", sources)
        insert(con, "judged", "new_sources")
        con.execute(f"UPDATE judged SET file_mtime_ns = {_READING} WHERE file_mtime_ns IS NULL")
    if containers is not None:
        con.register("containers", containers)
        con.execute(f"UPDATE source SET file_mtime_ns = {_BEFORE} WHERE current AND path IN "
                    "(SELECT path FROM containers WHERE NOT begun)")  # fmt: skip
    unchanged = _touch(con)
    _retire(con, containers is not None)
    if structures is not None:
        add_structures(con, structures)
    insert(con, "source", "judged")
    if containers is not None:
        con.execute(
            "UPDATE source SET file_mtime_ns = c.mtime_ns, file_size = c.size FROM containers AS c "
            f"WHERE c.done AND source.path = c.path AND current AND source.file_mtime_ns = {_READING}"
        )
    _say_who_was_first(con)
    found = rows(con, "SELECT outcome, count(*) FROM source SEMI JOIN judged USING (source_id) GROUP BY outcome")
    return [*found, *unchanged]


def _retire(con: duckdb.DuckDBPyConnection, containers: bool) -> None:
    """Rows that the judged ones replace are no longer current, nor those that a container has no more."""
    gone = f"""
        SELECT source_id, structure_id FROM source
        SEMI JOIN (SELECT path FROM judged WHERE member IS NULL AND file_mtime_ns <> {_READING}) USING (path)
        WHERE current
    """
    if rows(con, f"SELECT 1 FROM judged WHERE member IS NOT NULL OR file_mtime_ns = {_READING} LIMIT 1"):
        gone += f"""
            UNION SELECT source_id, structure_id FROM (SELECT *, {_MEMBER} AS m FROM source WHERE current)
            SEMI JOIN (SELECT path, {_MEMBER} AS m FROM judged) USING (path, m)
        """
    if containers:
        gone += f"""
            UNION SELECT source_id, structure_id FROM source SEMI JOIN (FROM containers WHERE done) USING (path)
            WHERE current AND file_mtime_ns = {_BEFORE}
        """
    con.execute(f"CREATE OR REPLACE TEMP TABLE gone AS {gone}")
    con.execute("UPDATE source SET current = false WHERE source_id IN (SELECT source_id FROM gone)")
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE affected AS
        SELECT structure_id FROM judged WHERE structure_id IS NOT NULL
        UNION SELECT structure_id FROM gone WHERE structure_id IS NOT NULL
        """
    )


def _say_who_was_first(con: duckdb.DuckDBPyConnection) -> None:
    """Outcome and reason of the blocks whose structure was gained or lost by another block just now."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE first AS
        SELECT structure_id, min(source_id) AS source_id,
            'same structure as ' || arg_min({PLACE}, source_id) AS text
        FROM source SEMI JOIN affected USING (structure_id)
        WHERE current AND outcome IN ('stored', 'duplicate')
        GROUP BY structure_id
        """
    )
    con.execute(
        """
        UPDATE source SET
            outcome = CASE WHEN source.source_id = first.source_id THEN 'stored' ELSE 'duplicate' END,
            reason = CASE WHEN source.source_id <> first.source_id THEN first.text END
        FROM first
        WHERE source.structure_id = first.structure_id AND source.current
            AND source.outcome IN ('stored', 'duplicate')
            AND CASE WHEN source.source_id = first.source_id THEN source.outcome <> 'stored'
                ELSE source.outcome <> 'duplicate' OR source.reason IS DISTINCT FROM first.text END
        """
    )


def take_out(con: duckdb.DuckDBPyConnection, going: str) -> None:
    """Delete the blocks whose ids are in a table. What is left of their files is read again, as if it had changed."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE affected AS SELECT DISTINCT structure_id, path FROM source "
        f"WHERE source_id IN (FROM {going})"
    )
    con.execute(f"DELETE FROM source WHERE source_id IN (FROM {going})")
    con.execute(f"UPDATE source SET file_mtime_ns = {_BEFORE} WHERE current AND path IN (SELECT path FROM affected)")
    con.execute("DELETE FROM affected WHERE structure_id IS NULL")
    _say_who_was_first(con)


def _touch(con: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    """Files and members in which nothing else was found than before: take over their time and leave their rows alone.

    How many files they are, and how many members.
    """
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        SELECT path, m, file_mtime_ns
        FROM (
            SELECT path, {_MEMBER} AS m, any_value(file_mtime_ns) AS file_mtime_ns, {_FINDINGS} AS found
            FROM judged GROUP BY path, {_MEMBER}
        )
        JOIN (
            SELECT path, m, {_FINDINGS} AS found
            FROM (SELECT *, {_MEMBER} AS m FROM source WHERE current)
            SEMI JOIN (SELECT path, {_MEMBER} AS m FROM judged) USING (path, m)
            GROUP BY path, m
        )
        USING (path, m, found)
        """
    )
    con.execute(
        "UPDATE source SET file_mtime_ns = t.file_mtime_ns FROM touched AS t "
        f"WHERE source.path = t.path AND {_MEMBER} = t.m AND current AND source.file_mtime_ns <> t.file_mtime_ns"
    )
    con.execute(f"DELETE FROM judged WHERE (path, {_MEMBER}) IN (SELECT (path, m) FROM touched)")
    count = f"SELECT count(*) FILTER (file_mtime_ns <> {_READING}), count(*) FROM touched"
    files, every = rows(con, count)[0]
    return [("unchanged", files), ("unchanged_members", every - files)]


def add_structures(con: duckdb.DuckDBPyConnection, structures: pa.Table) -> None:
    """Write the structures that are not there yet; the first description of an id stays."""
    con.register("new_structures", structures)
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE fresh AS
        SELECT * EXCLUDE (place)
        FROM (SELECT *, row_number() OVER () AS place FROM new_structures) ANTI JOIN structure USING (structure_id)
        QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY place) = 1
        ORDER BY place
        """
    )
    insert(con, "structure", "fresh")
    if "formula" not in structures.column_names:  # a worker or a journal of an earlier version
        fill_formulas(con, "structure")


def resolve(con: duckdb.DuckDBPyConnection, prefix: str) -> str:
    """The full id for an id or its unambiguous beginning. Raises StoreError."""
    text, prefix = prefix.strip(), prefix.strip().lower()
    formula = canonical(text)
    if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
        how = f"; mlmat show '{text}' lists those of this formula" if formula else ""
        raise StoreError(f"{text!r} is not a structure id: give at least 4 hexadecimal digits of one{how}")
    found = rows(con, "SELECT structure_id FROM structure WHERE starts_with(structure_id, ?) LIMIT 2", [prefix])
    if len(found) == 1:
        return str(found[0][0])
    if found:
        raise StoreError(f"several structures begin with {prefix}; give more digits")
    raise StoreError(f"no structure {prefix} in this store" + (f", and none of formula {formula}" if formula else ""))


def geometry(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> pa.Table:
    """What workers need of these structures, in the order given."""
    import pyarrow as pa

    con.register("wanted", pa.table({"structure_id": pa.array(ids, pa.string()), "place": range(len(ids))}))
    return con.sql(f"SELECT {GEOMETRY} FROM structure JOIN wanted USING (structure_id) ORDER BY place").to_arrow_table()


def matching(
    con: duckdb.DuckDBPyConnection, where: str | None, *, flagged: bool = False, produced: bool = False
) -> list[int]:
    """Numbers of the structures for which an SQL condition over `structure` and `source` holds."""
    origin = f"SELECT structure_id FROM source WHERE current AND outcome IN ({outcomes(flagged)})"
    if produced:
        origin += " UNION SELECT structure_id FROM produced"
    query = (
        f"SELECT id FROM (SELECT * FROM structure {condition(where)}) AS s "
        f"SEMI JOIN ({origin}) AS o USING (structure_id) ORDER BY id"
    )
    return [number for (number,) in rows(con, query)]


def numbered(con: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> pa.Table:
    """What `geometry` gives, of the structures with these numbers, in any order: nothing has to be sorted for it."""
    import pyarrow as pa

    con.register("wanted", pa.table({"id": pa.array(numbers, pa.int64())}))
    return con.sql(f"SELECT {GEOMETRY}, id FROM structure JOIN wanted USING (id)").to_arrow_table()


def outcomes(flagged: bool = False) -> str:
    """Outcomes whose structures are computed, as an SQL list."""
    return "'stored', 'duplicate'" + (", 'flagged'" if flagged else "")


def condition(where: str | None) -> str:
    """An SQL condition over `structure` and its current `source` rows as a WHERE clause over structure_id."""
    if not where:
        return ""
    return (
        "WHERE structure_id IN (SELECT structure.structure_id FROM (SELECT *, "
        "space_group_symbol AS space_group FROM structure) AS structure "
        "LEFT JOIN (SELECT * EXCLUDE (structure_id), structure_id AS source_structure_id FROM source WHERE current) "
        f"AS source ON source.source_structure_id = structure.structure_id WHERE ({respelled(where)}\n))"
    )


def atoms_of(table: pa.Table) -> Iterator[Atoms]:
    """The atoms of a geometry table, each with its id in `info`; by their numbers where the table has them."""
    from mlmat.materials.structure import from_table

    ids = table["structure_id"].to_pylist()
    order = table["id"].to_numpy().argsort().tolist() if "id" in table.column_names else range(len(ids))
    for i, atoms in zip(order, from_table(table, order), strict=True):
        atoms.info["structure_id"] = ids[i]
        yield atoms
