"""What went out comes in again equal: through the programs that a format is for, and through mlmat's own readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from crystals import LABEL, Found, Made, fill, read_again, several
from hypothesis import given, settings

from mlmat.export import export
from mlmat.export._keys import plain_text
from mlmat.materials.structure import structure_id
from mlmat.reader import Limits
from mlmat.reader import read as read_as_ingest_does
from mlmat.store import Store

WITH_FORCES = ("all.db", "all.json", "all.extxyz", "all.xyz", "all.jsonl", "all.parquet")
EVERY = (*WITH_FORCES, "cifs", "all.cif", "all.csv")
NewStore = Callable[[], Store]


def exported(store: Store, many: list[Made], names: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Export the same crystals under several names."""
    fill(store, many)
    for name in names:
        target = store.path.parent / name
        assert export(store, str(target)).written == len(many)
        yield name, target


def by_id(found: list[Found]) -> dict[str, Found]:
    return {structure_id(one.atoms): one for one in found}


@settings(max_examples=4)
@given(many=several())
def test_structures_and_results_come_back_by_other_programs(new_store: NewStore, many: list[Made]) -> None:
    for name, target in exported(new_store(), many, EVERY):
        found = by_id(read_again(target))
        assert set(found) == {made.id for made in many}, name
        for made in many:
            one = found[made.id]
            assert one.energy == pytest.approx(made.energy, abs=1e-9), name
            assert sorted(one.atoms.numbers) == sorted(made.atoms.numbers)
            if name in WITH_FORCES:
                np.testing.assert_allclose(one.forces, made.forces, rtol=0, atol=1e-9, err_msg=name)
                np.testing.assert_allclose(one.stress, made.stress, rtol=0, atol=1e-9, err_msg=name)


@settings(max_examples=6)
@given(many=several())
def test_ids_methods_and_words_come_back(new_store: NewStore, many: list[Made]) -> None:
    for name, target in exported(new_store(), many, ("all.db", "all.json", "all.extxyz")):
        found = by_id(read_again(target))
        for made in many:
            facts = found[made.id].facts
            assert facts["structure_id"] == plain_text(made.id) or name != "all.extxyz"
            assert facts["method"] == LABEL
            assert facts["energy_per_atom"] == pytest.approx(made.energy / len(made.atoms), abs=1e-9)
            assert plain_text(facts.get("note", "")) == plain_text(made.note or "")


@settings(max_examples=6)
@given(many=several(moments=True, slabs=True))
def test_moments_charges_and_slabs_come_back_by_ase(new_store: NewStore, many: list[Made]) -> None:
    for name, target in exported(new_store(), many, ("all.db", "all.json", "all.extxyz")):
        assert set(by_id(read_again(target))) == {made.id for made in many}, name


@settings(max_examples=6)
@given(many=several(moments=True))
def test_moments_charges_and_results_come_back_by_the_readers_of_ingest(new_store: NewStore, many: list[Made]) -> None:
    for name, target in exported(new_store(), many, ("all.json", "all.extxyz", "all.jsonl", "all.cif")):
        blocks = list(read_as_ingest_does(target.name, target.read_bytes(), Limits()))
        assert {block.outcome for block in blocks} <= {"stored", "flagged"}, name
        found = {structure_id(block.atoms): block for block in blocks}
        assert set(found) == {made.id for made in many}, name
        for made in many if name != "all.cif" else []:
            results = found[made.id].results
            assert results["energy"] == pytest.approx(made.energy, abs=1e-9)
            np.testing.assert_allclose(results["forces"], made.forces, rtol=0, atol=1e-9)
            np.testing.assert_allclose(results["stress"], made.stress, rtol=0, atol=1e-9)


def test_vector_moments_come_back(store: Store, tmp_path: Path) -> None:
    atoms = Atoms("FeO", cell=[4, 4, 6, 80, 90, 115], scaled_positions=[(0, 0, 0), (0.5, 0.4, 0.3)], pbc=True)
    atoms.set_initial_magnetic_moments([[0.5, 1.5, -2.0], [0, 0, 0.25]])
    made = Made(atoms, -1.0, np.zeros((2, 3)), np.zeros(6))
    fill(store, [made])
    for name in ("a.cif", "a.json", "a.extxyz", "a.jsonl"):
        export(store, str(tmp_path / name))
        (block,) = read_as_ingest_does(name, (tmp_path / name).read_bytes(), Limits())
        assert structure_id(block.atoms) == made.id, name


def test_a_left_handed_cell_becomes_the_same_crystal_in_a_right_handed_one(store: Store, tmp_path: Path) -> None:
    atoms = Atoms(
        "LiO", cell=[[0, 4, 0], [3, 0, 0], [0, 1, 5]], scaled_positions=[(0, 0, 0), (0.3, 0.4, 0.5)], pbc=True
    )
    fill(store, [Made(atoms, -1.0, np.zeros((2, 3)), np.zeros(6))])
    export(store, str(tmp_path / "a.cif"))
    (block,) = read_as_ingest_does("a.cif", (tmp_path / "a.cif").read_bytes(), Limits())
    turned = Atoms(atoms.numbers, positions=atoms.positions, cell=-atoms.cell.array, pbc=True)
    assert np.linalg.det(atoms.cell.array) < 0
    assert structure_id(block.atoms) == structure_id(turned)
