"""Same crystals as the store keeps them: compared once, later ones with those that are known, ranked once."""

from __future__ import annotations

import pytest
from ase.build import bulk
from hand_made import crystal, stored

from mlmat.materials.matching import TOLERANCE
from mlmat.store import Store

SALT = [bulk("NaCl", "rocksalt", a=5.6), bulk("NaCl", "rocksalt", a=5.6, cubic=True), bulk("NaCl", "zincblende", a=5.6)]


def test_crystals_lists_what_is_there_more_than_once(store: Store) -> None:
    one, cubic, zincblende, _ = stored(store, *SALT, crystal())
    found = store.arrow("FROM crystals").to_pylist()
    assert [(row["structure_id"], row["crystal_id"], row["structures"]) for row in found] == [
        (one, one, 2), (cubic, one, 2),
    ]  # fmt: skip
    assert {row["tolerance"] for row in found} == {TOLERANCE}
    assert all(row["path"].startswith("/files/") for row in found)
    kept = store.sql("SELECT structure_id FROM same_crystal")["structure_id"]
    assert set(kept) == {one, cubic, zincblende}  # copper is alone


def test_nothing_is_compared_twice_and_later_ones_join(store: Store) -> None:
    one, _ = stored(store, *SALT[::2])
    assert store.refresh_crystals() == 1
    assert store.refresh_crystals() == 0
    stored(store, SALT[1])
    assert store.refresh_crystals() == 1
    assert store.sql("SELECT crystal_id FROM crystals")["crystal_id"].tolist() == [one, one]


def test_another_tolerance_compares_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(store, *SALT)
    store.refresh_crystals()
    monkeypatch.setattr("mlmat.store.hulls.crystals.TOLERANCE", "another")
    assert store.refresh_crystals() == 1
    assert store.sql("SELECT DISTINCT tolerance FROM same_crystal")["tolerance"].tolist() == ["another"]
    assert len(store.sql("FROM same_crystal")) == 3


def test_molecules_are_left_out(store: Store) -> None:
    free = [atoms.copy() for atoms in SALT]
    for atoms in free:
        atoms.pbc = (True, True, False)
    stored(store, *free)
    assert store.refresh_crystals() == 0
