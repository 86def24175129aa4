"""Charge states of one geometry: structures of their own from file to export, refused by models without charge."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.db import connect
from ase.io import write
from pymatgen.core import Structure

import mlmat
from mlmat.project import Project


def states(path: Path) -> None:
    """Neutral water three times, two of its ions, a triplet; and MgO with a charge of 2 e."""
    frames = []
    for info in ({}, {"charge": 0}, {"total_charge": 0, "total_spin": 1}, {"charge": 1, "spin": 2}, {"charge": -1},
                 {"charge": 0, "spin": 3}):  # fmt: skip
        frames.append(molecule("H2O", cell=[9, 9, 9], pbc=True))
        frames[-1].info.update(info)
    frames.append(bulk("MgO", "rocksalt", a=4.2))
    frames[-1].info["charge"] = 2
    write(path, frames)


@pytest.fixture
def charged(tmp_path: Path) -> Project:
    states(tmp_path / "states.extxyz")
    store = mlmat.open(tmp_path / "charged.duckdb", create=True)
    assert store.ingest(tmp_path / "states.extxyz").outcomes == {"stored": 5, "duplicate": 2}
    return store


KNOWN = [(-1.0, None), (0.0, 3), (1.0, 2), (2.0, None), (None, None)]


def said(store: Project) -> list[tuple[float | None, int | None]]:
    rows = store.arrow("SELECT charge, spin_multiplicity AS spin FROM structure ORDER BY charge NULLS LAST").to_pylist()
    return [(row["charge"], row["spin"]) for row in rows]


def test_a_second_charge_state_is_no_duplicate(charged: Project) -> None:
    assert said(charged) == KNOWN
    atoms = [a for a in charged.structures() if len(a) == 3]
    assert sorted((a.info.get("charge"), a.info.get("spin")) for a in atoms if a.info.get("charge")) == [
        (-1, None), (1, 2)
    ]  # fmt: skip
    assert [check for check in charged.violations() if check[1]] == []


@pytest.mark.parametrize("name", ["a.extxyz", "a.db", "a.json", "a.jsonl", "a.csv", "a.parquet", "cifs"])
def test_exports_carry_them(charged: Project, tmp_path: Path, name: str) -> None:
    charged.export(tmp_path / name)
    again = mlmat.open(tmp_path / "again.duckdb", create=True)
    again.ingest(tmp_path / name, **({"column": "cif"} if name.endswith(("csv", "parquet")) else {}))
    ids = "SELECT structure_id AS id FROM structure ORDER BY ALL"
    assert again.sql(ids)["id"].tolist() == charged.sql(ids)["id"].tolist()
    assert sorted(map(str, said(again))) == sorted(map(str, KNOWN))


def test_other_formats_say_it_too(tmp_path: Path) -> None:
    store = mlmat.open(tmp_path / "x.duckdb", create=True)
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    with connect(tmp_path / "rows.db") as rows:
        rows.write(atoms, total_charge=1)
        rows.write(atoms, total_charge=1, spin_multiplicity=2)
    crystal = Structure.from_ase_atoms(atoms)
    crystal.set_charge(-1)
    (tmp_path / "p.json").write_text(crystal.to_json())
    assert store.ingest(tmp_path / "rows.db", tmp_path / "p.json").outcomes == {"stored": 3}
    store.asedb().write(atoms, total_charge=3)
    expected = [(-1.0, None), (1.0, None), (1.0, 2), (3.0, None)]
    assert sorted(map(str, said(store))) == sorted(map(str, expected))


@pytest.mark.slow
def test_a_model_that_does_not_know_the_charge_computes_no_neutral_one(charged: Project) -> None:
    done = charged.screen("mace", config="threads")
    assert (done.ok, done.failed) == (2, 3)
    failed = charged.sql("SELECT error_message AS m FROM result WHERE status = 'failed'")["m"]
    assert all("which model mace-64x0e-chgnet does not know" in text for text in failed)
    assert sorted(text.split()[4] for text in failed) == ["+1", "+2", "-1"]


def test_charged_cells_compete_in_no_hull_and_have_no_rank(tmp_path: Path) -> None:
    """EMT knows no charge either, but is a runner of somebody's own: the state is the structure's."""
    store = mlmat.open(tmp_path / "x.duckdb", create=True)
    frames: list[Atoms] = []
    for charge in (0, 2):
        frames.append(bulk("Al", "fcc", a=4.05))
        frames[-1].info["charge"] = charge
    write(tmp_path / "al.extxyz", frames)
    store.ingest(tmp_path / "al.extxyz")
    store.screen("mlmat.example_runner", config="threads")
    phase = store.arrow("SELECT competes, reason FROM phase ORDER BY competes").to_pylist()
    assert [row["competes"] for row in phase] == [False, True]
    assert phase[0]["reason"].startswith("charged")
    assert sorted(store.reduce("ranking")["rank"].isna()) == [False, True]
    assert len(store.reduce("candidates")) == 2  # no two settings of one crystal
