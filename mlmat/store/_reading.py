"""What a store answers: queries, reductions, structures. Nothing here writes, but `_before`: see `_stability`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.errors import QueryError, StoreError
from mlmat.materials.formula import canonical
from mlmat.store.access.bounds import Bounds, interruptible
from mlmat.store.mend.guard import one_answer
from mlmat.store.tables import about, consistency, import_rows, results, structures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from ase import Atoms
    from pymatgen.core import Structure

#: Structures that one read of an iteration takes: opening the store costs as much as two thousand of them.
CHUNK = 20_000


class Reading:
    """The reading half of `Store`."""

    @property
    def folder(self) -> Path:
        """The folder beside the file."""
        raise NotImplementedError

    def _reading(self, bounds: Bounds | None = None) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        raise NotImplementedError

    def _before(self, query: str, parameters: Any = None) -> None:
        raise NotImplementedError

    def sql(self, query: str, parameters: Any = None, **bounds: Any) -> pd.DataFrame:
        """The result of a read-only query as a DataFrame. Raises QueryError.

        SQL reaches no file, no network and no variable of Python, and is stopped after `timeout` seconds (600; None:
        never) or when it needs more than `memory` GB (half of what there is). trusted=True lets it read and write
        files and change settings, as a DuckDB shell may. One long call of a function inside SQL is not interrupted.
        """
        limits = Bounds(**bounds)
        self._before(query, parameters)
        with self._reading(limits) as con:
            return limits.run(con, lambda: to_pandas(limits.frame(con, _asked(con, query, parameters))))

    def arrow(self, query: str, parameters: Any = None, **bounds: Any) -> pa.Table:
        """The result of a read-only query as an Arrow table; bounds as in `sql`. Raises QueryError."""
        limits = Bounds(**bounds)
        self._before(query, parameters)
        with self._reading(limits) as con:
            return limits.run(con, lambda: limits.table(_asked(con, query, parameters)))

    def polars(self, query: str, parameters: Any = None, **bounds: Any) -> pl.DataFrame:
        """The result of a read-only query as a Polars DataFrame; bounds as in `sql`.

        Raises QueryError, and StoreError without polars.
        """
        try:
            import polars
        except ImportError:
            raise StoreError("polars is not installed: pip install polars, or take .arrow() or .sql()") from None
        frame = polars.from_arrow(self.arrow(query, parameters, **bounds))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def reduce(self, name: str) -> pd.DataFrame:
        """A reduction (a view: `ranking`, `failures`, a runner's name, …) as a DataFrame. Raises StoreError."""
        self._before(f"FROM {name}")
        with self._reading() as con:
            query = f"SELECT * FROM {results.check_reduction(con, name)}"
            return interruptible(con, lambda: to_pandas(con.execute(query)))

    def reduce_arrow(self, name: str) -> pa.Table:
        """A reduction as an Arrow table. Raises StoreError."""
        self._before(f"FROM {name}")
        with self._reading() as con:
            query = f"SELECT * FROM {results.check_reduction(con, name)}"
            table: pa.Table = interruptible(con, lambda: con.sql(query).to_arrow_table())
            return table

    def has_ok(self, method_id: str) -> bool:
        """Whether a method has computed something here."""
        with self._reading() as con:
            return results.has_ok(con, method_id)

    def columns(self, name: str) -> list[tuple[str, str, str]]:
        """Name, type and meaning (with unit) of the columns of a reduction or table. Raises StoreError."""
        with self._reading() as con:
            return results.describe(con, name)

    def reductions(self) -> list[tuple[str, str]]:
        """Name and meaning of every reduction."""
        with self._reading() as con:
            return results.relation_names(con)

    def atoms(self, structure_id: str) -> Atoms:
        """One structure, by its id or the unambiguous beginning of it, in the stored order and cell (Å)."""
        with self._reading() as con:
            full = structures.resolve(con, structure_id)
            table = structures.geometry(con, [full])
        return next(structures.atoms_of(table))

    def structure(self, structure_id: str) -> Structure:
        """One structure as a pymatgen Structure, by its id or the unambiguous beginning of it (Å).

        Initial moments and charges are site properties (magmom, charge). Raises StoreError.
        """
        from pymatgen.io.ase import AseAtomsAdaptor

        atoms = self.atoms(structure_id)
        del atoms.info["structure_id"]
        structure: Structure = AseAtomsAdaptor.get_structure(atoms)
        return structure

    def structures(self, where: str | None = None, *, flagged: bool = False, produced: bool = False) -> Iterator[Atoms]:
        """Iterate over the structures that files gave; where is SQL over the columns of `structure` and `source`.

        flagged, produced: those too that were flagged, that a runner returned (relaxed ones). Each `Atoms` carries its
        id in `info["structure_id"]`. They come in the order in which the store got them. It is open only while twenty
        thousand are read.
        """
        with self._reading() as con:
            numbers = structures.matching(con, where, flagged=flagged, produced=produced)
        for start in range(0, len(numbers), CHUNK):
            with self._reading() as con:
                table = structures.numbered(con, numbers[start : start + CHUNK])
            yield from structures.atoms_of(table)

    def geometry(self, ids: Sequence[str]) -> pa.Table:
        """Cell, positions and species of structures as an Arrow table, in the order of ids."""
        with self._reading() as con:
            return structures.geometry(con, ids)

    def cells(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Elements, their ratios and the number of atoms of the structures among these ids, by id."""
        with self._reading() as con:
            return import_rows.cells(con, ids)

    def show(self, some_id: str) -> dict[str, Any]:
        """All there is about one structure, or about one result by its id. Raises StoreError for an unknown id."""
        with self._reading() as con:
            return about.provenance_of(con, *about.named(con, some_id))

    def of_formula(self, text: str) -> pa.Table | None:
        """The structures of a formula in any order, or of a multiple of it; None where the text is no formula.

        Columns: structure_id, formula, space_group, nsites, volume_per_atom (Å³), file (the first one; NULL for what
        a runner returned).
        """
        formula = canonical(text)
        if formula is None:
            return None
        with self._reading() as con:
            return about.of_formula(con, formula)

    def violations(self) -> list[tuple[str, int, list[str]]]:
        """What should hold between the tables: each check, how many rows break it, and some of them."""
        with self._reading() as con:
            checks = consistency.checks(con)
        found = []
        for name, query in checks.items():
            with self._reading() as con:  # one at a time: writers wait for no more than that
                found.append((name, *consistency.broken(con, query)))
        return found

    def values_of(self, runner: str, result_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of a runner's table for these results, by column, with result_id as text."""
        with self._reading() as con:
            return results.values_of(con, runner, result_ids)

    def refused(self, files: Sequence[tuple[str, str | None]], limit: int) -> list[str]:
        """Why nothing in these files (path; member, or None for all) is a crystal, for some; none where one is."""
        with self._reading() as con:
            return about.refused(con, files, limit)


def _asked(con: duckdb.DuckDBPyConnection, query: str, parameters: Any) -> Any:
    """What a query answers, which is one. Raises QueryError."""
    one_answer(con, query)
    return answered(con.sql(query, params=parameters))


def answered(answer: Any) -> Any:
    """The answer of a statement. Raises QueryError where there is none."""
    if answer is None:
        raise QueryError("there is nothing to answer: the text holds no query, or one that returns no table")
    return answer


def to_pandas(answer: Any) -> pd.DataFrame:
    """An answer as a DataFrame: integers and booleans stay what they are beside NULL; a NULL text is `pd.NA`, not NaN.

    Sodium nitride's formula is NaN: a missing formula must not look like it.
    """
    import pandas as pd

    frame: pd.DataFrame = answer.df()
    texts = {name: pd.StringDtype(na_value=pd.NA) for name, kind in frame.dtypes.items() if kind == "str"}
    return frame.astype(texts)
