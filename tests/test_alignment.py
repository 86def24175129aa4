"""Results of one description of a crystal as results of another: energies stay, vectors turn, atoms change places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from effort import examples
from hand_made import merge, method, packed, result, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mlmat.ingest import ingest
from mlmat.materials.alignment import Alignment
from mlmat.materials.structure import structure_id
from mlmat.store import Store, open_store


def realigned(results: dict[str, object], own: Atoms, other: Atoms) -> dict[str, object]:
    alignment = Alignment(own, other)
    return {name: alignment.moved(name, value) for name, value in results.items()}


def alloy(seed: int) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.symbols[1:] = ["Au", "Cu", "Ag"]
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + np.random.default_rng(seed).normal(0, 0.02, (3, 3))), scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def computed(atoms: Atoms) -> dict[str, object]:
    atoms = atoms.copy()
    atoms.calc = EMT()
    return {
        "free_energy": atoms.get_potential_energy(), "energies": atoms.get_potential_energies().tolist(),
        "forces": atoms.get_forces().tolist(), "stress": atoms.get_stress().tolist(), "dipole": None,
    }  # fmt: skip


@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_results_of_a_turned_and_shuffled_crystal_become_those_of_the_other(seed: int, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    one = alloy(seed)
    other = one[rng.permutation(len(one))]
    if turned:
        other.set_cell(other.cell[:] @ Rotation.random(random_state=seed).as_matrix(), scale_atoms=True)
    other.positions += rng.integers(-2, 3, (len(other), 3)) @ other.cell[:]
    assert structure_id(one) == structure_id(other)
    found, wanted = realigned(computed(one), one, other), computed(other)
    assert found["dipole"] is None
    for name in ("free_energy", "energies", "forces", "stress"):
        assert np.asarray(found[name]) == pytest.approx(np.asarray(wanted[name]), abs=1e-6)


def test_moments_as_numbers_and_as_vectors() -> None:
    one, order = alloy(1), [3, 1, 0, 2]
    other = one[order]
    moments = np.arange(12.0).reshape(4, 3)
    found = realigned({"magmoms": moments.ravel().tolist()}, one, other)["magmoms"]
    assert found == pytest.approx(moments[order].ravel())
    assert realigned({"magmoms": [0.0, 1.0, 2.0, 3.0]}, one, other)["magmoms"] == [3.0, 1.0, 0.0, 2.0]


def test_values_keep_their_shape_and_what_is_something_else_stays() -> None:
    one = alloy(1)
    other = one[[3, 1, 0, 2]]
    other.set_cell(other.cell[:] @ Rotation.random(random_state=3).as_matrix(), scale_atoms=True)
    voigt = computed(one)["stress"]
    xx, yy, zz, yz, xz, xy = voigt  # type: ignore[misc]
    full = realigned({"stress": [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]}, one, other)["stress"]
    assert [full[i][j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))] == pytest.approx(
        realigned({"stress": voigt}, one, other)["stress"]
    )
    moments = np.arange(12.0).reshape(4, 3)
    nested = realigned({"magmoms": moments.tolist()}, one, other)["magmoms"]
    assert np.ravel(nested) == pytest.approx(realigned({"magmoms": moments.ravel().tolist()}, one, other)["magmoms"])
    assert np.shape(nested) == (4, 3)
    odd = {"charges": "none", "energies": [1.0, 2.0], "forces": [[1.0]], "dipole": [[0.0] * 3], "stress": 2.5}
    assert realigned(odd, one, other) == odd


def another(one: Atoms, seed: int) -> Atoms:
    """The same crystal, shuffled and turned."""
    other = one[np.random.default_rng(seed).permutation(len(one))]
    other.set_cell(other.cell[:] @ Rotation.random(random_state=seed).as_matrix(), scale_atoms=True)
    assert structure_id(one) == structure_id(other)
    return other


DECLARED = {"forces": "DOUBLE[3][] -- eV/Å", "stress": "DOUBLE[6] -- eV/Å³", "energies": "DOUBLE[] -- eV"}


def returned(parents: list[str], made: list[Atoms]) -> bytes:
    """A frame of relaxations: values of what was made, in its own order and orientation."""
    results = [result(parent) for parent in parents]
    values = [{k: computed(atoms)[k] for k in DECLARED} | {"relaxed": structure_id(atoms), "charges": [1]}
              for atoms in made]  # fmt: skip
    return packed(results, values, declared=DECLARED, produced=list(zip(results, made, strict=True)))


def check_values(store: Store, count: int) -> None:
    """Every row of the runner is what is computed for the relaxed structure as the store holds it."""
    found = store.arrow("FROM result_toy").to_pylist()
    assert len(found) == count
    for row in found:
        wanted = computed(store.atoms(row["relaxed"]))
        for name in DECLARED:
            assert np.asarray(row[name]) == pytest.approx(np.asarray(wanted[name]), abs=1e-5), name
        assert row["charges"] == [1]


def test_relaxed_values_belong_to_the_structure_as_the_store_holds_it(store: Store) -> None:
    known, fresh = alloy(3), alloy(4)
    parents = stored(store, alloy(5), alloy(6), alloy(7), known)[:3]
    method(store, "m")
    # One that a file gave, one that is new, and the new one once more in the same frame.
    frame = returned(parents, [another(known, 1), fresh, another(fresh, 2)])
    assert merge(store, frame) == 3
    check_values(store, 3)
    before = store.sql("FROM result_toy ORDER BY result_id")
    assert merge(store, frame, frame) == 0
    assert store.sql("FROM result_toy ORDER BY result_id").equals(before)
    later = returned(parents[:2], [another(fresh, 3), fresh])
    assert merge(store, later, later, frame) == 2
    check_values(store, 5)
    assert merge(store, later) == 0
    check_values(store, 5)


def test_frames_of_one_merge_may_describe_one_structure_differently(store: Store) -> None:
    one = alloy(3)
    parents = stored(store, alloy(5), alloy(6))
    method(store, "m")
    assert merge(store, returned(parents[:1], [one]), returned(parents[1:], [another(one, 1)])) == 2
    check_values(store, 2)


def test_values_of_a_new_structure_are_stored_to_the_last_digit(store: Store) -> None:
    (parent,) = stored(store, alloy(5))
    method(store, "m")
    one = alloy(3)
    merge(store, returned([parent], [one]))
    assert store.arrow("SELECT forces FROM result_toy").to_pylist() == [{"forces": computed(one)["forces"]}]


def test_imported_forces_belong_to_the_atoms_as_the_store_holds_them(tmp_path: Path) -> None:
    one = alloy(2)
    other = one[[2, 0, 3, 1]]
    other.set_cell(other.cell[:] @ Rotation.random(random_state=1).as_matrix(), scale_atoms=True)
    for name, atoms in (("a", one), ("b", other)):
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()
        atoms.write(tmp_path / f"{name}.extxyz")
    store = open_store(tmp_path / "x.duckdb", create=True)
    assert ingest(store, [tmp_path / "a.extxyz", tmp_path / "b.extxyz"]).outcomes == {"stored": 1, "duplicate": 1}
    rows = store.sql("SELECT structure_id, energy, forces, stress, method FROM imported ORDER BY method")
    stored = store.atoms(rows["structure_id"][0])
    stored.calc = EMT()
    for forces, stress in zip(rows["forces"], rows["stress"], strict=True):
        assert np.array([list(f) for f in forces]) == pytest.approx(stored.get_forces(), abs=1e-5)
        assert np.array(stress) == pytest.approx(stored.get_stress(), abs=1e-6)
