"""The class behind `store.asedb()`; what it promises stands in `mlmat.asedb.interface`."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ase.db.core import Database, check, now, parse_selection
from ase.db.row import AtomsRow
from ase.parallel import parallel_function

from mlmat import provenance
from mlmat.asedb import row as ase_row
from mlmat.asedb import write
from mlmat.asedb.fetch import fetch
from mlmat.asedb.select import Selection
from mlmat.asedb.tables import GIVEN, Runners, only_computed, rows_sql
from mlmat.errors import UsageError
from mlmat.store.access.connection import rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from mlmat.store import Store

#: Rows that one read of an iteration takes, that one transaction of `with db:` writes, and ids that it takes first.
CHUNK, BATCH, AHEAD = 1_000, 5_000, 50


class AseDatabase(Database):  # type: ignore[misc]
    """An `ase.db.core.Database` over a store."""

    type = "duckdb"

    def __init__(self, store: Store, method: str | None = None, *, create: bool = False, serial: bool = False) -> None:
        """The rows with the results of one method, or as `mlmat.asedb.interface` says; create: make a missing file.

        Raises UsageError for a method that the store does not have.
        """
        super().__init__(str(store.path), serial=serial)
        self.store, self._create = store, create
        self._method = store.find_method(method) if method else None
        self._run = provenance.new_run("asedb")
        self._waiting: dict[int, dict[str, Any]] = {}
        self._notes: dict[int, dict[str, Any]] = {}
        self._ahead: list[int] = []
        self._step = AHEAD
        self._last: Any = None
        self._batching = False

    def __repr__(self) -> str:
        return f"<ase.db face of {self.store!r}>"

    # -- transactions ----------------------------------------------------------------------------

    def __enter__(self) -> AseDatabase:
        assert not self._batching, "with db: cannot be nested"
        self._batching = True
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._batching = False
        if kind is None:
            self._flush()
        self._waiting, self._notes = {}, {}

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction, with what waits written first."""
        if self._create:
            self.store.create()
        waiting, notes = list(self._waiting.values()), list(self._notes.values())
        self._waiting, self._notes = {}, {}
        with self.store._writing() as con:
            write.note_run(con, self._run)
            write.put(con, waiting, self._run["run_id"])
            write.annotate(con, notes)
            yield con

    def _flush(self) -> None:
        if self._waiting or self._notes:
            with self._writing():
                pass

    def _flush_many(self) -> None:
        if not self._batching or len(self._waiting) + len(self._notes) >= BATCH:
            self._flush()

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._create:
            self.store.create()
        with self.store._reading() as con:
            yield con

    # -- reading ---------------------------------------------------------------------------------

    def _whose(self, con: duckdb.DuckDBPyConnection) -> str | None:
        """The method whose results the rows have; None for the latest of several."""
        return self._method or only_computed(con)

    def _select(
        self,
        keys: Sequence[str],
        cmps: Sequence[Any],
        explain: bool = False,
        verbosity: int = 0,
        limit: int | None = None,
        offset: int = 0,
        sort: str | None = None,
        include_data: bool = True,
        columns: Any = "all",
    ) -> Iterator[Any]:
        """Rows in the order asked for, a thousand with each opening of the file; whole ones, whatever columns says."""
        self._flush()
        with self._reading() as con:
            runners, method = Runners(con), self._whose(con)
            selection = Selection(runners, keys, cmps, method)
            query = ("EXPLAIN " if explain else "") + selection.rows(sort, limit, offset)
            if verbosity == 2:
                print(query, selection.parameters)
            plan = con.sql(query, params=selection.parameters).to_arrow_table()
            found = [] if explain else fetch(con, plan.slice(0, CHUNK), method, runners, data=include_data)
        if explain:
            yield from ({"explain": tuple(row.values())} for row in plan.to_pylist())
            return
        yield from map(_row, found)
        for start in range(CHUNK, len(plan), CHUNK):
            with self._reading() as con:
                found = fetch(con, plan.slice(start, CHUNK), method, Runners(con), data=include_data)
            yield from map(_row, found)

    def _get_row(self, id: int) -> Any:
        """One row by its number, with what waits to be written. Raises KeyError."""
        self._last = None
        if id in self._waiting:
            return _row(write.unwritten(self._waiting[id]))
        with self._reading() as con:
            runners, method = Runners(con), self._whose(con)
            selection = Selection(runners, [], [("id", "=", id)], method)
            plan = con.sql(selection.rows(), params=selection.parameters).to_arrow_table()
            found = fetch(con, plan, method, runners)
        if not found:
            raise KeyError(f"no row {id}")
        self._last = _row(write.with_note(found[0], self._notes.get(id)))
        return self._last

    @parallel_function  # type: ignore[untyped-decorator]
    def count(self, selection: Any = None, **kwargs: Any) -> int:
        """How many rows a selection finds; see select."""
        keys, cmps = parse_selection(selection, **kwargs)
        self._flush()
        with self._reading() as con:
            return self._count(con, keys, cmps)

    def _count(self, con: duckdb.DuckDBPyConnection, keys: Sequence[str], cmps: Sequence[Any]) -> int:
        selection = Selection(Runners(con), keys, cmps, self._whose(con))
        return int(rows(con, selection.count(), selection.parameters)[0][0])

    def get_all_key_names(self) -> set[str]:
        """Keys of all key-value pairs."""
        self._flush()
        query = "SELECT unnest(map_keys(key_values)) FROM ase_row UNION SELECT unnest(map_keys(key_values)) FROM source"
        with self._reading() as con:
            runners = Runners(con)
            given = GIVEN if rows(con, f"SELECT 1 FROM ({rows_sql()}) WHERE NOT written LIMIT 1") else ()
            said = {key for (key,) in rows(con, query) if ase_row.is_key(key)}
        return said.union(given, *(runners.scalars(runner) for runner in runners.types))

    # -- writing ---------------------------------------------------------------------------------

    def _write(self, atoms: Any, key_value_pairs: Mapping[str, Any], data: Any, id: int | None = None) -> int:
        row, pairs, tables = self._to_write(atoms, key_value_pairs, new=id is None)
        if id is not None:
            pairs = self._own_pairs(self._replaced(id), pairs)
        columns = ase_row.to_columns(row, pairs, data or row._data, tables) | {"mtime": now()}
        columns["made"] = ase_row.to_structure(columns)  # the space group takes its time: not while others wait
        if id is None and not self._batching:
            with self._writing() as con:
                return write.put(con, [columns], self._run["run_id"])[0]
        number = int(id) if id is not None else self._take_id()
        self._waiting[number] = columns | {"id": number}
        self._notes.pop(number, None)
        self._flush_many()
        return number

    def _to_write(
        self, atoms: Any, key_value_pairs: Mapping[str, Any], *, new: bool
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Row, pairs and external tables, checked as ASE does. Raises ValueError."""
        pairs = dict(key_value_pairs)
        tables = dict(pairs.pop("external_tables", {}))
        check(pairs)
        ase_row.check_tables(tables)
        if isinstance(atoms, AtomsRow):
            row, tables = atoms, {**getattr(atoms, "_tables", {}), **tables}
        else:
            row = AtomsRow(atoms)
            row.ctime, row.user = now(), os.getenv("USER")
        return row, pairs if pairs or tables or not new else row.key_value_pairs, tables

    def _replaced(self, id: int) -> Any:
        """The row whose place new atoms take. Raises KeyError, UsageError."""
        row = self._get_row(id)
        if not row._written:
            raise UsageError(f"row {id} came from a file or a runner and cannot be written over; write a new row")
        return row

    def _take_id(self) -> int:
        """A number for a row that will be written later; many rows take more at a time."""
        if not self._ahead:
            if self._create:
                self.store.create()
            with self.store._writing() as con:
                self._ahead = write.new_ids(con, self._step)
            self._step = min(self._step * 4, BATCH)
        return self._ahead.pop(0)

    def _own_pairs(self, row: Any, pairs: Mapping[str, Any]) -> dict[str, Any]:
        """The pairs that are the row's own, out of all of them. Raises UsageError where a given one was changed."""
        given = {key: value for key, value in row._given.items() if key not in row._own}
        for key, value in given.items():
            if key not in pairs or ase_row.as_text(pairs[key]) != ase_row.as_text(value):
                raise UsageError(
                    f"row {row.id}: {key} comes from a file or a result and cannot be changed here; take another key"
                )
        return {key: value for key, value in pairs.items() if key not in given}

    def _update(self, id: int, key_value_pairs: Mapping[str, Any], data: Any = None) -> int:
        # ASE's update has just read it.
        row = self._last if self._last is not None and self._last.id == id else self._get_row(id)
        self._last, pairs = None, dict(key_value_pairs)
        tables = dict(pairs.pop("external_tables", {}))
        ase_row.check_tables(tables)
        note = write.note(row, self._own_pairs(row, pairs), data, tables)
        if id in self._waiting:
            self._waiting[id] |= {key: value for key, value in note.items() if value is not None}
        else:
            self._notes[id] = self._notes.get(id, {}) | {key: value for key, value in note.items() if value is not None}
        self._flush_many()
        return id

    @parallel_function  # type: ignore[untyped-decorator]
    def reserve(self, **key_value_pairs: Any) -> int | None:
        """The id of a new empty row with these pairs; None where a row has them. Nobody can come in between."""
        from ase import Atoms

        cmps = [(key, "=", value) for key, value in key_value_pairs.items()]
        pairs = dict(key_value_pairs)
        name = pairs.pop("calculator", None)
        row, pairs, tables = self._to_write(Atoms(), pairs, new=True)
        if name:
            row.calculator, row.calculator_parameters = name, {}
        with self._writing() as con:
            if self._count(con, [], cmps):
                return None
            columns = ase_row.to_columns(row, pairs, {}, tables) | {"mtime": now(), "made": None}
            return write.put(con, [columns], self._run["run_id"])[0]

    @parallel_function  # type: ignore[untyped-decorator]
    def delete(self, ids: Sequence[int]) -> None:
        """Delete rows that were written through the face. Raises UsageError for others; unknown ids are passed over."""
        numbers = [int(number) for number in ids]
        if not numbers:
            return
        with self._writing() as con:
            query = f"SELECT id FROM ({rows_sql()}) WHERE NOT written AND id IN (SELECT unnest(?::BIGINT[])) LIMIT 1"
            for (number,) in rows(con, query, [numbers]):
                raise UsageError(f"row {number} came from a file or a runner: it cannot be deleted here")
            write.remove(con, numbers, self._run["run_id"])

    # -- metadata --------------------------------------------------------------------------------

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata of the database, as ASE keeps it: titles, descriptions of keys."""
        with self._reading() as con:
            found = rows(con, "SELECT value FROM ase_metadata")
        return dict(json.loads(found[0][0])) if found else {}

    @metadata.setter
    def metadata(self, dct: Mapping[str, Any]) -> None:
        text = json.dumps(dct)
        with self._writing() as con:
            con.execute("DELETE FROM ase_metadata")
            con.execute("INSERT INTO ase_metadata VALUES (?)", [text])


def _row(found: dict[str, Any]) -> Any:
    """An `AtomsRow` that knows which of its pairs are its own."""
    about = {key: found.pop(key) for key in ("given", "own", "tables", "written", "structure_id")}
    row = AtomsRow({**found, **about["tables"], "key_value_pairs": {**about["given"], **about["own"]}})
    row._given, row._own, row._tables = about["given"], about["own"], about["tables"]
    row._written, row._structure_id = about["written"], about["structure_id"]
    return row
