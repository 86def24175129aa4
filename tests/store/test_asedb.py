"""The ase.db face: what is written comes back, and the store's promises hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db.row import AtomsRow
from ase_rows import atoms, data, pairs, same, same_atoms
from effort import examples
from hand_made import crystal, salt, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlmat
from mlmat.asedb.interface import AseDatabase, connect
from mlmat.errors import UsageError
from mlmat.store import Store


@pytest.fixture
def db(store: Store) -> AseDatabase:
    return store.asedb()


def others_can_write(store: Store) -> bool:
    """Whether another process gets the file at once, without waiting."""
    code = "import duckdb, sys; duckdb.connect(sys.argv[1]).close()"
    return subprocess.run([sys.executable, "-c", code, store.path], capture_output=True, check=False).returncode == 0


_rows = st.lists(st.tuples(atoms(), pairs, data), min_size=1, max_size=8)


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(_rows)
def test_what_is_written_comes_back(store: Store, written: list[tuple[Atoms, dict[str, Any], dict[str, Any]]]) -> None:
    db = store.asedb()
    with db:
        ids = [db.write(made, key_value_pairs=own, data=more) for made, own, more in written]
    rows = list(db.select())
    assert [row.id for row in rows] == ids
    for row, (made, own, more) in zip(rows, written, strict=True):
        assert same(row.key_value_pairs, own)
        assert same(dict(row.data), as_packed(more))
        # What ASE makes of the atoms in memory is the measure.
        assert same_atoms(row.toatoms(), AtomsRow(made).toatoms())
    db.delete(ids)
    assert db.count() == 0


def as_packed(more: dict[str, Any]) -> dict[str, Any]:
    """Data as ASE packs it: tuples and lists are lists."""
    from ase.db.core import bytes_to_object, object_to_bytes

    return bytes_to_object(object_to_bytes(more))


def test_rows_of_one_crystal_are_rows_of_their_own_and_one_structure(db: AseDatabase) -> None:
    assert [db.write(crystal()), db.write(crystal()), db.write(salt())] == [1, 2, 3]
    assert db.count("Cu") == 2
    assert len(db.store.sql("FROM structure")) == 2
    assert db.store.sql("SELECT outcome FROM source ORDER BY path")["outcome"].tolist() == [
        "stored", "duplicate", "stored"]  # fmt: skip
    assert db.get(1).unique_id != db.get(2).unique_id


def test_written_crystals_and_molecules_are_found_by_screens_and_others_are_not(db: AseDatabase) -> None:
    clash, flat = Atoms("H10", cell=[5, 5, 5], pbc=True), Atoms("H", cell=[1, 0, 0], pbc=True)
    for made in (crystal(), molecule("H2O"), Atoms(), Atoms("X"), clash, flat):
        db.write(made, kind="mine")
    pending = db.store.pending("m")["structure_id"].to_pylist()
    assert len(pending) == 2
    assert len(db.store.pending("m", include_flagged=True)) == 3
    assert db.store.pending("m", where="key_values['kind'] = 'mine' AND nelements = 2").num_rows == 1
    db.delete([1])
    assert db.store.pending("m").num_rows == 1
    db.update(2, atoms=Atoms("X"))
    assert db.store.pending("m").num_rows == 0
    assert db.get(2).kind == "mine"
    assert {row["outcome"] for row in db.store.status()["outcomes"]} == {"flagged"}


def test_structures_of_files_are_rows_and_can_be_noted_on_but_not_changed(db: AseDatabase) -> None:
    (name,) = stored(db.store, salt())
    row = db.get("Na")
    assert (row.id, row.formula, row.natoms, row.structure_id) == (1, "NaCl", 2, name)
    assert (row.space_group, row.space_group_number) == ("Fm-3m", 225)
    assert same_atoms(row.toatoms(), salt())
    assert db.update(1, note="good", data={"a": [1, 2]}) == (1, 0)
    assert db.update(1, grade=2, data={"b": 3}) == (1, 0)
    row = db.get(note="good", grade=2)
    assert (row.id, row.data.a, row.data.b, row.space_group) == (1, [1, 2], 3, "Fm-3m")
    assert db.update(1, delete_keys=["note"]) == (0, 1)
    assert db.count("note") == 0
    for change in (
        lambda: db.update(1, atoms=crystal()),
        lambda: db.write(crystal(), id=1),
        lambda: db.delete([1]),
        lambda: db.update(1, space_group="P1"),
        lambda: db.update(1, delete_keys=["structure_id"]),
    ):
        with pytest.raises(UsageError, match="row 1") as error:
            change()
        assert "\n" not in str(error.value)
    assert same_atoms(db.get_atoms(1), salt())
    assert db.count() == 1


def test_unknown_rows(db: AseDatabase) -> None:
    for ask in (lambda: db.get(7), lambda: db[7], lambda: db.get_atoms(7), lambda: db.update(7, a=1),
                lambda: db.write(crystal(), id=7)):  # fmt: skip
        with pytest.raises(KeyError):
            ask()
    db.delete([7])
    assert len(db) == 0


def test_a_batch_is_one_transaction_and_an_exception_drops_it(db: AseDatabase) -> None:
    db.write(crystal(), n=0)
    with db:
        for n in range(1, 4):
            db.write(crystal(a=3.6 + n / 100), n=n)
        db.update(1, n=10)
        assert others_can_write(db.store)
        assert mlmat.open(db.store.path).asedb().count() == 1, "nothing is written yet"
    assert [row.n for row in db.select(sort="n")] == [1, 2, 3, 10]
    with pytest.raises(ZeroDivisionError), db:
        db.update(db.write(crystal()), n=1 // 0)
    assert db.count() == 4
    assert db.get(1).n == 10


def test_what_waits_is_seen_by_reads_of_the_same_batch(db: AseDatabase) -> None:
    with db:
        number = db.write(crystal(), a=1, data={"x": 1})
        db.update(number, b=2, data={"y": 2})
        assert db.count("a,b") == 1
        db.update(number, c=3)
        db.update(number, d=4)
        row = db.get(number)
        assert row.key_value_pairs == {"a": 1, "b": 2, "c": 3, "d": 4}
        assert row.data == {"x": 1, "y": 2}
        db.delete([number])
        assert db.count() == 0


def test_no_call_keeps_the_file(db: AseDatabase) -> None:
    stored(db.store, *(crystal(a=3.5 + i / 1000) for i in range(3)))
    db.write(crystal())
    rows = db.select()
    next(rows)
    assert others_can_write(db.store)
    assert len(list(rows)) == 3


def test_a_reader_goes_on_while_others_write_and_delete(db: AseDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmat.asedb.database.CHUNK", 2)
    with db:
        ids = [db.write(crystal(a=3.5 + i / 1000)) for i in range(6)]
    code = (
        "import sys, mlmat; from ase.build import bulk\n"
        "db = mlmat.open(sys.argv[1]).asedb(); db.write(bulk('Au')); db.delete([int(sys.argv[2])])"
    )
    rows = db.select()
    seen = [next(rows).id]
    subprocess.run([sys.executable, "-c", code, db.store.path, str(ids[4])], check=True)
    seen += [row.id for row in rows]
    assert seen == [*ids[:4], ids[5]]
    assert db.count("Au") == 1


def test_only_one_process_reserves(db: AseDatabase) -> None:
    code = (
        "import sys, mlmat\ndb = mlmat.open(sys.argv[1]).asedb()\n"
        "print([db.reserve(job=n, calculator='emt') for n in range(5)])"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, db.store.path], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ids = [number for run in runs for number in eval(run.communicate()[0])]
    assert sorted(number for number in ids if number) == [1, 2, 3, 4, 5]
    assert db.count("job,calculator=emt") == 5
    assert db.reserve(job=4) is None


def test_a_row_of_another_database_keeps_who_and_when(db: AseDatabase, tmp_path: Path) -> None:
    import ase.db

    with ase.db.connect(tmp_path / "a.db") as other:
        made = molecule("H2O")
        made.calc = SinglePointCalculator(made, energy=-1.0)
        other.write(made, name="water", data={"a": 1})
    row = other.get(1)
    copy = db.get(db.write(row))
    assert (copy.unique_id, copy.ctime, copy.name, copy.energy) == (row.unique_id, row.ctime, "water", -1.0)
    assert copy.data == {"a": 1}
    with pytest.raises(ValueError, match="another row has it"):
        db.write(row)
    with ase.db.connect(tmp_path / "b.db") as back:
        back.write(copy)
    assert back.get(1).energy == -1.0


def test_who_wrote_is_recorded_once(db: AseDatabase) -> None:
    db.write(crystal())
    db.write(salt())
    run = db.store.sql(
        "SELECT r.command, r.outcome, count(*) AS n FROM run AS r JOIN source USING (run_id) GROUP BY ALL"
    )
    assert run.to_dict("records") == [{"command": "asedb", "outcome": "finished", "n": 2}]


def test_metadata(db: AseDatabase) -> None:
    assert db.metadata == {}
    db.metadata = {"title": "a", "keys": {"b": [1, "c"]}}
    db.metadata = {"title": "b"}
    assert mlmat.open(db.store.path).asedb().metadata == {"title": "b"}


def test_a_new_database_is_started_only_where_nothing_else_is_lost(tmp_path: Path, store: Store) -> None:
    connect(tmp_path / "new.duckdb").write(crystal())
    again = connect(tmp_path / "new.duckdb", append=False)
    assert again.count() == 0
    stored(store, crystal())
    with pytest.raises(UsageError, match="holds files or results"):
        connect(store.path, append=False)
    assert connect(store.path).count() == 1


def test_keys_and_explanations(db: AseDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    stored(db.store, crystal())
    db.write(salt(), band=1.0)
    assert {"band", "structure_id", "space_group"} <= db.get_all_key_names()
    assert len(list(db.select("Cu,band>1", explain=True))) > 0
    list(db.select("Cu", verbosity=2))
    assert "list_contains" in capsys.readouterr().out


def test_noncollinear_moments_keep_their_shape(db: AseDatabase) -> None:
    iron = Atoms("Fe2", [[0, 0, 0], [2, 0, 0]], magmoms=[[0, 0, 2.0], [1.0, 0, 0]])
    found = db.get_atoms(db.write(iron))
    assert np.array_equal(found.get_initial_magnetic_moments(), iron.get_initial_magnetic_moments())
