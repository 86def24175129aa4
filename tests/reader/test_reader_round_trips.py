"""What ASE and pymatgen write is read back equal: structure, key-value pairs, results with their units."""

from __future__ import annotations

import json
from io import StringIO
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa
from effort import examples
from good_files import WRITERS, as_ase_json, as_poscar, as_traj, as_xyz, optimade_resource, rock_salt
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmat.materials.structure import structure_id
from mlmat.reader import read
from mlmat.reader.common.values import SHAPES

GRID = np.array(list(product((0.05, 0.55), repeat=3)))
ELEMENTS = ("H", "Li", "O", "Na", "Si", "Fe", "Cs", "U")
NUMBERS = st.floats(-1e4, 1e4).map(lambda x: round(x, 6))
KEYS = st.text("abcdefghij_", min_size=1, max_size=8).map(lambda text: f"k{text}")
PAIRS = st.dictionaries(
    KEYS,
    st.one_of(st.text("abc é-", min_size=1, max_size=9).map(lambda t: f"t{t}t"), NUMBERS, st.booleans()),
    max_size=4,
)


@st.composite
def crystals(draw, slabs=False):
    """Up to eight atoms of any elements in any order in a triclinic cell, well apart, digits as in files."""
    n = draw(st.integers(1, 8))
    lengths = [draw(st.integers(4_000, 9_000)) / 1000 for _ in range(3)]
    angles = [draw(st.integers(75, 105)) for _ in range(3)]
    places = GRID[draw(st.permutations(range(8)))[:n]] + [
        [draw(st.integers(-9, 9)) / 100 for _ in "xyz"] for _ in range(n)
    ]
    atoms = Atoms([draw(st.sampled_from(ELEMENTS)) for _ in range(n)], cell=[*lengths, *angles], pbc=True)
    atoms.set_scaled_positions(places)
    atoms.positions += draw(st.sampled_from([0, 7.5, -20.25]))
    if slabs:
        atoms.pbc = draw(st.sampled_from([(True, True, True), (True, True, False), (False, False, True)]))
    return atoms


@st.composite
def results(draw, n):
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    every = {
        "energy": float(rng.normal()),
        "free_energy": float(rng.normal()),
        "forces": rng.normal(size=(n, 3)).round(6),
        "stress": rng.normal(size=6).round(6),
        "magmoms": rng.normal(size=n).round(4),
        "charges": rng.normal(size=n).round(4),
        "dipole": rng.normal(size=3).round(4),
        "magmom": float(rng.normal()),
    }
    return {name: every[name] for name in every if draw(st.booleans())}


@st.composite
def computed(draw):
    atoms = draw(crystals(slabs=True))
    atoms.calc = SinglePointCalculator(atoms, **draw(results(len(atoms))))
    atoms.info = draw(PAIRS)
    return atoms


def same(block, atoms, tolerance=0.0):
    assert block.outcome == "stored", block.reason
    if tolerance:
        assert np.allclose(block.atoms.positions, atoms.positions, atol=tolerance, rtol=0)
        assert block.atoms.numbers.tolist() == atoms.numbers.tolist()
        assert np.allclose(block.atoms.cell, atoms.cell, atol=tolerance)
    else:
        assert structure_id(block.atoms) == structure_id(atoms)
    assert dict(block.key_values) == atoms.info
    found = {k: v for k, v in block.results.items() if k != "calculator"}
    expected = atoms.calc.results if atoms.calc else {}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.allclose(found[name], value, atol=tolerance, rtol=0), name


@settings(max_examples=examples(40))
@given(st.lists(computed(), min_size=1, max_size=3))
def test_trajectories(frames):
    found = list(read("x.traj", as_traj(frames)))
    assert [b.index for b in found] == list(range(len(frames)))
    for block, atoms in zip(found, frames, strict=True):
        same(block, atoms)


@settings(max_examples=examples(40))
@given(st.lists(computed(), min_size=1, max_size=3))
def test_extended_xyz(frames):
    found = list(read("x.extxyz", as_xyz(frames)))
    for block, atoms in zip(found, frames, strict=True):
        same(block, atoms, tolerance=1e-7)


@settings(max_examples=examples(15))
@given(st.lists(computed(), min_size=1, max_size=3))
def test_ase_json_databases(frames):
    found = list(read("x.json", as_ase_json([(atoms, atoms.info) for atoms in frames])))
    assert [b.name for b in found] == [str(i + 1) for i in range(len(frames))]
    for block, atoms in zip(found, frames, strict=True):
        same(block, atoms)
        again = list(read("row.json", block.text.encode()))
        assert [structure_id(b.atoms) for b in again] == [structure_id(atoms)]


@settings(max_examples=examples(40))
@given(crystals(), st.booleans(), st.booleans())
def test_poscars_of_ase(atoms, direct, ordered):
    (block,) = read("POSCAR", as_poscar(atoms, direct=direct, sort=ordered))
    same(block, atoms)


@settings(max_examples=examples(20))
@given(crystals(), st.booleans())
def test_poscars_of_pymatgen(atoms, direct):
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp import Poscar

    poscar = Poscar(AseAtomsAdaptor.get_structure(atoms))
    (block,) = read("POSCAR", poscar.get_str(direct=direct, significant_figures=14).encode())
    same(block, atoms)


@settings(max_examples=examples(25))
@given(crystals(slabs=True), PAIRS, st.booleans())
def test_pymatgen_structures_and_entries(atoms, pairs, moments):
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.ase import AseAtomsAdaptor

    if moments:
        atoms.set_initial_magnetic_moments(np.arange(len(atoms)) / 4)
        atoms.set_initial_charges(np.arange(len(atoms)) / -8)
    structure = AseAtomsAdaptor.get_structure(atoms)
    (block,) = read("x.json", json.dumps(structure.as_dict()).encode())
    same(block, atoms)
    entry = ComputedStructureEntry(structure, -3.25, correction=0.5, data=dict(pairs), entry_id="mp-1")
    (block,) = read("x.json", json.dumps([entry.as_dict()]).encode())
    assert structure_id(block.atoms) == structure_id(atoms)
    assert block.name == "mp-1"
    assert block.results == {"energy": -3.25}
    assert block.key_values == {**pairs, "correction": 0.5}


@settings(max_examples=examples(40))
@given(computed())
def test_optimade_with_results_of_mlmat(atoms):
    values = {name: np.asarray(value).tolist() for name, value in atoms.calc.results.items()}
    ours = {f"_mlmat_{name}": value for name, value in values.items()}
    resource = optimade_resource(atoms, **ours, **atoms.info, last_modified=None)
    (block,) = read("x.jsonl", json.dumps(resource).encode())
    assert block.name == "salt/1"
    same(block, atoms)
    (again,) = read("x.json", json.dumps({"data": [resource]}).encode())
    assert structure_id(again.atoms) == structure_id(block.atoms)


@settings(max_examples=examples(25))
@given(crystals(), st.integers(-5, 5), st.booleans())
def test_initial_moments_and_charges(atoms, moment, vectors):
    shape = (len(atoms), 3) if vectors else (len(atoms),)
    atoms.set_initial_magnetic_moments(np.arange(np.prod(shape)).reshape(shape) / 8 + moment)
    atoms.set_initial_charges(np.arange(len(atoms)) - 0.5)
    for file, write in (WRITERS["ase_json"], WRITERS["traj"], WRITERS["xyz"]):
        (block,) = read(file, write(atoms))
        assert structure_id(block.atoms) == structure_id(atoms), file


def test_names_of_results_are_those_of_ase():
    assert set(SHAPES) <= set(all_properties)


@pytest.mark.parametrize("file", ["x.json", "x.traj", "x.extxyz"])
def test_units_and_signs_are_those_of_ase(file):
    """Copper by EMT, compressed by 5 %: the pressure is positive, the stress negative, in eV/Å³."""
    from ase.build import bulk

    atoms = bulk("Cu", a=3.6 * 0.95, cubic=True)
    atoms.positions[0] += 0.1
    atoms.calc = EMT()
    stress, forces, energy = atoms.get_stress(), atoms.get_forces(), atoms.get_potential_energy()
    write = {"x.json": as_ase_json, "x.traj": as_traj, "x.extxyz": as_xyz}[file]
    (block,) = read(file, write(atoms))
    assert 20 < -block.results["stress"][:3].mean() / GPa < 60
    assert np.allclose(block.results["stress"], stress, atol=1e-8)
    assert np.allclose(block.results["forces"], forces, atol=1e-7)
    assert block.results["energy"] == pytest.approx(energy, abs=1e-8)
    assert block.results.get("calculator") == (None if file == "x.extxyz" else "emt")


def test_a_virial_becomes_a_stress():
    atoms = rock_salt()
    virial = np.array([[3.0, 0.5, 0.25], [0.5, 2.0, 0.125], [0.25, 0.125, 1.0]])
    for key in ("virial", "virials"):
        atoms.info = {key: virial if key == "virial" else virial.ravel()}
        text = StringIO()
        from ase.io.extxyz import write_xyz

        write_xyz(text, atoms)
        (block,) = read("x.xyz", text.getvalue().encode())
        assert np.allclose(block.results["stress"], -np.array([3, 2, 1, 0.125, 0.25, 0.5]) / atoms.cell.volume)
