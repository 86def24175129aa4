"""The faster parts of a MACE against MACE's own: equal to rounding, and never there where they do not apply."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mlmat.potentials import models
from mlmat.runner.mace import Runner

pytestmark = pytest.mark.slow

ELEMENTS = [3, 8, 11, 13, 14, 17, 22, 26, 29, 47]


def architecture(**more):
    from mlmat.potentials.quiet import quiet_import
    from mlmat.potentials.untrained import _architecture

    modules = quiet_import("mace.modules")
    from e3nn import o3  # before mace it cannot be imported

    few = {"num_elements": len(ELEMENTS), "atomic_numbers": ELEMENTS, "atomic_energies": np.zeros(len(ELEMENTS))}
    hidden = {"hidden_irreps": o3.Irreps(more.pop("hidden", "8x0e"))}
    first = modules.interaction_classes[more.pop("first", "RealAgnosticInteractionBlock")]
    return modules, _architecture(modules) | few | hidden | {"interaction_cls_first": first} | more


def model_file(path, **more):
    import torch

    from mlmat.potentials.potential import default_dtype

    torch.manual_seed(5)
    with default_dtype(torch.float64):
        modules, settings = architecture(**more)
        torch.save(modules.ScaleShiftMACE(**settings), path)
    return path


KINDS = {
    "as shipped": {"hidden": "8x0e"},
    "as MACE-MP small": {
        "max_ell": 3,
        "correlation": 3,
        "r_max": 6.0,
        "num_bessel": 10,
        "first": "RealAgnosticResidualInteractionBlock",
        "distance_transform": "Agnesi",
    },
    "one step, correlation 1": {"correlation": 1, "num_interactions": 1},
    "density": {"first": "RealAgnosticDensityInteractionBlock", "apply_cutoff": False},
}


class Both(list):
    """Two potentials and the file that they come from."""

    def __init__(self, potentials, path):
        super().__init__(potentials)
        self.path = path


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory):
    """A potential with the faster parts, and the same with MACE's own."""
    from mlmat.potentials.mace import Potential

    path = model_file(tmp_path_factory.mktemp("model") / "m.model", **KINDS[request.param])
    return Both([Potential(path, "float64", "cpu", None, 1500, stock=stock) for stock in (False, True)], path)


def structures() -> list[Atoms]:
    rng = np.random.default_rng(1)
    found = [bulk("Cu", cubic=True), bulk("NaCl", "rocksalt", a=5.6), bulk("Si"), bulk("Al", a=3.7)]
    found += [Atoms("OAg", positions=[[0, 0, 0], [0, 0, 2.1]]), Atoms("Fe", cell=[30, 30, 30], pbc=True)]
    slab = bulk("Cu", cubic=True)
    slab.pbc = (True, True, False)
    large = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat((2, 1, 1))
    large.numbers = rng.choice(ELEMENTS, len(large))
    for seed, atoms in enumerate(found := [*found, slab, large]):
        atoms.rattle(0.1, seed=seed)
    return found


def largest(one, other, name):
    a, b = ([getattr(x, name) for x in found if getattr(x, name) is not None] for found in (one, other))
    return max(np.abs(np.asarray(x) - y).max() for x, y in zip(a, b, strict=True)) / max(np.abs(y).max() for y in b)


def test_the_faster_parts_give_the_same_numbers(both):
    ours, theirs = (potential.evaluate(structures()) for potential in both)
    assert both[0].fast
    assert not both[1].fast
    for name in ("energy", "forces", "stress"):
        assert largest(ours, theirs, name) < 1e-10
    assert [one.stress is None for one in ours] == [one.stress is None for one in theirs]


def test_the_shipped_model_is_computed_with_them_to_the_same_numbers():
    from mlmat.potentials.mace import Potential

    path = models.resolve(models.default()).path
    fast, stock = (Potential(path, "float64", "cpu", None, 3000, stock=stock) for stock in (False, True))
    assert fast.fast
    ours, theirs = fast.evaluate(structures()), stock.evaluate(structures())
    for atoms, one, other in zip(structures(), ours, theirs, strict=True):
        assert abs(one.energy - other.energy) / len(atoms) < 1e-9  # 1e-6 meV/atom
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-9)


@pytest.mark.parametrize("both", ["as shipped", "as MACE-MP small"], indirect=True)
def test_float32_is_as_accurate_as_with_maces_own(both):
    from mlmat.potentials.mace import Potential

    exact = both[1].evaluate(structures())
    errors = []
    for stock in (False, True):
        single = Potential(both.path, "float32", "cpu", None, 1500, stock=stock)
        errors.append([largest(single.evaluate(structures()), exact, name) for name in ("energy", "forces")])
    assert np.max(errors) < 1e-4


def test_a_model_with_vectors_is_left_alone(tmp_path):
    from mlmat.potentials.mace import Potential

    path = model_file(tmp_path / "vectors.model", hidden="8x0e+8x1o")
    assert not Potential(path, "float64", "cpu", None, 3000).fast


@pytest.mark.parametrize("what", ["wrong numbers", "an exception"])
def test_parts_that_do_not_give_the_same_are_taken_out_again(tmp_path, monkeypatch, what):
    from mlmat.potentials import mace_blocks
    from mlmat.potentials.mace import Potential

    def spoilt(self, features, elements):
        if what == "an exception":
            raise RuntimeError("not today")
        return forward(self, features, elements) * (1 + 1e-6)

    forward = mace_blocks.Contraction.forward
    monkeypatch.setattr(mace_blocks.Contraction, "forward", spoilt)
    path = model_file(tmp_path / "m.model")
    careful, stock = (Potential(path, "float64", "cpu", None, 3000, stock=stock) for stock in (False, True))
    assert not careful.fast
    assert not any(hasattr(one, "conv_fusion") for one in careful.model.interactions)
    for one, other in zip(careful.evaluate(structures()), stock.evaluate(structures()), strict=True):
        assert one.energy == other.energy


def test_a_filled_graph_has_its_edges_in_blocks_for_each_receiver():
    from mlmat.potentials.graph import Species, graph_of
    from mlmat.potentials.mace_blocks import BLOCK, padded

    for atoms in structures():
        graph = graph_of(atoms, Species("m", ELEMENTS), 5.0)
        full = padded(graph, 5.0)
        senders, receivers = full.edges
        ends = full.positions[receivers] - full.positions[senders] + full.images @ full.cell
        near = np.linalg.norm(ends, axis=1) < 5.0
        assert near.sum() == graph.edges.shape[1]
        assert (receivers.reshape(-1, BLOCK) == receivers.reshape(-1, BLOCK)[:, :1]).all()
        assert (np.diff(receivers) >= 0).all()
        edges = {(*pair, *image) for pair, image in zip(graph.edges.T.tolist(), graph.images.tolist(), strict=True)}
        kept = zip(full.edges.T[near].tolist(), full.images[near].tolist(), strict=True)
        assert {(*pair, *image) for pair, image in kept} == edges


def test_a_runner_uses_them_by_itself():
    runner = Runner()
    runner.setup()
    assert runner._potential.fast
