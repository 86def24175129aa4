"""Results of one description of a crystal as results of another: energies stay, vectors turn, atoms change places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mlmat.alignment import realigned
from mlmat.ingest import ingest
from mlmat.store import open_store
from mlmat.structure import structure_id


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


@settings(max_examples=15, deadline=None)
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
