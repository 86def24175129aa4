"""Pairs of neighbours in every kind of periodicity against ASE's own list, and what is refused unsearched."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.geometry import complete_cell
from ase.neighborlist import primitive_neighbor_list
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmat.potentials.box import box_of
from mlmat.potentials.graph import Graph, Species, graph_of

CUTOFF = 5.0
SPECIES = Species("any", range(1, 90))
#: What a file may say of a direction without periodicity: nothing, a multiple of another vector, too much, too little.
FREE = {
    "zero": lambda cell, row: np.zeros(3),
    "parallel": lambda cell, row: -2 * cell[row - 1],
    "huge": lambda cell, row: 1e7 * cell[row],
    "tiny": lambda cell, row: 1e-7 * cell[row],
    "not a number": lambda cell, row: np.full(3, np.nan),
    "as it was": lambda cell, row: cell[row],
}


def vectors(graph: Graph) -> np.ndarray:
    sender, receiver = graph.edges
    return graph.positions[receiver] - graph.positions[sender] + graph.images @ graph.cell


def rows_of(first: np.ndarray, second: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Pairs with their vectors in an order that rounding does not change."""
    keep = np.linalg.norm(between, axis=1) < CUTOFF - 1e-6
    rows = np.column_stack([first, second, between])[keep]
    return rows[np.lexsort(np.round(rows, 4).T)]


def assert_pairs_of_ase(atoms: Atoms) -> None:
    graph = graph_of(atoms, SPECIES, CUTOFF)
    cell = complete_cell(np.where(atoms.pbc[:, None], atoms.cell.array, 0))
    cell[~atoms.pbc] *= 60  # ASE takes minutes where a row is shorter than the atoms reach
    positions = atoms.positions - atoms.positions.mean(0)
    first, second, between = primitive_neighbor_list("ijD", atoms.pbc, cell, positions, CUTOFF)
    theirs, ours = rows_of(first, second, between), rows_of(*graph.edges, vectors(graph))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours[:, :2], theirs[:, :2])
    for pair in np.unique(theirs[:, :2], axis=0):  # rounding may swap vectors whose first numbers agree
        mine, other = (rows[(rows[:, :2] == pair).all(1)][:, 2:] for rows in (ours, theirs))
        nearest = np.linalg.norm(mine[:, None] - other, axis=2)
        assert max(nearest.min(0).max(), nearest.min(1).max()) < 1e-6
    assert not graph.images[:, ~atoms.pbc].any()


@st.composite
def structures(draw: st.DrawFn) -> Atoms:
    """Any periodicity, orientation, order and handedness of rows, place, and obliqueness of what is periodic."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    cell = np.diag(rng.uniform(2.5, 8, 3)) + rng.uniform(-1, 1, (3, 3))
    pbc = np.array(draw(st.tuples(*[st.booleans()] * 3)))
    multiple = draw(st.sampled_from([0, 0, 1, -2, 3]))
    periodic = np.flatnonzero(pbc)
    if len(periodic) > 1:
        cell[periodic[-1]] += multiple * cell[periodic[0]]
    cell *= draw(st.sampled_from([[1, 1, 1], [-1, 1, 1], [1, -1, -1]]))
    positions = rng.uniform(-1, 2, (draw(st.integers(1, 8)), 3)) @ cell
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    cell, positions = cell @ turn, positions @ turn + draw(st.sampled_from([0, -40, 3000])) * rng.normal(size=3)
    free = FREE[draw(st.sampled_from(sorted(FREE)))]
    cell = np.array([cell[row] if pbc[row] else free(cell, row) for row in range(3)])
    order = list(draw(st.permutations(range(3))))
    return Atoms(["Cu"] * len(positions), positions=positions, cell=cell[order], pbc=pbc[order])


@settings(max_examples=examples(80))
@given(structures())
def test_pairs_are_those_of_ase(atoms: Atoms) -> None:
    assert_pairs_of_ase(atoms)


def test_every_periodicity_has_pairs_across_its_periods() -> None:
    cell = np.diag([2.6, 2.8, 3.0])
    for pbc in itertools.product([False, True], repeat=3):
        atoms = Atoms("Cu", cell=cell, pbc=pbc)
        assert_pairs_of_ase(atoms)
        assert graph_of(atoms, SPECIES, CUTOFF).edges.shape[1] >= [0, 2, 8, 26][sum(pbc)]


@pytest.mark.parametrize("multiple", [20, 300, 3000])
@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, True, True)])
def test_an_oblique_cell_has_the_pairs_of_its_lattice_at_once(multiple: int, pbc: tuple[bool, ...]) -> None:
    cell = np.array([[3.0, 0.1, 0], [0.3, 3.5, 0.2], [0.1, 0.2, 4.0]])
    oblique = cell.copy()
    rows = np.flatnonzero(pbc)
    oblique[rows[1]] += multiple * cell[rows[0]]
    if len(rows) == 3:
        oblique[rows[2]] += multiple * (cell[rows[0]] - cell[rows[1]])
    positions = np.random.default_rng(0).uniform(-9, 9, (4, 3))
    plain, other = (
        graph_of(Atoms("Cu4", positions=positions, cell=one, pbc=pbc), SPECIES, CUTOFF) for one in (cell, oblique)
    )
    lengths = [np.sort(np.linalg.norm(vectors(one), axis=1)) for one in (plain, other)]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-8)
    assert np.linalg.det(other.cell) == pytest.approx(np.linalg.det(plain.cell)) or not all(pbc)
    assert np.abs(other.images).max() < 20


def test_what_is_inside_an_ordinary_cell_stays_as_it_is() -> None:
    atoms = bulk("GaAs", "zincblende", a=5.65)
    box = box_of(atoms, CUTOFF)
    assert (box.cell == atoms.cell.array).all()
    assert (box.positions == atoms.positions).all()


@pytest.mark.parametrize("apart", [20.0, 1e4, 1e6, 1e9])
def test_far_molecules_have_the_pairs_of_each(apart: float) -> None:
    water = molecule("H2O")
    one = graph_of(water, SPECIES, CUTOFF)
    two = water + water
    two.positions[3:] += [apart, -apart, 0]
    graph = graph_of(two, SPECIES, CUTOFF)
    assert graph.edges.shape[1] == 2 * one.edges.shape[1]
    lengths = [np.sort(np.linalg.norm(vectors(one), axis=1)) for one in (graph, one)]
    np.testing.assert_allclose(lengths[0], np.repeat(lengths[1], 2), atol=4e-7)
    assert np.ptp(graph.positions, axis=0).max() < 20


def test_an_atom_far_outside_its_cell_is_the_atom_inside() -> None:
    crystal = bulk("Cu", cubic=True)
    moved = crystal.copy()
    moved.positions[1] += 10**8 * moved.cell[0] - 10**7 * moved.cell[2]
    graphs = [graph_of(one, SPECIES, CUTOFF) for one in (crystal, moved)]
    lengths = [np.sort(np.linalg.norm(vectors(one), axis=1)) for one in graphs]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-6)


def box(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, float)


@pytest.mark.parametrize(
    ("atoms", "said"),
    [
        (Atoms("Cu", cell=[2, 2, 1e-3], pbc=True), "1 atoms in 0.004 Å³ is denser than matter"),
        (Atoms("Cu", cell=[100, 100, 1e-3], pbc=True), r"denser than matter .*; the shortest cell vector is 0.001 Å"),
        (Atoms("Cu", cell=[1e-3, 0, 0], pbc=[1, 0, 0]), r"denser than matter .*; the shortest cell vector is 0.001 Å"),
        (
            Atoms("Cu", cell=box((4, 0, 0), (8, 1e-3, 0), (0, 0, 9)), pbc=[1, 1, 0]),
            "the shortest cell vector is 0.001 Å",
        ),
        (Atoms("Cu", cell=box((4, 0, 0), (2.5, 1e-3, 0), (0, 0, 9)), pbc=[1, 1, 0]), "the shortest cell vector is 0.0"),
        (
            Atoms("Cu", cell=box((4, 0, 0), (8, 0, 0), (0, 0, 9)), pbc=[1, 1, 0]),
            "span no area: one is zero, or they are parallel",
        ),
        (Atoms("Cu", cell=box((0, 0, 0), (8, 0, 0), (0, 0, 9)), pbc=[1, 0, 0]), "the periodic vector has no length"),
        (Atoms("Cu", cell=box((np.nan, 0, 0), (8, 0, 0), (0, 0, 9)), pbc=[1, 0, 0]), "not finite"),
        (Atoms("Cu", cell=[1e5, 1e5, 1e5], pbc=True), "too empty to look for neighbours"),
        (Atoms("Cu", positions=[[1e12, 0, 0]]), "too far to tell atoms apart"),
        (Atoms("Cu", cell=box((3, 0, 0), (3e8, 3, 0), (3e8, 3e8, 3)), pbc=True), "so oblique"),
        (Atoms("H4000", positions=np.random.default_rng(0).uniform(size=(4000, 3))), "denser than matter"),
        (Atoms("H4000", cell=[90] * 3, scaled_positions=np.zeros((4000, 3)), pbc=True), "denser than matter"),
    ],
)
def test_a_list_without_end_is_refused_before_it_begins(atoms: Atoms, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        graph_of(atoms, SPECIES, CUTOFF)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("H", "fcc", a=2.0),
        bulk("C", "diamond", a=3.0).repeat(5),
        Atoms("C", cell=[1.2, 0, 0], pbc=[1, 0, 0]),
        graphene(size=(20, 20, 1)),
        Atoms("He", cell=[6000, 4, 4], pbc=True),
    ],
    ids=["metallic hydrogen", "pressed diamond", "carbon chain", "large sheet", "long vacuum"],
)
def test_what_matter_may_be_is_searched(atoms: Atoms) -> None:
    assert graph_of(atoms, SPECIES, CUTOFF).edges.shape[1] > 0
