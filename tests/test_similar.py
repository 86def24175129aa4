"""The same crystal in another setting, origin, supercell or order of atoms, and what is another one."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.spacegroup import crystal as crystal_of
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmat.materials.matching import crystal, group


def rutile(a: float = 4.6, u: float = 0.305) -> Atoms:
    return crystal_of(["Ti", "O"], [(0, 0, 0), (u, u, 0)], spacegroup=136, cellpar=[a, a, 2.96, 90, 90, 90])


def quartz() -> Atoms:
    return crystal_of(["Si", "O"], [(0.47, 0, 0), (0.413, 0.267, 0.119)], spacegroup=152,
                      cellpar=[4.91, 4.91, 5.4, 90, 90, 120])  # fmt: skip


def same(*found: Atoms) -> list[int]:
    """For each structure the place of the one that stands for its crystal."""
    names = [str(i) for i in range(len(found))]
    said = group([], [crystal(name, atoms) for name, atoms in zip(names, found, strict=True)])
    return [int(said[name]) for name in names]


@st.composite
def other_descriptions(draw: st.DrawFn) -> tuple[Atoms, Atoms]:
    """A crystal, and the same in another supercell, origin, orientation and order, to four digits."""
    one = draw(st.sampled_from([rutile(), quartz(), bulk("NaCl", "rocksalt", a=5.6), bulk("Mg"), bulk("Si")]))
    matrix = np.eye(3, dtype=int) * draw(st.sampled_from([[1, 1, 1], [1, 1, 2], [2, 1, 1]]))
    matrix[0, 1] = draw(st.integers(-1, 1))
    other = make_supercell(one, matrix)
    other.translate(draw(st.tuples(*[st.floats(0, 3)] * 3)))
    other.rotate(draw(st.floats(0, 90)), "xyz"[draw(st.integers(0, 2))], rotate_cell=True)
    other = other[draw(st.permutations(range(len(other))))]
    other.positions = other.positions.round(4)
    other.wrap()
    return one, other


@settings(max_examples=examples(25))
@given(other_descriptions())
def test_descriptions_of_one_crystal_are_the_same(pair: tuple[Atoms, Atoms]) -> None:
    assert same(*pair) == [0, 0]


def test_conventional_and_primitive_cells_are_the_same() -> None:
    assert same(bulk("NaCl", "rocksalt", a=5.6), bulk("NaCl", "rocksalt", a=5.6, cubic=True)) == [0, 0]


@pytest.mark.parametrize(
    "other",
    [bulk("NaCl", "rocksalt", a=6.2), bulk("NaCl", "cesiumchloride", a=3.5), bulk("NaCl", "zincblende", a=5.6)],
    ids=["volume", "structure", "sites"],
)
def test_other_crystals_of_the_formula_are_others(other: Atoms) -> None:
    assert same(bulk("NaCl", "rocksalt", a=5.6), other) == [0, 1]


def test_a_distortion_beyond_the_tolerance_is_another_crystal() -> None:
    assert same(rutile(), rutile(u=0.307), rutile(u=0.36)) == [0, 0, 2]


def test_a_magnetic_one_is_not_the_one_without_moments() -> None:
    plain, up, mixed = (bulk("Fe", cubic=True) for _ in range(3))
    up.set_initial_magnetic_moments([2.0, 2.0])
    mixed.set_initial_magnetic_moments([2.0, -2.0])
    assert same(plain, up, mixed, up) == [0, 1, 2, 1]


def test_later_ones_are_compared_with_those_that_stand_for_a_crystal() -> None:
    known = [crystal("salt", bulk("NaCl", "rocksalt", a=5.6))]
    new = [
        crystal("again", bulk("NaCl", "rocksalt", a=5.6, cubic=True)),
        crystal("new", bulk("NaCl", "zincblende", a=5.6)),
    ]
    assert group(known, new) == {"again": "salt", "new": "new"}


def test_degenerate_cells_stop_nobody() -> None:
    flat = Atoms("Na2", cell=[[1, 0, 0], [1, 1e-4, 0], [0, 0, 1]], positions=[[0, 0, 0], [0.5, 0, 0.5]], pbc=True)
    long = Atoms("Na2", cell=[1e-3, 1e4, 1.0], positions=[[0, 0, 0], [0, 0, 0.5]], pbc=True)
    assert same(flat, long, bulk("Na", cubic=True), bulk("Na")) == [0, 1, 2, 2]
