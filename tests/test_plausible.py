"""Structures that no real crystal looks like, against ASE's neighbour list, crystals that ship, and ruined ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list

from mlmat.materials.plausible import _neighbours, implausible
from mlmat.materials.structure import from_row, to_row
from mlmat.reader import read
from mlmat.references import files

if TYPE_CHECKING:
    from pathlib import Path

BOHR = 0.529177210903


def why(atoms: Atoms) -> str | None:
    return implausible(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def scaled(atoms: Atoms, factor: float) -> Atoms:
    other = atoms.copy()
    other.set_cell(other.cell * factor, scale_atoms=True)
    return other


SOUND = {
    "fcc": bulk("Cu"),
    "rock salt": bulk("MgO", "rocksalt", a=4.21),
    "caesium chloride": bulk("CsCl", "cesiumchloride", a=4.12),
    "diamond": bulk("C"),
    "zinc blende": bulk("GaAs", "zincblende", a=5.65),
    "heavy alkali": bulk("Cs"),
    "noble gas": bulk("Xe", "fcc", a=6.2),
    "cobalt": bulk("Co"),
    "manganese": bulk("Mn", "fcc", a=3.5),
    "uranium": bulk("U", "bcc", a=3.43),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_crystals_pass_and_ruined_ones_do_not(name: str) -> None:
    atoms = SOUND[name]
    assert why(atoms) is None
    # Caesium and xenon at half of their lengths are those of 70 GPa, and nothing holds solid xenon together.
    factors = {0.1, 0.3, 0.5, BOHR, 0.6, 10}
    factors -= {"heavy alkali": {0.5, BOHR, 0.6}, "noble gas": {0.5, BOHR, 0.6, 10}}.get(name, set())
    for factor in factors:
        assert why(scaled(atoms, factor)), factor


def test_the_elements_that_ship_pass(tmp_path: Path) -> None:
    [path] = files(["elements"], tmp_path)
    blocks = list(read("elements.cif", path.read_bytes()))
    assert len(blocks) == 179
    assert [block.name for block in blocks if block.atoms is None or to_row(block.atoms)["implausible"]] == []


@pytest.mark.parametrize("name", ["H2", "CH3CH2OH", "C60", "SiH4", "CO", "HF"])
def test_molecules_in_boxes_pass(name: str) -> None:
    atoms = molecule(name)
    atoms.center(vacuum=8)
    assert why(atoms) is None
    atoms.pbc = True
    assert why(atoms) is None


def test_slabs_wires_and_isolated_atoms_without_periodicity_pass() -> None:
    slab = fcc111("Al", (1, 1, 4), vacuum=10)
    assert why(slab) is None
    slab.pbc = True
    assert why(slab) is None
    assert why(Atoms("Fe", cell=[0, 0, 2.2], pbc=(False, False, True))) is None
    assert why(Atoms("Fe")) is None
    assert why(Atoms("Fe", cell=[12, 12, 12], pbc=True))


def test_compressed_and_stretched_crystals_pass() -> None:
    """As in equations of state, and at the pressure of the centre of the earth (hcp iron, 7.0 Å³ per atom)."""
    assert [why(scaled(atoms, f)) for atoms in SOUND.values() for f in (0.9, 0.95, 1.05, 1.1)] == [None] * 40
    assert why(bulk("Fe", "hcp", a=2.16, c=3.46)) is None


def test_reasons_have_the_numbers() -> None:
    cobalt = why(Atoms("Co", cell=[1, 1, 1], pbc=True))
    assert cobalt is not None
    assert cobalt.startswith("too dense: 1 Å³ per atom, 10% of")
    close = why(Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 1.2]], cell=[4, 4, 4], pbc=True))
    assert close == "atoms too close: Na-Cl 1.200 Å, 47% of the sum of covalent radii"
    loose = why(scaled(bulk("NaCl", "rocksalt", a=5.64), 2.5))
    assert loose is not None
    assert loose.startswith("isolated atoms: none has a neighbour within 6 Å (nearest: Na-Cl 7.05 Å), in 17")


@pytest.mark.parametrize("distance", [0.1, 0.3, 0.5, 0.6, 0.7])
@pytest.mark.parametrize("which", range(9))
def test_doubled_atoms_are_seen(which: int, distance: float) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.set_cell([9, 9, 9])
    atoms.pbc = True
    direction = np.random.default_rng(which).normal(size=3)
    twin = Atoms(atoms[which].symbol, [atoms.positions[which] + distance * direction / np.linalg.norm(direction)])
    assert why(atoms + twin)


@pytest.mark.parametrize("pbc", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
@pytest.mark.parametrize("n", [1, 2, 9, 55])
def test_nearest_distances_are_those_of_ase(n: int, pbc: tuple[int, int, int]) -> None:
    """In skewed cells, for all patterns of periodicity: with all pairs, and with a tree beyond 40 atoms."""
    rng = np.random.default_rng(n)
    for _ in range(8):
        side = 2.6 * n ** (1 / 3)
        cell = np.eye(3) * side + rng.normal(0, 0.2 * side, (3, 3))
        skew = np.array([[1, 0, 0], [rng.integers(-3, 4), 1, 0], [*rng.integers(-3, 4, 2), 1]])
        cell = (skew @ cell)[rng.permutation(3)]
        atoms = Atoms(np.full(n, 55), cell=cell, pbc=pbc, scaled_positions=rng.uniform(-1, 2, (n, 3)))
        found = _neighbours(atoms.numbers, atoms.positions, cell, atoms.pbc)
        assert found is not None
        first, distance = neighbor_list("id", atoms, 6.0)
        ours = {i: d for i in range(n) for d in [found.distance[found.first == i].min(initial=np.inf)] if d < 6}
        assert ours == pytest.approx({i: distance[first == i].min() for i in set(first.tolist())}, abs=1e-9)


def test_a_row_says_so_and_orientation_does_not_matter() -> None:
    atoms = scaled(bulk("NaCl", "rocksalt", a=5.64), 0.55)
    row = to_row(atoms)
    assert row["implausible"] == why(atoms)
    turned = from_row(row)
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    assert why(turned) == row["implausible"]
    assert to_row(bulk("NaCl", "rocksalt", a=5.64))["implausible"] is None


def test_flat_cells_and_numbers_that_are_none_are_not_judged() -> None:
    assert why(Atoms("Fe", cell=[[1, 0, 0], [1, 0, 0], [0, 0, 1]], pbc=True)) is None
    assert why(Atoms("Fe2", positions=[[0, 0, 0], [np.nan, 0, 0]], cell=[3, 3, 3], pbc=True)) is None


def test_of_published_crystals_few_are_flagged(shared: Path) -> None:
    """A sample of `clean`; docs/plausibility.md has the rates of all sets."""
    import tarfile

    with tarfile.open(shared / "data" / "clean.tar.gz") as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".cif")][::15]
        texts = [archive.extractfile(member).read() for member in members]  # type: ignore[union-attr]
    atoms = [block.atoms for text in texts for block in read("x.cif", text) if block.atoms is not None]
    assert len(atoms) > 400
    assert sum(why(a) is not None for a in atoms) <= 2
    rng = np.random.default_rng(0)
    assert np.mean([why(scaled(a, rng.uniform(0.3, 0.65))) is not None for a in atoms]) > 0.95
    assert np.mean([why(scaled(a, 10)) is not None for a in atoms if a.numbers.min() > 2]) == 1
