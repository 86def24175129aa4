"""Selections find the same rows in the same order as ASE's own SQLite database does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from effort import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlmat.asedb.interface import AseDatabase, connect

_rng = np.random.default_rng(5)


def _rows() -> list[tuple[Atoms, dict[str, Any]]]:
    """Molecules and crystals, with and without results, constraints, pairs."""
    made = [molecule(name) for name in ("H2O", "CH4", "O2", "H2", "LiH", "SiH4", "C2H6")]
    made += [bulk("Cu"), bulk("NaCl", "rocksalt", a=5.6), bulk("Fe") * (2, 1, 1), bulk("Li")]
    made += [bulk("SiC", "zincblende", a=4.4)]
    made += [Atoms(), Atoms("X"), Atoms("OH", pbc=(1, 0, 0), cell=[3, 0, 0]), made[0].copy(), made[7].copy()]
    return [(_with_results(atoms, n), _pairs(n)) for n, atoms in enumerate([*made, *(a.copy() for a in made)])]


def _with_results(atoms: Atoms, n: int) -> Atoms:
    found: dict[str, Any] = {"energy": float(n % 7) - 3}
    if len(atoms) and n % 2:
        found |= {"forces": _rng.integers(-2, 3, (len(atoms), 3)) / 2, "stress": np.arange(6) * n / 10}
    if n % 3 == 0:
        found["magmom"] = float(n % 4)
    if len(atoms) and n % 4 == 1:
        atoms.set_constraint(FixAtoms([0]))
        atoms.set_initial_charges(np.full(len(atoms), 0.5))
    if n % 5:
        atoms.calc = SinglePointCalculator(atoms, **found)
        atoms.calc.name = ("emt", "gpaw", "vasp")[n % 3]
    return atoms


def _pairs(n: int) -> dict[str, Any]:
    pairs: dict[str, Any] = {"n": n, "good": bool(n % 2), "gap": n / 4}
    pairs |= {"label": ("alpha", "beta", "Gamma")[n % 3]} if n % 4 else {}
    pairs |= {"big": 10.0**n, "odd": "x'y"} if n % 6 == 1 else {}
    return pairs | ({"nothing": float("nan"), "much": float("inf")} if n == 3 else {})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, AseDatabase]:
    folder = tmp_path_factory.mktemp("asedb")
    theirs, ours = ase.db.connect(folder / "a.db"), connect(folder / "a.duckdb")
    rows = _rows()
    for db in (theirs, ours):
        with db:
            for number, (atoms, pairs) in enumerate(rows):
                assert db.write(atoms, pairs) == number + 1
    return theirs, ours


_ops = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_values = st.integers(-4, 40).map(str) | st.sampled_from(["0.5", "2.25", "-1.0", "1e3"])


def _compared(keys: list[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(keys), _ops, values).map("".join)


_terms = st.one_of(
    st.sampled_from(["H", "O", "Li", "Cu", "H2O", "CH4", "NaCl", "energy", "forces", "strain", "calculator",
                     "constraints", "fmax", "smax", "good", "label", "odd", "nothing", "none", "-label", "-good",
                     "formula=H2O", "formula=Cu", "age<1d", "age>1y", "age<2h", "pbc=TTT", "pbc!=FFF", "pbc=TFF",
                     "0<n<7", "2<=natoms<5", "-2<energy<=1"]),
    _compared(["H", "Li", "O", "natoms", "id"], st.integers(0, 6).map(str)),
    _compared(["energy", "charge", "magmom", "n", "gap", "big", "good", "nothing", "much", "none"], _values),
    # Sums over atoms differ in their last digits.
    _compared(["fmax", "smax", "mass", "volume"], st.sampled_from(["0.7", "1.234", "11.5", "63.1", "0.01"])),
    _compared(["label", "odd", "calculator", "user"], st.sampled_from(["alpha", "beta", "gpaw", "x'y", "zzz", "b"])),
    st.sampled_from(["good=True", "good=False", "good!=True"]),
)  # fmt: skip
_sorts = st.sampled_from(
    [None, "id", "-id", "energy", "-energy", "natoms", "-volume", "calculator", "-calculator", "magmom", "fmax",
     "-smax", "charge", "pbc", "n", "-n", "label", "-label", "gap", "none"]
)  # fmt: skip


def ids(db: Any, selection: str, sort: str | None, **options: Any) -> list[int]:
    return [row.id for row in db.select(selection, sort=sort, **options)]


@settings(max_examples=examples(40))
@given(st.lists(_terms, max_size=3).map(",".join), _sorts)
@example("formula=NaCl", None)
@example("H<3,H>0", "-n")
@example("calculator<x'y", None)  # SQLite walks an index, and gives them in its order
def test_the_same_rows_in_the_same_order(both: tuple[Any, AseDatabase], selection: str, sort: str | None) -> None:
    theirs, ours = both
    expected = in_order(theirs, selection, sort)
    assert ids(ours, selection, sort) == expected
    assert ours.count(selection) == len(expected)


def in_order(db: Any, selection: str, sort: str | None) -> list[int]:
    """What ASE finds. It leaves the order of equal rows open (of all, without sort); here that of ids counts."""
    found = sorted(ids(db, selection, None))
    if not sort:
        return found
    key, reverse = sort.lstrip("-"), sort.startswith("-")
    values = {number: sort_value(db.get(number), key) for number in found}
    known = sorted(number for number in found if values[number] is not None)
    ordered = sorted(known, key=lambda number: values[number], reverse=reverse)
    if reverse:  # a stable order within equals
        ordered = sorted(known, key=lambda n: _falling(values, n))
    assert set(ids(db, selection, sort)) == set(found)
    return ordered + sorted(set(found) - set(known))


def _falling(values: dict[int, Any], number: int) -> tuple[int, int]:
    distinct = sorted({v for v in values.values() if v is not None}, reverse=True)
    return distinct.index(values[number]), number


def sort_value(row: Any, key: str) -> Any:
    if key == "pbc":
        return int(np.dot(row.pbc, [1, 2, 4]))
    if key in {"fmax", "smax"} and row.get({"fmax": "forces", "smax": "stress"}[key]) is None:
        return None
    return row.get(key)


@settings(max_examples=examples(8))
@given(st.sampled_from(["", "H", "energy<0", "n>3"]), st.integers(1, 40), st.integers(0, 40))
def test_limit_and_offset(both: tuple[Any, AseDatabase], selection: str, limit: int, offset: int) -> None:
    theirs, ours = both
    for options in ({"limit": limit}, {"offset": offset}, {"limit": limit, "offset": offset}, {"limit": 0}):
        assert ids(ours, selection, None, **options) == ids(theirs, selection, None, **options)
    assert ids(ours, selection, "-id", limit=limit) == ids(theirs, selection, "-id", limit=limit)


def test_other_ways_to_ask(both: tuple[Any, AseDatabase]) -> None:
    theirs, ours = both
    name = ours.get(4).unique_id
    assert ours.get(unique_id=name).id == 4
    for ask in (
        {"selection": 3}, {"selection": ["H", ("n", "<", 5)]}, {"n": 2}, {"label": "beta", "good": True},
        {"filter": lambda row: row.natoms == 2}, {"selection": [("charge", ">", 0)]}, {"H": 2},
    ):  # fmt: skip
        assert [row.id for row in ours.select(**ask)] == [row.id for row in theirs.select(**ask)]
    assert [len(row.data) for row in ours.select(include_data=False, limit=2)] == [0, 0]
    assert ours.get_all_key_names() == theirs.get_all_key_names()


@pytest.mark.parametrize("selection", ["fmax<abc", "energy=abc", "id=x", [("n", "like", "a")]])
def test_comparisons_without_sense(both: tuple[Any, AseDatabase], selection: Any) -> None:
    with pytest.raises(ValueError, match=r"number|no such"):
        list(both[1].select(selection))


@settings(max_examples=examples(25))
@given(st.text(st.characters(exclude_characters=",<>=!", exclude_categories=["Cs"]), min_size=1, max_size=6))
@example("a'b")
@example("$p0")
@example('";DROP')
def test_odd_keys_find_nothing_and_break_nothing(both: tuple[Any, AseDatabase], key: str) -> None:
    ours = both[1]
    assert ours.count([(f"zz {key}", "=", 1)]) == 0
    assert ours.count([(f"zz {key}", ">", key)]) == 0
    assert ours.count() == len(_rows())


def test_rows_agree_with_those_of_sqlite(both: tuple[Any, AseDatabase], tmp_path: Path) -> None:
    for ours, theirs in zip(both[1].select(), both[0].select(), strict=True):
        assert {key for key in ours if key != "unique_id"} == {key for key in theirs if key != "unique_id"}
        for key in ("formula", "natoms", "energy", "calculator", "calculator_parameters", "magmom", "user"):
            assert ours.get(key) == theirs.get(key)
        assert ours.toatoms() == theirs.toatoms()
        assert ours.numbers.dtype == theirs.numbers.dtype
