"""The MACE runner against mace's own calculator, ASE's own relaxations, and structures that go wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE, LBFGS, BFGSLineSearch, MDMin
from derivatives import force_and_stress

from mlmat import provenance
from mlmat.errors import ModelError, RunnerError, UsageError
from mlmat.potentials import models, weights
from mlmat.runner.mace import Runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def prepared():
    return Runner.prepare({"model": "untrained", "batch_edges": 500})


@pytest.fixture(scope="session")
def runner(prepared):
    return Runner(**prepared.settings)


@pytest.fixture(scope="session")
def potential(prepared):
    from mlmat.potentials.mace import Potential

    return Potential(weights.Path(prepared.settings["model"]), "float64", "cpu", None, 500)


def crystals() -> list[Atoms]:
    found = [bulk("Cu"), bulk("Si"), bulk("NaCl", "rocksalt", a=5.64, cubic=True), bulk("Mg")]
    found += [bulk("MgO", "rocksalt", a=4.2), bulk("GaAs", "zincblende", a=5.65, cubic=True), bulk("Fe")]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.08, seed=seed)
        atoms.set_cell(atoms.cell @ (np.eye(3) + np.diag([0.02, -0.01], 1)), scale_atoms=True)
    return found


def overlapping() -> Atoms:
    return Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0]], cell=[4, 4, 4], pbc=True)


def assert_same(row, other, n_atoms, tolerance=1e-7):
    """Energies within 1e-4 meV/atom, forces and stress to rounding."""
    assert abs(row["energy"] - other["energy"]) / n_atoms < tolerance
    np.testing.assert_allclose(row["forces"], other["forces"], atol=1e-9)
    np.testing.assert_allclose(row["stress"], other["stress"], atol=1e-9)


# --- what is computed ---


def test_a_batch_equals_one_by_one(runner):
    batch = crystals()
    rows = runner.run_batch(batch)
    assert len({round(row["energy"], 3) for row in rows}) > 4
    for atoms, row in zip(batch, rows, strict=True):
        assert_same(row, runner.run(atoms), len(atoms))


def test_the_numbers_are_those_of_maces_own_calculator(runner, prepared):
    from mace.calculators import MACECalculator

    calculator = MACECalculator(prepared.settings["model"], device="cpu", default_dtype="float64")
    batch = crystals()
    for atoms, row in zip(batch, runner.run_batch(batch), strict=True):
        atoms.calc = calculator
        theirs = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        assert_same(row, theirs, len(atoms))
        assert row["fmax"] == pytest.approx(np.linalg.norm(theirs["forces"], axis=1).max())
        assert row["volume"] == pytest.approx(atoms.get_volume())
        assert np.abs(row["stress"]).max() > 1e-4


def test_forces_and_stress_are_derivatives_of_the_energy(runner):
    atoms = crystals()[2]
    row = runner.run(atoms)
    force, stress_yz = force_and_stress(runner, atoms)
    assert row["forces"][3, 1] == pytest.approx(force, abs=1e-6)
    assert row["stress"][3] == pytest.approx(stress_yz, abs=1e-7)


def test_a_row_has_the_declared_columns(runner):
    row = runner.run(bulk("Si"))
    assert list(row) == list(Runner.columns)
    assert row["converged"] is row["steps"] is row["relaxed"] is None
    assert row["forces"].shape == (2, 3)
    assert row["stress"].shape == (6,)
    assert all(" -- " in kind for kind in Runner.columns.values())


def test_float32_is_close_and_leaves_torchs_default_alone(prepared, runner):
    import torch

    before = torch.get_default_dtype()
    single = Runner(**prepared.settings | {"dtype": "float32"})
    for atoms, row in zip(crystals(), single.run_batch(crystals()), strict=True):
        exact = runner.run(atoms)
        assert row["energy"] != exact["energy"]
        assert row["energy"] == pytest.approx(exact["energy"], abs=1e-4 * len(atoms))
        assert row["forces"].dtype == np.float64
    assert torch.get_default_dtype() == before


def test_molecules_and_slabs_have_no_stress(runner):
    water = Atoms("OH2", positions=[[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    slab = bulk("Cu", cubic=True)
    slab.set_cell([*slab.cell.lengths()[:2], 20])
    slab.pbc = (True, True, False)
    for row in runner.run_batch([water, slab]):
        assert np.isfinite(row["energy"])
        assert row["stress"] is None
        assert row["volume"] is None


@pytest.fixture(scope="session")
def shipped():
    return Runner(**Runner.prepare({}).settings)


def wire() -> Atoms:
    return Atoms("Au2", positions=[[0, 0, 0], [0, 2.6, 0.4]], cell=[[10, 0, 0], [0, 0, 10], [0, 5.2, 0]], pbc=[0, 0, 1])


def partly_periodic() -> list[Atoms]:
    slab = bulk("Cu", cubic=True).repeat((1, 1, 2))
    slab.rattle(0.1, seed=0)
    slab.pbc = (True, True, False)
    sheet = Atoms("C2", positions=[[0, 0, 0], [1.23, 0, 0.71]], cell=[[2.46, 0, 0], [1.23, 0, 2.13], [0, 0, 0]])
    sheet.pbc = (True, True, False)
    return [slab, sheet, wire(), Atoms("OH2", positions=[[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])]


def test_a_wire_along_y_is_no_pair_of_isolated_atoms(shipped):
    along_z = Atoms("Au2", positions=[[0, 0, 0], [0.4, 0, 2.6]], cell=[10, 10, 5.2], pbc=[0, 0, 1])
    boxed = Atoms("Au2", positions=[[0, 0, 0], [0.4, 0, 2.6]], cell=[20, 20, 5.2], pbc=True)
    energies = [shipped.run(one)["energy"] for one in (wire(), along_z, boxed)]
    np.testing.assert_allclose(energies, -4.00966, atol=5e-6)


@pytest.mark.parametrize("number", range(4), ids=["slab", "sheet", "wire", "molecule"])
def test_orientation_order_place_and_handedness_change_no_energy(shipped, number):
    atoms = partly_periodic()[number]
    rng = np.random.default_rng(number)
    row = shipped.run(atoms)
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [2, 1, 0], [0, 2, 1]):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        other = Atoms(
            atoms.numbers, positions=atoms.positions @ turn, cell=atoms.cell[order] @ turn, pbc=atoms.pbc[order]
        )
        other.positions += 100 * rng.normal(size=3) + rng.integers(-3, 4, (len(atoms), 3)) * other.pbc @ other.cell
        found = shipped.run(other)
        assert found["energy"] == pytest.approx(row["energy"], abs=1e-10)
        np.testing.assert_allclose(found["forces"], row["forces"] @ turn, atol=1e-9)
        assert found["stress"] is None


def test_a_slab_turned_by_nearly_a_right_angle_is_computed_at_once(shipped):
    slab = partly_periodic()[0]
    energy = shipped.run(slab)["energy"]
    for angle in (89.9, 89.99, 90, 90.01):
        turned = slab.copy()
        turned.rotate(angle, "x", rotate_cell=True)
        assert shipped.run(turned)["energy"] == pytest.approx(energy, abs=1e-9)


def test_a_turned_slab_relaxes_as_it_does_unturned(prepared):
    relaxing = Runner(**prepared.settings | {"relax": "positions", "max_steps": 5})
    slab = partly_periodic()[0]
    turned = slab.copy()
    turned.rotate(90, "x", rotate_cell=True)
    first, second = relaxing.run_batch([slab, turned])
    assert first["steps"] == second["steps"] == 5
    assert second["energy"] == pytest.approx(first["energy"], abs=1e-9)
    back = second["relaxed"]
    back.rotate(-90, "x", rotate_cell=True)
    np.testing.assert_allclose(back.positions, first["relaxed"].positions, atol=1e-8)


def test_float32_bears_places_and_vacuum_as_far_as_they_come():
    single = Runner(**Runner.prepare({"dtype": "float32"}).settings)
    water = partly_periodic()[3]
    far = water.copy()
    far.positions += 1e5
    energies = [row["energy"] for row in single.run_batch([water, far])]
    assert energies[1] == pytest.approx(energies[0], abs=1e-4)
    chain = Atoms("Cu", cell=[1e6, 2.5, 2.5], pbc=True)
    sheet = Atoms("Cu", cell=[0, 2.5, 2.5], pbc=[0, 1, 1])
    assert single.run(chain)["energy"] == pytest.approx(single.run(sheet)["energy"], abs=1e-5)


@pytest.fixture(scope="session")
def two_heads(tmp_path_factory):
    """A model with vector features and two heads, as the multi-head foundation models have."""
    import torch
    from e3nn import o3

    from mlmat.potentials.potential import default_dtype
    from mlmat.potentials.quiet import quiet_import
    from mlmat.potentials.untrained import _architecture

    modules = quiet_import("mace.modules")
    more = {"heads": ["pbe", "r2scan"], "hidden_irreps": o3.Irreps("4x0e+4x1o"), "MLP_irreps": o3.Irreps("4x0e")}
    more |= {"atomic_numbers": [12, 14], "num_elements": 2, "atomic_energies": np.array([[-1.0, -2], [-3, -4]])}
    more |= {"atomic_inter_scale": [1.0, 2.0], "atomic_inter_shift": [0.1, 0.2], "distance_transform": "Agnesi"}
    with default_dtype(torch.float32):
        model = modules.ScaleShiftMACE(**_architecture(modules) | more)
    path = tmp_path_factory.mktemp("heads") / "heads.model"
    torch.save(model, path)
    return path


@pytest.mark.parametrize("head", ["pbe", "r2scan"])
def test_a_head_of_a_bigger_kind_of_model_gives_its_own_numbers(two_heads, head):
    from mace.calculators import MACECalculator

    batch = [crystals()[i] for i in (1, 3, 1)]
    calculator = MACECalculator(str(two_heads), device="cpu", default_dtype="float64", head=head)
    for atoms, row in zip(batch, Runner(model=str(two_heads), head=head).run_batch(batch), strict=True):
        atoms.calc = calculator
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        assert_same(row, {"energy": energy, "forces": forces, "stress": stress}, len(atoms))


def test_without_a_head_the_user_is_asked_for_one(two_heads):
    with pytest.raises(ModelError, match=r"heads needs a head: use --set head=NAME with one of pbe, r2scan"):
        Runner(model=str(two_heads)).setup()


# --- what goes wrong ---


def lonely() -> Atoms:
    return Atoms("He", cell=[30, 30, 30], pbc=True)


def test_an_isolated_atom_has_an_energy_and_no_forces(runner):
    row = runner.run(lonely())
    assert row["energy"] == 0.0
    assert row["fmax"] == 0.0


def test_an_unknown_element_is_named_before_anything_is_computed(runner, monkeypatch):
    monkeypatch.setattr(type(runner._potential), "_forward", lambda *_: pytest.fail("computed"))
    (found,) = runner.run_batch([bulk("Cm", "fcc", a=5.0)])
    assert isinstance(found, ValueError)
    assert str(found) == "model untrained has no element Cm; it knows H–Pu"


def test_the_shipped_model_refuses_elements_that_it_gets_wrong():
    runner = Runner()
    runner.setup()
    wanted = [bulk("Pu", "fcc", a=4.6), bulk("NpN", "rocksalt", a=4.9), bulk("U", "bcc", a=3.4)]
    alone, compound, fine = runner.run_batch(wanted)
    assert isinstance(alone, ValueError)
    assert str(alone) == (
        "model mace-64x0e-chgnet is refused here: elemental Pu is +1.71 eV/atom off DFT by this model; "
        "use another model (mlmat models), or --runner chgnet"
    )
    assert "elemental Np" in str(compound)
    assert fine["energy"] < 0


def test_a_copy_of_the_shipped_model_under_another_name_refuses_the_same(tmp_path):
    from mlmat.potentials.mace import Potential

    copy = tmp_path / "mine.npz"
    copy.write_bytes(models.resolve(models.default()).path.read_bytes())
    (found,) = Potential(copy, "float64", "cpu", None, None).evaluate([bulk("Pu", "fcc", a=4.6)])
    assert "model mine is refused here: elemental Pu" in str(found)


@pytest.mark.parametrize(
    ("atoms", "error", "said"),
    [
        (overlapping(), FloatingPointError, "not finite"),
        (bulk("Cu", a=float("nan")), ValueError, "not finite"),
        (bulk("Cu", a=0.3), ValueError, "denser than matter"),
        (Atoms("Cu", cell=[4, 4, 0], pbc=True), ValueError, "no volume"),
        (Atoms("Cu", cell=[[4, 0, 0], [4, 0, 0], [0, 0, 4]], pbc=True), ValueError, "no volume"),
        (Atoms(cell=[4, 4, 4], pbc=True), ValueError, "no atoms"),
        (Atoms("X", cell=[4, 4, 4], pbc=True), ValueError, "no element X"),
    ],
)
def test_the_guilty_structure_fails_and_its_mates_do_not(runner, atoms, error, said):
    mates = crystals()[:2]
    first, found, last, isolated = runner.run_batch([mates[0], atoms, mates[1], lonely()])
    assert isinstance(found, error)
    assert said in str(found)
    assert "\n" not in str(found)
    assert isolated["energy"] == 0.0
    for row, mate in ((first, mates[0]), (last, mates[1])):
        assert_same(row, runner.run(mate), len(mate))
    with pytest.raises(error, match=said):
        runner.run(atoms)


def test_a_pass_that_raises_is_repeated_one_by_one(runner, monkeypatch):
    kind, forward = type(runner._potential), type(runner._potential)._forward

    def fragile(self, graphs):
        if any(len(graph.species) == 8 for graph in graphs):
            raise MemoryError("too large")
        return forward(self, graphs)

    monkeypatch.setattr(kind, "_forward", fragile)
    found = runner.run_batch(crystals())
    failed = [isinstance(row, MemoryError) for row in found]
    assert failed == [len(atoms) == 8 for atoms in crystals()]


def test_where_memory_does_not_suffice_passes_are_halved_and_nothing_is_lost(prepared, runner):
    import torch

    from mlmat.potentials.mace import Potential

    class Small(Potential):
        """A device that holds 300 edges."""

        passes: ClassVar[list[int]] = []

        def _forward(self, graphs):
            edges = sum(graph.size for graph in graphs)
            self.passes.append(edges)
            if edges > 300:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return super()._forward(graphs)

    potential = Small(weights.Path(prepared.settings["model"]), "float64", "cpu", None, 100_000)
    batch = 4 * [atoms for atoms in crystals() if len(atoms) < 8]
    found = potential.evaluate(batch)
    for atoms, one in zip(batch, found, strict=True):
        assert one.energy == pytest.approx(runner.run(atoms)["energy"], abs=1e-9)
    assert potential.passes[0] > 1000
    assert potential.batch_edges <= 600
    potential.passes.clear()
    potential.evaluate(batch)
    assert max(potential.passes) <= 600
    (alone,) = potential.evaluate([bulk("Cu").repeat((3, 3, 3))])
    assert isinstance(alone, torch.OutOfMemoryError)


def test_how_much_fits_is_measured(prepared, monkeypatch):
    """The sum that is done on a GPU, with the memory of one that is not here."""
    import torch

    from mlmat.potentials import mace as _mace

    potential = _mace.Potential(weights.Path(prepared.settings["model"]), "float32", "cpu", None, None)
    assert potential.batch_edges == _mace.CPU_EDGES
    graphs = _mace.PROBES * _mace.probe_graphs(potential.species.numbers, potential.cutoff)
    edges = sum(graph.size for graph in graphs)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 7 * edges)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 10_007 * edges)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000_000_000, 0))
    potential.fast = False
    assert potential._fitting() == pytest.approx(600_000, abs=1)


# --- relaxation ---


def ase_relaxed(atoms, mode, optimizer, calculator, fmax=0.02, steps=60):
    atoms = atoms.copy()
    atoms.calc = calculator
    target = FrechetCellFilter(atoms) if mode == "cell" else atoms
    search = optimizer(target, logfile=None)
    return atoms, search.run(fmax=fmax, steps=steps), search.nsteps


@pytest.mark.parametrize(
    ("mode", "optimizer"), [("positions", FIRE), ("cell", FIRE), ("positions", LBFGS), ("cell", MDMin)]
)
def test_relaxing_together_takes_the_steps_of_ase_alone(prepared, mode, optimizer):
    from mace.calculators import MACECalculator

    calculator = MACECalculator(prepared.settings["model"], device="cpu", default_dtype="float64")
    goal = {"relax": mode, "optimizer": optimizer.__name__, "fmax": 0.02, "max_steps": 25}
    batch = [bulk("Al"), crystals()[1], crystals()[4]]
    rows = Runner(**prepared.settings | goal).run_batch(batch)
    assert len({row["steps"] for row in rows}) > 1
    for atoms, row in zip(batch, rows, strict=True):
        theirs, converged, steps = ase_relaxed(atoms, mode, optimizer, calculator, steps=25)
        assert (row["converged"], row["steps"]) == (converged, steps)
        assert abs(row["energy"] - theirs.get_potential_energy()) / len(atoms) < 1e-7
        np.testing.assert_allclose(row["relaxed"].positions, theirs.positions, atol=1e-6)
        np.testing.assert_allclose(row["relaxed"].cell[:], theirs.cell[:], atol=1e-6)


def test_the_filter_of_the_cell_is_ases_own_to_rounding():
    from mlmat.potentials.cell import CellFilter

    rng = np.random.default_rng(0)
    for start in (bulk("Cu", cubic=True), bulk("Al"), bulk("Ni", a=3.6).repeat((2, 1, 1))):
        both = [kind(start.copy()) for kind in (FrechetCellFilter, CellFilter)]
        for one in both:
            one.atoms.calc = EMT()
        for size in (0.0, 0.02, 0.1, 0.3):
            theirs, ours = both
            np.testing.assert_allclose(ours.get_positions(), theirs.get_positions(), atol=1e-12)
            np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-11)
            np.testing.assert_allclose(ours.get_forces(), theirs.get_forces(), atol=1e-11)
            np.testing.assert_allclose(ours.stress, theirs.stress, atol=1e-13)
            new = theirs.get_positions() + size * rng.normal(size=(len(start) + 3, 3))
            for one in both:
                one.set_positions(new)
            np.testing.assert_allclose(ours.atoms.cell[:], theirs.atoms.cell[:], atol=1e-12)


def test_the_numbers_of_a_relaxation_are_of_the_relaxed_structure(prepared, runner):
    start = crystals()[1]
    before = start.copy()
    row = Runner(**prepared.settings | {"relax": "positions", "fmax": 0.01}).run(start)
    assert row["converged"] is True
    assert row["steps"] > 0
    assert row["fmax"] < 0.01
    assert row["energy"] < runner.run(start)["energy"]
    assert_same(row, runner.run(row["relaxed"]), len(start))
    assert start == before
    assert row["relaxed"].calc is None


def test_too_few_steps_are_not_converged_but_have_numbers(prepared):
    row = Runner(**prepared.settings | {"relax": "cell", "fmax": 1e-6, "max_steps": 2}).run(crystals()[2])
    assert row["converged"] is False
    assert row["steps"] == 2
    assert np.isfinite(row["energy"])


def test_a_structure_that_fails_leaves_the_others_relaxing(prepared):
    cell = Runner(**prepared.settings | {"relax": "cell", "max_steps": 5})
    molecule = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.9]])
    good, overlap, flat, unknown = cell.run_batch([bulk("Si"), overlapping(), molecule, bulk("Cm", "fcc", a=5.0)])
    assert good["relaxed"] is not None
    assert isinstance(overlap, FloatingPointError)
    assert isinstance(flat, ValueError)
    assert "periodic in three directions" in str(flat)
    assert isinstance(unknown, ValueError)


def evaluate_by_emt(batch):
    from mlmat.potentials.potential import Evaluation

    found = []
    for atoms in batch:
        copy = atoms.copy()
        copy.calc = EMT()
        found.append(Evaluation(copy.get_potential_energy(), copy.get_forces(), copy.get_stress()))
    return found


@pytest.mark.parametrize("optimizer", [FIRE, BFGSLineSearch])
def test_any_evaluate_function_will_do(optimizer):
    from mlmat.potentials.relax import RelaxationSettings, relax

    batch = [bulk("Cu", a=3.4, cubic=True), bulk("Ni", a=3.7), bulk("Al", cubic=True)]
    for seed, atoms in enumerate(batch):
        atoms.rattle(0.1, seed=seed)
    found = relax(batch, evaluate_by_emt, RelaxationSettings("cell", 0.02, 60, optimizer.__name__))
    for atoms, one in zip(batch, found, strict=True):
        theirs, converged, steps = ase_relaxed(atoms, "cell", optimizer, EMT())
        assert (one.converged, one.steps) == (converged, steps)
        assert one.evaluation.energy == pytest.approx(theirs.get_potential_energy(), abs=1e-9)


@pytest.mark.parametrize(("pressure", "fate"), [(50.0, "collapsed"), (-50.0, "exploded")])
def test_a_cell_that_leaves_all_bounds_is_that_structures_failure(pressure, fate):
    from mlmat.potentials.potential import Evaluation
    from mlmat.potentials.relax import RelaxationSettings, relax

    def evaluate(batch):
        """A solid without any strength beside calm ones."""
        stress = np.array([1.0, 1, 1, 0, 0, 0])
        return [
            Evaluation(0.0, np.zeros((len(a), 3)), stress * (pressure if a.numbers[0] == 29 else 0.0)) for a in batch
        ]

    doomed, calm = relax([bulk("Cu"), bulk("Al")], evaluate, RelaxationSettings("cell", 0.05, 500, "FIRE"))
    assert isinstance(doomed, ArithmeticError)
    assert fate in str(doomed)
    assert calm.converged


# --- preparing and loading ---


def test_prepare_settles_what_the_method_is(prepared):
    assert prepared.settings["model"].endswith("untrained.model")
    assert prepared.settings["batch_edges"] == 500
    assert prepared.identity == {"dtype": "float64", "relax": "none"}
    assert (prepared.model_name, prepared.dtype) == ("untrained", "float64")
    assert prepared.model_sha256 == provenance.sha256(weights.Path(prepared.settings["model"]))
    assert prepared.packages == ("torch", "mace-torch", "e3nn", "ase")


def test_an_untrained_model_is_told_in_one_line(prepared):
    (note,) = prepared.notes
    assert "untrained" in note
    assert "--set model=" in note
    assert "\n" not in note


def test_a_users_own_file_needs_no_note_and_is_named_by_its_stem(prepared, tmp_path):
    copy = tmp_path / "ours.model"
    copy.write_bytes(weights.Path(prepared.settings["model"]).read_bytes())
    models.add(str(copy))
    again = Runner.prepare({"model": str(copy)})
    assert (again.model_name, again.notes) == ("ours", ())
    assert again.model_sha256 == prepared.model_sha256


def test_relaxation_settings_are_identity_only_when_relaxing(prepared):
    model = {"model": prepared.settings["model"]}
    alone = [Runner.prepare(model | {"fmax": f, "device": d, "batch_edges": 7}) for f, d in ((1, "cpu"), (2, "auto"))]
    assert alone[0].identity == alone[1].identity
    assert Runner.prepare(model | {"head": "pbe"}).identity["head"] == "pbe"
    relaxing = [Runner.prepare(model | {"fmax": f, "relax": "cell"}).identity for f in (1, 2)]
    assert relaxing[0] != relaxing[1]
    assert set(relaxing[0]) == {"dtype", "relax", "fmax", "max_steps", "optimizer"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"relax": "ions"}, "none, positions, cell"),
        ({"dtype": "float16"}, "float64, float32"),
        ({"optimizer": "ADAM"}, "FIRE"),
        ({"fmax": 0}, "above 0"),
        ({"fmax": float("nan")}, "above 0"),
        ({"fmax": "0.05"}, "above 0"),
        ({"max_steps": 0}, "whole number"),
        ({"max_steps": True}, "whole number"),
        ({"batch_edges": 1.5}, "whole number"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"head": 3}, "head"),
        ({"model": ""}, "text"),
        ({"colour": "red"}, "no setting colour; it has model"),
    ],
)
def test_a_bad_setting_says_what_is_allowed(settings, said):
    with pytest.raises(UsageError, match=said) as caught:
        Runner.prepare(settings)
    assert "\n" not in str(caught.value)


def test_preparing_again_is_quick_and_importing_needs_no_torch(prepared):
    code = (
        "import sys, time\nt = time.perf_counter()\nfrom mlmat.runner.mace import Runner\n"
        f"Runner.prepare({{'model': {prepared.settings['model']!r}}})\n"
        "print(time.perf_counter() - t)\nassert not {'torch', 'mace', 'e3nn', 'ase'} & set(sys.modules)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False) for _ in range(3)]
    assert all(done.returncode == 0 for done in runs), runs[0].stderr
    assert min(float(done.stdout) for done in runs) < 0.1


def test_the_untrained_model_has_the_same_bytes_each_time(prepared, tmp_path):
    target = tmp_path / "again.model"
    subprocess.run([sys.executable, "-m", "mlmat.potentials.untrained", str(target)], check=True)
    assert provenance.sha256(target) == prepared.model_sha256


def test_one_load_serves_all_threads_and_dtypes_do_not_mix(prepared, monkeypatch):
    import torch

    from mlmat.potentials import mace as _mace
    from mlmat.potentials import potential as _potential

    monkeypatch.setattr(_potential, "_loaded", {})
    loads, read = [], _mace._read
    monkeypatch.setattr(_mace, "_read", lambda *a: loads.append(a) or time.sleep(0.05) or read(*a))
    rows = {}

    def work(number):
        dtype = ("float64", "float32")[number % 2]
        rows[number] = Runner(**prepared.settings | {"dtype": dtype}).run_batch(crystals())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 2
    for number in range(2, 6):
        for row, other in zip(rows[number], rows[number % 2], strict=True):
            assert row["energy"] == pytest.approx(other["energy"], abs=1e-5 if number % 2 else 1e-10)
    assert rows[0][0]["energy"] != rows[1][0]["energy"]
    assert torch.get_default_dtype() == torch.float32


def test_a_runner_travels_without_its_model(runner, prepared):
    runner.run(bulk("Si"))
    sent = pickle.dumps(runner)
    assert len(sent) < 2000
    assert pickle.loads(sent).run(bulk("Si"))["energy"] == pytest.approx(runner.run(bulk("Si"))["energy"])


def test_what_holds_no_model_is_refused(prepared, tmp_path):
    import torch

    torch.save({"state_dict": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match="holds no MACE model"):
        Runner(model=str(tmp_path / "checkpoint.pt")).setup()
    whole = weights.Path(prepared.settings["model"]).read_bytes()
    (tmp_path / "odd.model").write_bytes(b"\x80" + whole[:4000])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        Runner(model=str(tmp_path / "odd.model")).setup()
    assert "\n" not in str(caught.value)


def test_a_head_must_be_one_of_the_models(prepared):
    from mlmat.potentials.mace import _head_index

    with pytest.raises(ModelError, match=r"no head pbe.*Default"):
        Runner(**prepared.settings | {"head": "pbe"}).setup()
    assert _head_index("m", ["pbe", "Default"], None) == 1
    assert _head_index("m", ["pbe", "r2scan"], "r2scan") == 1


def test_a_missing_gpu_is_said_to_be_missing(prepared):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RunnerError, match="no GPU"):
        Runner(**prepared.settings | {"device": "cuda:0"}).setup()


# --- small parts ---


def test_elements_are_listed_in_runs():
    from mlmat.potentials.graph import ranges

    assert ranges([8, 1, 2, 6, 7, 14]) == "H, He, C–O, Si"


def test_packing_keeps_order_and_the_limit():
    from mlmat.potentials.graph import pack

    sizes = [3, 4, 9, 1, 1, 1, 20, 2]
    groups = pack(sizes, 8)
    assert [i for group in groups for i in group] == list(range(len(sizes)))
    assert all(sum(sizes[i] for i in group) <= 8 or len(group) == 1 for group in groups)
    assert groups == [[0, 1], [2], [3, 4, 5], [6], [7]]
