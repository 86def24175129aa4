"""What runners and files gave, seen through the ase.db face."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hand_made import add, block, by_hand, crystal, method, record, result, salt, stored

from mlmat.errors import UsageError
from mlmat.project import Project
from mlmat.store import Store

FORCES = [[0.0, 0.0, 0.3], [0.4, 0.0, 0.0]]
STRESS = [0.1, -0.2, 0.0, 0.0, 0.0, 0.05]
DECLARED = {"forces": "DOUBLE[3][] -- eV/Å", "stress": "DOUBLE[6] -- eV/Å³", "steps": "INTEGER -- steps",
            "note": "VARCHAR -- a word", "stable": "BOOLEAN -- whether", "fmax": "DOUBLE -- eV/Å",
            "relaxed": "STRUCTURE -- relaxed"}  # fmt: skip


def values(**columns: object) -> dict[str, object]:
    return {"forces": FORCES, "stress": STRESS, "steps": 7, "note": "fine", "stable": True, "fmax": 9.9, **columns}


@pytest.fixture(scope="module")
def screened_file(empty_store_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Salt computed by two methods, the later one at -2 eV; copper not at all; a failure."""
    store = Store(shutil.copy(empty_store_file, tmp_path_factory.mktemp("screened") / "store.duckdb"))
    names = stored(store, salt(), crystal(), salt(5.7))
    for name in ("m", "n"):
        method(store, name, label=f"toy {name}")
    record(store, result(names[0], "m", energy=-1.0, converged=True), values=[values()], declared=DECLARED)
    record(store, result(names[0], "n", energy=-2.0), values=[values(steps=8)], declared=DECLARED)
    record(store, result(names[2], "m", status="failed"))
    return store.path


@pytest.fixture
def screened(screened_file: Path, tmp_path: Path) -> Project:
    """The same in a file of this test's own."""
    return Project(shutil.copy(screened_file, tmp_path / "screened.duckdb"))


def test_a_structure_has_its_latest_results(screened: Project) -> None:
    row = screened.asedb().get(formula="NaCl", energy=-2.0)
    assert (row.calculator, row.calculator_parameters, row.method) == ("toy", {"a": "1"}, "toy n")
    assert (row.steps, row.note, row.stable) == (8, "fine", True)
    assert row.fmax == pytest.approx(0.4)
    atoms = row.toatoms()
    assert np.array_equal(atoms.get_forces(), FORCES)
    assert np.array_equal(atoms.get_stress(), STRESS)
    assert atoms.calc.name == "toy"


def test_or_those_of_a_method(screened: Project) -> None:
    db = screened.asedb("toy m")
    row = db.get("energy")
    assert (row.energy, row.method, row.converged, row.steps) == (-1.0, "toy m", True, 7)
    assert db.count("energy=-2") == 0
    with pytest.raises(UsageError, match="no method"):
        screened.asedb("other")


@pytest.mark.parametrize(
    ("selection", "found"),
    [("energy", [1]), ("energy<-1.5", [1]), ("forces", [1]), ("strain", [1]), ("fmax<0.5", [1]), ("fmax>0.5", []),
     ("0.15<smax<0.25", [1]), ("calculator=toy", [1]), ("calculator", [1]), ("steps=8", [1]), ("steps<8", []),
     ("note=fine", [1]), ("stable=True", [1]), ("stable", [1]), ("method=toy n", [1]), ("converged", []),
     ("space_group=Fm-3m,Cu", [2]), ("space_group_number=225", [1, 2, 3]), ("Cl,natoms=2", [1, 3]),
     ("age<1h", [1, 2, 3]), ("volume>45", [3]), ("mass>60", [2]), ("pbc=TTT", [1, 2, 3]), ("charge=0", [1, 2, 3]),
     ("steps", [1]),
     ("-steps", [2, 3])],
)  # fmt: skip
def test_selections_over_results(screened: Project, selection: str, found: list[int]) -> None:
    db = screened.asedb()
    assert [row.id for row in db.select(selection)] == found
    assert db.count(selection) == len(found)


def test_the_order_of_results(screened: Project) -> None:
    db = screened.asedb()
    assert [row.id for row in db.select(sort="steps")] == [1, 2, 3]
    assert [row.id for row in db.select(sort="-volume")] == [3, 1, 2]
    assert [row.id for row in db.select(sort="-space_group")] == [1, 2, 3]
    for sort in ("age", "-user", "mtime", "method"):
        assert len(list(db.select(sort=sort))) == 3


def test_who_and_when(screened: Project) -> None:
    row = screened.asedb().get(2)
    assert len(row.unique_id) == 32
    assert row.unique_id.startswith(row.structure_id)
    assert screened.asedb().get(unique_id=row.unique_id).id == 2
    assert row.ctime == pytest.approx(row.mtime)
    assert screened.asedb().get(1).mtime > row.ctime, "its result is younger"


def test_results_of_a_relaxation_stand_at_the_relaxed_structure(store: Project) -> None:
    (name,) = stored(store, salt())
    method(store, "m")
    ran = result(name, energy=-3.0, converged=False)
    record(store, ran, values=[values()], declared=DECLARED, produced=[(ran, salt(5.5))])
    before, after = store.asedb().select(sort="id")
    assert before.get("energy") is None
    assert (after.energy, after.converged) == (-3.0, False)
    assert after.volume == pytest.approx(5.5**3 / 4)
    assert np.array_equal(after.forces, FORCES)


def test_forces_are_left_out_where_the_atoms_are_in_another_order(store: Project) -> None:
    db = store.asedb()
    turned = salt()[[1, 0]]
    db.write(turned)
    db.write(salt())
    (name,) = store.sql("SELECT structure_id FROM structure")["structure_id"]
    method(store, "m")
    record(store, result(name, energy=-3.0), values=[values()], declared=DECLARED)
    first, second = db.select()
    assert (first.energy, second.energy) == (-3.0, -3.0)
    assert np.array_equal(first.forces, FORCES)
    assert second.get("forces") is None
    assert second.toatoms().numbers.tolist() == salt().numbers.tolist()


def test_what_came_with_the_atoms_goes_before_what_was_screened(store: Project) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = salt()
    atoms.calc = SinglePointCalculator(atoms, energy=-9.0)
    db = store.asedb()
    db.write(atoms, band=1)
    (name,) = store.sql("SELECT structure_id FROM structure")["structure_id"]
    method(store, "m")
    record(store, result(name, energy=-3.0))
    assert (db.get("energy").energy, db.count("energy<-5"), db.count("calculator=toy")) == (-9.0, 1, 0)
    assert db.get(1).key_value_pairs == {"band": 1}


def test_results_cannot_be_changed_and_notes_can(screened: Project) -> None:
    db = screened.asedb()
    for change in ({"steps": 9}, {"method": "mine"}):
        with pytest.raises(UsageError, match=r"row 1: .* comes from a file or a result"):
            db.update(1, **change)
    db.update(1, steps=8, checked=True)
    assert db.get("checked").steps == 8
    with pytest.raises(ValueError, match="Bad key"):
        db.update(1, energy=-5)
    assert screened.sql("SELECT energy FROM result ORDER BY energy")["energy"].tolist()[:2] == [-2.0, -1.0]


def test_pairs_of_files_are_pairs(store: Project) -> None:
    add(store, block("/a.db", salt()), block("/b.db", salt()))
    for path, pairs in (
        ("/a.db", {"gap": "1.5", "word": "x", "yes": "True", "not a word": "1"}),
        ("/b.db", {"gap": "2"}),
    ):
        text = ", ".join(f"'{key}': '{value}'" for key, value in pairs.items())
        by_hand(store, f"UPDATE source SET key_values = MAP {{{text}}} WHERE path = '{path}'")
    db = store.asedb()
    row = db.get("gap>1,word=x,yes=True")
    assert (row.gap, row.word, row.yes) == (1.5, "x", True)
    assert "not a word" not in row.key_value_pairs
    assert db.count("gap>1.7") == 0, "the file that was first counts"


def test_structures_that_their_files_have_lost_are_no_rows(store: Project) -> None:
    add(store, block("/a.cif", salt()))
    add(store, block("/a.cif", crystal()))
    assert [row.formula for row in store.asedb().select()] == ["Cu"]


def test_an_empty_store_and_one_with_a_runner_but_no_results(store: Project) -> None:
    db = store.asedb()
    assert (list(db.select("energy,steps>3", sort="fmax")), db.count("fmax<1")) == ([], 0)
    assert db.count(formula=str(Atoms("Cu").symbols)) == 0
