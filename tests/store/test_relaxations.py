"""Relaxed structures beside those handed in, by a runner that relaxes with EMT, and in an earlier store."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import mlmat
from mlmat.materials.alignment import displacement
from mlmat.project import Project

RUNNER = """
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    columns = {"energy": "DOUBLE -- eV", "converged": "BOOLEAN", "steps": "INTEGER", "relaxed": "STRUCTURE"}

    def run(self, atoms):
        atoms.calc = EMT()
        relaxed = BFGS(FrechetCellFilter(atoms), logfile=None)
        done = relaxed.run(fmax=1e-4, steps=200)
        energy, atoms.calc = atoms.get_potential_energy(), None
        return {"energy": energy, "converged": bool(done), "steps": relaxed.nsteps, "relaxed": atoms}
"""


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("relaxed")
    rattled = bulk("Cu", cubic=True)
    rattled.rattle(0.2, seed=1)
    for name, atoms in {"wide": bulk("Al", a=4.5), "rattled": rattled}.items():
        write(folder / f"{name}.extxyz", atoms)
    (folder / "relaxing.py").write_text(RUNNER)
    store = mlmat.open(folder / "store.duckdb", create=True)
    store.ingest(folder / "wide.extxyz", folder / "rattled.extxyz")
    assert store.screen(str(folder / "relaxing.py"), config="threads").ok == 2
    method = store.sql("SELECT method_id FROM method")["method_id"][0]
    assert store.screen(str(folder / "relaxing.py"), config="threads", of=method).ok == 2
    return store


def rows_by_file(store: Project) -> dict[str, dict[str, Any]]:
    found = store.sql("FROM relaxations WHERE path IS NOT NULL").to_dict("records")
    return {Path(row["path"]).stem: row for row in found}


def test_what_left_its_structure_says_why(relaxed: Project) -> None:
    found = rows_by_file(relaxed)
    wide, rattled = found["wide"], found["rattled"]
    volumes = [relaxed.atoms(wide[name]).get_volume() for name in ("structure_id", "relaxed_id")]
    assert wide["volume_change"] == pytest.approx(100 * (volumes[1] / volumes[0] - 1))
    assert wide["left_structure"] == f"volume changed by {wide['volume_change']:+.0f} %"
    assert wide["rmsd"] == pytest.approx(0, abs=1e-9)  # one atom: only the cell has changed
    assert (wide["space_group_before"], wide["space_group_after"], wide["formula"]) == ("Fm-3m", "Fm-3m", "Al")
    assert (rattled["space_group_before"], rattled["converged"], rattled["unchanged"]) == ("P1", True, False)
    assert rattled["left_structure"].startswith(f"space group P1 became {rattled['space_group_after']}")
    assert rattled["steps"] > 1
    before, after = (relaxed.atoms(rattled[name]) for name in ("structure_id", "relaxed_id"))
    assert rattled["rmsd"] == pytest.approx(moved_by(before, after), abs=1e-6)
    assert 0.1 < rattled["rmsd"] < 0.5


def moved_by(before: Atoms, after: Atoms) -> float:
    """The displacement by another way: positions in the later cell, nearest images by ASE."""
    from ase.geometry import find_mic

    start = before.get_scaled_positions(wrap=False) @ after.cell.array
    vectors = find_mic(after.positions - start - (after.positions - start)[0], after.cell)[0]
    return float(np.sqrt(np.var(vectors, axis=0).sum()))


def test_what_is_at_rest_already_says_that_it_is_unchanged(relaxed: Project) -> None:
    again = relaxed.sql("FROM relaxations WHERE path IS NULL").to_dict("records")
    assert len(again) == 2
    for row in again:
        assert row["rmsd"] < 1e-3
        assert abs(row["volume_change"]) < 0.1
        assert row["left_structure"] is None or row["left_structure"] != row["left_structure"]
        assert row["unchanged"] == (row["relaxed_id"] == row["structure_id"])


@given(st.integers(0, 2**32 - 1))
def test_a_displacement_is_of_the_crystal_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    other = one.copy()
    other.positions += rng.normal(0, 0.2, other.positions.shape)
    wanted = displacement(one, other)
    assert wanted == pytest.approx(moved_by(one, other))
    other.positions += rng.normal(0, 3, 3) + rng.integers(-2, 3, other.positions.shape) @ other.cell.array
    turn = Rotation.random(random_state=seed).as_matrix()
    other.set_cell(other.cell.array @ turn, scale_atoms=True)
    assert displacement(one, other) == pytest.approx(wanted)
    assert displacement(one, other[::-1]) is None
    assert displacement(one, one) == 0


def test_an_earlier_store_gets_what_can_be_known(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    old = Path(__file__).parents[1] / "old_stores" / "relaxations.duckdb.gz"
    path.write_bytes(gzip.decompress(old.read_bytes()))
    store = mlmat.open(path)
    found = store.sql("FROM relaxations")
    assert len(found) > 3
    assert found["steps"].notna().all()
    assert found["rmsd"].notna().any()
    for row in found[found["rmsd"] > 0].to_dict("records"):
        before, after = (store.atoms(row[name]) for name in ("structure_id", "relaxed_id"))
        assert row["rmsd"] == pytest.approx(moved_by(before, after), abs=1e-6)
    assert (found["unchanged"] == (found["structure_id"] == found["relaxed_id"])).all()
