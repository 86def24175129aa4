"""The identity of a crystal, and its way through a row."""

from __future__ import annotations

import pickle
import re
from functools import reduce
from math import gcd

import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cell import Cell
from ase.constraints import FixAtoms
from ase.data import chemical_symbols
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from mlmat.materials import structure
from mlmat.materials.structure import (
    anonymous_formula,
    counts,
    from_row,
    from_table,
    reduced_formula,
    space_group,
    structure_id,
    to_row,
)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def crystals(draw: st.DrawFn, least: int = 1) -> Atoms:
    """Cells and coordinates with the digits that files have; six decimals that end in 5 lie between two grid points."""
    lengths = [draw(st.integers(3_000, 9_000)) / draw(st.sampled_from([1e3, 999.9])) for _ in range(3)]
    angles = [draw(st.integers(700, 1100)) / 10 for _ in range(3)]
    coordinate = st.one_of(
        st.integers(0, 999_999).map(lambda k: k / 1e6),
        st.integers(0, 99_999).map(lambda k: k / 1e5 + 5e-6),
        st.sampled_from([0.0, 1 / 3, 2 / 3, 0.25, 0.125, 1 / 6, 0.99999, 0.999995]),
    )
    sites = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=least, max_size=7, unique=True))
    numbers = draw(st.lists(st.integers(1, 94), min_size=len(sites), max_size=len(sites)))
    return Atoms(numbers, scaled_positions=sites, cell=Cell.fromcellpar([*lengths, *angles]), pbc=True)


def turn(atoms: Atoms, seed: int) -> Atoms:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    q *= np.sign(np.linalg.det(q))
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ q.T)
    turned.positions = atoms.positions @ q.T
    if atoms.get_initial_magnetic_moments().ndim == 2:
        turned.set_initial_magnetic_moments(atoms.get_initial_magnetic_moments() @ q.T)
    return turned


@given(crystals(), seeds)
def test_id_does_not_depend_on_how_the_same_crystal_is_written(atoms: Atoms, seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = structure_id(atoms)
    assert structure_id(atoms[rng.permutation(len(atoms))]) == expected
    assert structure_id(turn(atoms, seed)) == expected
    images = atoms.copy()
    images.positions += rng.integers(-3, 4, size=(len(atoms), 3)) @ atoms.cell.array
    assert structure_id(images) == expected
    noisy = atoms.copy()
    noisy.positions += rng.uniform(-1e-9, 1e-9, size=(len(atoms), 3))
    assert structure_id(noisy) == expected
    assert structure_id(turn(images[rng.permutation(len(atoms))], seed)) == expected


@given(crystals(), st.integers(0, 6), st.integers(0, 2))
def test_id_changes_with_the_crystal(atoms: Atoms, which: int, axis: int) -> None:
    expected, i = structure_id(atoms), which % len(atoms)

    def changed(change: object) -> bool:
        other = atoms.copy()
        change(other)  # type: ignore[operator]
        return structure_id(other) != expected

    def move(other: Atoms) -> None:
        other.positions[i, axis] += 1e-3

    def element(other: Atoms) -> None:
        other.numbers[i] = other.numbers[i] % 94 + 1

    def moments(other: Atoms) -> None:
        other.set_initial_magnetic_moments([2.0 if k == i else 0.0 for k in range(len(other))])

    def charges(other: Atoms) -> None:
        other.set_initial_charges([1.0 if k == i else 0.0 for k in range(len(other))])

    assert changed(move)
    assert changed(element)
    assert changed(moments)
    assert changed(charges)
    assert changed(lambda other: other.set_cell(other.cell.array * 1.0001, scale_atoms=True))
    assert changed(lambda other: other.set_pbc([True, True, False]))


@given(crystals(least=2))
def test_swapping_two_species_is_another_crystal(atoms: Atoms) -> None:
    atoms.numbers[:2] = 11, 17
    swapped = atoms.copy()
    swapped.numbers[:2] = 17, 11
    assert structure_id(swapped) != structure_id(atoms)


def quartz() -> Atoms:
    """α-quartz, P 3_1 2 1: not superposable on its mirror image."""
    silicon = [(0.4697, 0, 1 / 3), (0, 0.4697, 2 / 3), (0.5303, 0.5303, 0)]
    x, y, z = 0.4133, 0.2672, 0.4521
    oxygen = [(x, y, z), (-y, x - y, z + 1 / 3), (y - x, -x, z + 2 / 3), (y, x, -z), (x - y, -y, 2 / 3 - z),
              (-x, y - x, 1 / 3 - z)]  # fmt: skip
    return Atoms("Si3O6", scaled_positions=silicon + oxygen, cell=[4.913, 4.913, 5.405, 90, 90, 120], pbc=True)


def test_mirror_image_of_a_chiral_crystal_is_another_one() -> None:
    hand = quartz()
    mirrored = hand.copy()
    mirrored.set_cell(hand.cell.array * [-1, 1, 1])
    mirrored.positions[:, 0] *= -1
    same_cell = Atoms(hand.symbols, scaled_positions=-hand.get_scaled_positions(), cell=hand.cell, pbc=True)
    assert len({structure_id(hand), structure_id(mirrored), structure_id(same_cell)}) == 3
    assert structure_id(turn(mirrored, 1)) == structure_id(mirrored)


@given(crystals(), seeds)
def test_vector_moments_turn_with_the_crystal_and_count(atoms: Atoms, seed: int) -> None:
    vectors = np.random.default_rng(seed).integers(-3, 4, size=(len(atoms), 3)) * 0.5
    vectors[0] = 1, 0.5, 0
    magnetic = atoms.copy()
    magnetic.set_initial_magnetic_moments(vectors)
    assert structure_id(turn(magnetic, seed)) == structure_id(magnetic) != structure_id(atoms)
    canted = magnetic.copy()
    canted.set_initial_magnetic_moments(-vectors)
    assert structure_id(canted) != structure_id(magnetic)


@given(crystals(), st.sampled_from(["none", "scalar", "vector", "zero vectors"]), st.booleans(), seeds)
def test_a_row_gives_back_the_atoms_bit_for_bit(atoms: Atoms, moments: str, charged: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    atoms.pbc = rng.integers(0, 2, 3).astype(bool)
    if moments != "none":
        shape = (len(atoms),) if moments == "scalar" else (len(atoms), 3)
        atoms.set_initial_magnetic_moments(np.zeros(shape) if "zero" in moments else rng.normal(size=shape))
    if charged:
        atoms.set_initial_charges(rng.normal(size=len(atoms)))
    back = from_row(to_row(atoms))
    assert back.positions.tobytes() == atoms.positions.tobytes()
    assert back.cell.array.tobytes() == atoms.cell.array.tobytes()
    assert back.numbers.tolist() == atoms.numbers.tolist()
    assert back.pbc.tolist() == atoms.pbc.tolist()
    if moments in {"scalar", "vector"}:
        assert np.array_equal(back.get_initial_magnetic_moments(), atoms.get_initial_magnetic_moments())
    else:
        assert not back.get_initial_magnetic_moments().any()
    assert np.array_equal(back.get_initial_charges(), atoms.get_initial_charges())
    assert structure_id(back) == to_row(atoms)["structure_id"]


GEOMETRY = pa.schema(
    [("lattice_vectors", pa.list_(pa.list_(pa.float64(), 3), 3)),
     ("cartesian_site_positions", pa.list_(pa.list_(pa.float64(), 3))), ("atomic_numbers", pa.list_(pa.uint8())),
     ("dimension_types", pa.list_(pa.uint8(), 3)), ("initial_magnetic_moments", pa.list_(pa.float64())),
     ("initial_charges", pa.list_(pa.float64()))]
)  # fmt: skip


@given(st.lists(st.tuples(crystals(), seeds), min_size=1, max_size=6), st.integers(0, 5), st.integers(0, 5))
def test_a_table_gives_the_atoms_that_its_rows_give(some: list[tuple[Atoms, int]], first: int, middle: int) -> None:
    for atoms, seed in some:
        rng = np.random.default_rng(seed)
        atoms.pbc = rng.integers(0, 2, 3)
        if rng.integers(2):
            atoms.set_initial_charges(rng.normal(size=len(atoms)))
        if kind := rng.integers(3):
            atoms.set_initial_magnetic_moments(rng.normal(size=(len(atoms), 3)[:kind]))
    rows = [{name: value for name, value in to_row(atoms).items() if name in GEOMETRY.names} for atoms, _ in some]
    whole = pa.Table.from_pylist(rows, GEOMETRY)
    parts = [whole.slice(first), whole.slice(middle, 1), whole.slice(0, 0), pa.Table.from_pylist(rows)]
    for table in (whole, *parts, pa.concat_tables(parts[:3])):
        expected = [from_row(row) for row in table.to_pylist()]
        found = list(from_table(table))
        assert len(found) == len(table)
        for atoms, other in zip(expected, found, strict=True):
            assert atoms == other
            assert atoms.arrays.keys() == other.arrays.keys()
            assert all((atoms.arrays[n] == other.arrays[n]).all() for n in atoms.arrays)
            assert {n: a.dtype for n, a in atoms.arrays.items()} == {n: a.dtype for n, a in other.arrays.items()}
            other.positions += 1.0
            other.cell[:] = 0.0  # each has arrays of its own
    assert list(from_table(whole)) == [from_row(row) for row in whole.to_pylist()]
    backwards = range(len(whole))[::-1]
    assert list(from_table(whole, backwards)) == list(from_table(whole))[::-1]


def test_atoms_of_a_table_are_all_that_the_constructor_makes() -> None:
    made = [
        Atoms("CuO", positions=[[0, 0, 0], [1, 2, 3]], cell=[[4, 0, 0], [1, 5, 0], [0, 1, 6]], pbc=[1, 0, 1]),
        Atoms("Cl3", positions=np.eye(3), cell=[3, 4, 5], pbc=True, magmoms=np.eye(3), charges=[1, 0, -1]),
        Atoms(),
    ]
    rows = [{name: value for name, value in to_row(atoms).items() if name in GEOMETRY.names} for atoms in made]
    found = list(from_table(pa.Table.from_pylist(rows, GEOMETRY)))
    for atoms, other in zip(made, found, strict=True):
        assert vars(other).keys() == vars(atoms).keys()
        assert {name: type(value) for name, value in vars(other).items()} == {
            n: type(v) for n, v in vars(atoms).items()
        }
        assert repr(other) == repr(atoms) == repr(other.copy()) == repr(pickle.loads(pickle.dumps(other)))
        assert other.pbc.tolist() == atoms.pbc.tolist()
        assert other.cell.array.tobytes() == atoms.cell.array.tobytes()
        assert other.get_celldisp().tolist() == atoms.get_celldisp().tolist()
        assert (other.constraints, other.info, other.calc) == ([], {}, None)
        for name, array in other.arrays.items():
            assert (array.dtype, array.shape) == (atoms.arrays[name].dtype, atoms.arrays[name].shape)
            assert array.flags.owndata
            assert array.flags.writeable
    first, second, _ = found
    first.calc = SinglePointCalculator(first, energy=-1.0)
    assert first.get_potential_energy() == -1.0
    first.info["a"], first.pbc = 1, False
    first.set_celldisp([1, 1, 1])
    first.set_constraint(FixAtoms([0]))
    first.extend(Atoms("H"))
    assert len(first) == 3
    assert second == made[1]
    assert (second.constraints, second.info, second.calc) == ([], {}, None)
    assert not second.get_celldisp().any()
    assert second.pbc.all()


def test_atoms_of_another_kind_are_left_to_the_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should ASE give its `Atoms` another field one day."""
    row = {name: value for name, value in to_row(bulk("NaCl", "rocksalt", a=5.6)).items() if name in GEOMETRY.names}
    table = pa.Table.from_pylist([row], GEOMETRY)
    monkeypatch.setattr(structure, "_FIELDS", {"arrays"})
    structure._maker.cache_clear()
    try:
        assert list(from_table(table)) == [from_row(row)]
    finally:
        structure._maker.cache_clear()


@given(st.dictionaries(st.sampled_from(chemical_symbols[1:95]), st.integers(1, 60), min_size=1, max_size=8))
def test_formulas_against_pymatgen(amounts: dict[str, int]) -> None:
    ours = Composition(reduced_formula(amounts))
    divisor = reduce(gcd, amounts.values())
    assert ours == Composition({el: n // divisor for el, n in amounts.items()})
    elements = re.findall("[A-Z][a-z]?", reduced_formula(amounts))
    assert elements == sorted(elements)
    # pymatgen writes the smallest amount first, OPTIMADE the largest.
    parts = [(letter, int(n or 1)) for letter, n in re.findall(r"([A-Z])(\d*)", anonymous_formula(amounts))]
    theirs = [int(n or 1) for _, n in re.findall(r"([A-Z])(\d*)", Composition(amounts).anonymized_formula)]
    if divisor == reduce(gcd, theirs):
        theirs = [n // divisor for n in theirs]
    assert [letter for letter, _ in parts] == [chr(ord("A") + i) for i in range(len(parts))]
    assert [n for _, n in parts] == sorted(theirs, reverse=True)


def test_anonymous_letters_go_on_as_optimade_says() -> None:
    many = dict.fromkeys(chemical_symbols[1:54], 1)
    assert anonymous_formula(many).startswith("ABCDEFGHIJKLMNOPQRSTUVWXYZAaBaCa")
    assert anonymous_formula(many).endswith("ZaAb")


def test_formulas_of_known_compounds() -> None:
    assert reduced_formula(counts([8, 8, 8, 26, 26])) == "Fe2O3"
    assert anonymous_formula(counts([8, 8, 8, 26, 26])) == "A3B2"
    assert reduced_formula(counts([11, 7])) == "NNa"


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_no_space_group_is_asked_for_where_spglib_would_crash(broken: float) -> None:
    atoms = bulk("Cu")
    atoms.positions[0, 0] = broken
    assert space_group(atoms) is None
    assert to_row(atoms)["space_group_it_number"] is None
    flat = bulk("Cu")
    flat.set_cell(np.zeros((3, 3)))
    assert space_group(flat) is None
    assert space_group(Atoms("Cu", cell=[5, 5, 5], pbc=[True, True, False])) is None


def test_space_group_density_and_volume_of_rock_salt() -> None:
    row = to_row(bulk("NaCl", "rocksalt", a=5.6402, cubic=True))
    assert (row["space_group_it_number"], row["space_group_symbol"]) == (225, "Fm-3m")
    assert row["volume"] == pytest.approx(5.6402**3)
    assert row["density"] == pytest.approx(2.163, abs=2e-3)
    assert row["elements_ratios"] == [0.5, 0.5]


def test_what_is_no_crystal_has_a_row_too() -> None:
    molecule = to_row(Atoms("OH2", positions=[[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
    assert molecule["volume"] is None
    assert molecule["dimension_types"] == [0, 0, 0]
    nothing = to_row(Atoms(pbc=True, cell=[3, 3, 3]))
    assert nothing["nsites"] == 0
    assert len(from_row(nothing)) == 0
