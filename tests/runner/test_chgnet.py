"""The CHGNet runner against CHGNet's own calculator, ASE's own relaxations, and structures that go wrong."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.optimize import FIRE
from ase.spacegroup import crystal
from derivatives import force_and_stress

from mlmat import provenance
from mlmat.errors import RunnerError, UsageError
from mlmat.runner.chgnet import Runner, weights

pytest.importorskip("chgnet", reason="the extra chgnet is not installed: pip install 'mlmat[chgnet]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runner():
    return Runner(**Runner.prepare({}).settings)


@pytest.fixture(scope="module")
def exact():
    return Runner(**Runner.prepare({"dtype": "float64"}).settings)


@pytest.fixture(scope="module")
def calculator():
    from chgnet.model import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu", on_isolated_atoms="ignore")


def crystals() -> list[Atoms]:
    """Six of 1 to 20 atoms, off their minima and sheared."""
    rutile = crystal("TiO", [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.59, 4.59, 2.96, 90, 90, 90])
    perovskite = crystal(
        "SrTiO", [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221, cellpar=[3.9] * 3 + [90] * 3
    )
    found = [bulk("Fe"), bulk("Si"), rutile, bulk("NaCl", "rocksalt", a=5.64, cubic=True)]
    found += [bulk("Mg") * (2, 2, 2), perovskite * (2, 2, 1)]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.06, seed=seed)
        atoms.set_cell(atoms.cell @ (np.eye(3) + np.diag([0.02, -0.01], 1)), scale_atoms=True)
    return found


def xenon() -> Atoms:
    """No bond below 3 Å, hence no angle."""
    return bulk("Xe", a=6.2)


def assert_same(row, other, n_atoms, tolerance=1e-5):
    assert abs(row["energy"] - other["energy"]) / n_atoms < tolerance
    np.testing.assert_allclose(row["forces"], other["forces"], atol=10 * tolerance)
    np.testing.assert_allclose(row["stress"], other["stress"], atol=tolerance)
    np.testing.assert_allclose(row["magmoms"], other["magmoms"], atol=10 * tolerance)


# --- what is computed ---


def test_the_numbers_are_those_of_chgnets_own_calculator(runner, calculator):
    batch = [*crystals(), xenon()]
    assert [len(atoms) for atoms in batch] == [1, 2, 6, 8, 16, 20, 1]
    for atoms, row in zip(batch, runner.run_batch(batch), strict=True):
        atoms.calc = calculator
        theirs = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
            "magmoms": atoms.get_magnetic_moments(),
        }
        assert_same(row, theirs, len(atoms))
        assert row["fmax"] == pytest.approx(np.linalg.norm(theirs["forces"], axis=1).max(), abs=1e-4)
        assert row["volume"] == pytest.approx(atoms.get_volume())
    assert runner.run(crystals()[0])["magmoms"][0] > 2


def test_r2scan_has_its_own_weights_and_references(runner):
    from chgnet.model import CHGNet, CHGNetCalculator

    other = Runner(**Runner.prepare({"model": "chgnet-r2scan"}).settings)
    atoms = crystals()[3]
    row = other.run(atoms)
    atoms.calc = CHGNetCalculator(CHGNet.load(model_name="r2scan", use_device="cpu"), use_device="cpu")
    assert row["energy"] / 8 == pytest.approx(atoms.get_potential_energy() / 8, abs=1e-5)
    assert abs(row["energy"] - runner.run(atoms)["energy"]) > 1


def test_a_batch_equals_one_by_one(exact):
    batch = [*crystals(), xenon()]
    for atoms, row in zip(batch, exact.run_batch(batch), strict=True):
        assert_same(row, exact.run(atoms), len(atoms), tolerance=1e-10)
    assert_same(exact.run(xenon()), exact.run_batch([xenon(), bulk("Si")])[0], 1, tolerance=1e-10)


def test_small_passes_change_nothing(runner):
    small = Runner(**Runner.prepare({"batch_edges": 1}).settings)
    for atoms, row, other in zip(crystals(), small.run_batch(crystals()), runner.run_batch(crystals()), strict=True):
        assert_same(row, other, len(atoms))


def test_pairs_and_angles_are_those_of_chgnets_own_graph(calculator):
    from pymatgen.io.ase import AseAtomsAdaptor

    from mlmat.potentials.chgnet import ELEMENTS, bonds_of
    from mlmat.potentials.graph import Species, graph_of

    for atoms in [*crystals(), xenon()]:
        ours = bonds_of(graph_of(atoms, Species("chgnet", ELEMENTS), 6.0), 3.0)
        theirs = calculator.model.graph_converter(AseAtomsAdaptor.get_structure(atoms))
        ends = [sorted(map(tuple, pairs)) for pairs in (ours.graph.edges.T.tolist(), theirs.atom_graph.tolist())]
        assert ends[0] == ends[1]
        assert len(ours.edge) == len(theirs.undirected2directed)
        assert len(ours.angles) == len(theirs.bond_graph)
        assert all(np.bincount(ours.bond) == 2)


def test_forces_and_stress_are_derivatives_of_the_energy(exact):
    atoms = crystals()[2]
    row = exact.run(atoms)
    force, stress_yz = force_and_stress(exact, atoms)
    assert row["forces"][3, 1] == pytest.approx(force, abs=1e-5)
    assert row["stress"][3] == pytest.approx(stress_yz, abs=1e-6)


def test_a_compressed_crystal_has_negative_stress_in_a_left_handed_cell_too(runner):
    small = bulk("NaCl", "rocksalt", a=5.0, cubic=True)
    left = small.copy()
    left.set_cell(small.cell[[1, 0, 2]])
    left.set_cell(left.cell[:] * [1, 1, 1])
    assert np.linalg.det(left.cell) < 0 < np.linalg.det(small.cell)
    for row in runner.run_batch([small, left]):
        assert (row["stress"][:3] < -0.05).all()
        np.testing.assert_allclose(row["stress"], runner.run(small)["stress"], atol=1e-6)


def test_molecules_have_energy_and_no_stress(exact):
    water = Atoms("OH2", positions=[[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]])
    boxed = Atoms(water, cell=[20, 21, 22], pbc=True)
    boxed.center()
    free, packed = exact.run_batch([water, boxed])
    assert free["stress"] is free["volume"] is None
    assert packed["stress"] is not None
    assert free["energy"] == pytest.approx(packed["energy"], abs=1e-8)
    np.testing.assert_allclose(free["forces"], packed["forces"], atol=1e-8)


def test_a_row_has_the_declared_columns(runner):
    row = runner.run(bulk("Si"))
    assert list(row) == list(Runner.columns)
    assert row["converged"] is row["steps"] is row["relaxed"] is None
    assert row["magmoms"].shape == (2,)
    assert all(" -- " in kind for kind in Runner.columns.values())


def with_isolated_atoms() -> list[Atoms]:
    apart = Atoms("H2", positions=[[0, 0, 0], [3.5, 3.5, 3.5]], cell=[7] * 3, pbc=True)
    hydrogen = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]], cell=[7] * 3, pbc=True)
    pair = Atoms("Cu2Ar", positions=[[0, 0, 0], [0, 0, 2.2], [10, 10, 10]], cell=[20] * 3, pbc=True)
    mixed = Atoms("OXeO", positions=[[0, 0, 0], [8, 8, 8], [0, 0, 4]], cell=[16] * 3, pbc=True)
    return [apart, hydrogen, bulk("Xe", "fcc", a=8.6), pair, mixed, Atoms("Si", cell=[30] * 3, pbc=True)]


def test_isolated_atoms_have_the_energies_that_chgnet_gives_them(runner, calculator):
    batch = [crystals()[1], *with_isolated_atoms()]
    rows = runner.run_batch(batch)
    assert rows[1]["energy"] == pytest.approx(-2.3014, abs=1e-4)
    assert rows[3]["energy"] == pytest.approx(1.0463, abs=1e-4)
    for atoms, row in zip(batch, rows, strict=True):
        alone, ours = runner.run(atoms), atoms.copy()
        ours.calc = calculator
        theirs = {"energy": ours.get_potential_energy(), "forces": ours.get_forces(), "stress": ours.get_stress()}
        theirs["magmoms"] = ours.get_magnetic_moments()
        assert_same(row, theirs, len(atoms))
        assert_same(alone, theirs, len(atoms))


def test_orientation_and_order_of_a_slab_change_no_energy(exact):
    slab = bulk("Cu", cubic=True)
    slab.rattle(0.1, seed=0)
    boxed = Atoms(slab, cell=[*slab.cell.lengths()[:2], 20], pbc=True)
    slab.pbc = (True, True, False)
    turn = np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]])
    rows = ([2, 0, 1], [0, 1, 2], [1, 2, 0])
    turned = [
        Atoms(slab, positions=slab.positions @ turn - 50, cell=slab.cell[r] @ turn, pbc=slab.pbc[r]) for r in rows
    ]
    reference = exact.run(boxed)
    for row in exact.run_batch(turned):
        assert row["energy"] == pytest.approx(reference["energy"], abs=1e-9)
        np.testing.assert_allclose(row["forces"], reference["forces"] @ turn, atol=1e-8)
        np.testing.assert_allclose(row["magmoms"], reference["magmoms"], atol=1e-8)


# --- what goes wrong ---


def test_structures_that_fail_say_why_and_leave_the_others_alone(runner):
    overlap = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 0]], cell=[4, 4, 4], pbc=True)
    crowd = bulk("H", "fcc", a=1.6)
    flat = Atoms("C2", positions=[[0, 0, 0], [0, 0, 1]], cell=[3, 0, 0], pbc=True)
    bad = [bulk("Po", "sc", a=3.3), bulk("Cm", "fcc", a=5.0), overlap, crowd, flat]
    good = bulk("Si")
    rows = runner.run_batch([good, *bad, good])
    said = [str(row) for row in rows[1:-1]]
    assert all(isinstance(row, ValueError | FloatingPointError) for row in rows[1:-1])
    assert said[0] == "model chgnet-0.3.0 has no element Po; it knows H–Bi, Ac–Pu"
    assert "no element Cm" in said[1]
    assert "overlap" in said[2]
    assert "too crowded" in said[3]
    assert "no volume" in said[4]
    for row in (rows[0], rows[-1]):
        assert_same(row, runner.run(good), 2)
    with pytest.raises(ValueError, match="no element Po"):
        runner.run(bad[0])


# --- relaxation ---


@pytest.mark.parametrize("mode", ["positions", "cell"])
def test_relaxing_together_ends_where_ase_alone_ends(calculator, mode):
    together = Runner(**Runner.prepare({"relax": mode, "fmax": 0.03, "max_steps": 25}).settings)
    batch = [crystals()[1], crystals()[3]]
    for atoms, row in zip(batch, together.run_batch(batch), strict=True):
        theirs = atoms.copy()
        theirs.calc = calculator
        search = FIRE(FrechetCellFilter(theirs) if mode == "cell" else theirs, logfile=None)
        assert row["converged"] == search.run(fmax=0.03, steps=25)
        assert abs(row["steps"] - search.nsteps) <= 1
        assert abs(row["energy"] - theirs.get_potential_energy()) / len(atoms) < 1e-4
        np.testing.assert_allclose(row["relaxed"].positions, theirs.positions, atol=0.01)
        np.testing.assert_allclose(row["relaxed"].cell[:], theirs.cell[:], atol=0.01)
        assert_same(row, together._row(row["relaxed"], together._potential.evaluate([row["relaxed"]])[0]), len(atoms))


def test_a_structure_that_fails_leaves_the_others_relaxing():
    cell = Runner(**Runner.prepare({"relax": "cell", "max_steps": 4}).settings)
    molecule = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.9]])
    good, unknown, flat = cell.run_batch([crystals()[1], bulk("Po", "sc", a=3.3), molecule])
    assert good["steps"] == 4
    assert "Po" in str(unknown)
    assert "periodic in three directions" in str(flat)


# --- preparing and loading ---


def test_prepare_settles_what_the_method_is():
    prepared = Runner.prepare({"relax": "cell", "fmax": 1})
    assert prepared.identity == {
        "dtype": "float32",
        "relax": "cell",
        "fmax": 1.0,
        "max_steps": 500,
        "optimizer": "FIRE",
    }
    assert (prepared.model_name, prepared.dtype) == ("chgnet-0.3.0", "float32")
    assert prepared.model_sha256 == provenance.sha256(weights("chgnet-0.3.0"))
    assert prepared.model_sha256 != Runner.prepare({"model": "chgnet-r2scan"}).model_sha256
    assert Runner.prepare({"batch_edges": 7, "device": "auto"}).identity == Runner.prepare({}).identity


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "chgnet-9"}, "chgnet-0.3.0, chgnet-r2scan"),
        ({"model": None}, "text"),
        ({"relax": "ions"}, "none, positions, cell"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"batch_edges": 0}, "whole number"),
        ({"head": "pbe"}, "chgnet has no setting head; it has model"),
    ],
)
def test_a_bad_setting_says_what_is_allowed(settings, said):
    with pytest.raises(UsageError, match=said):
        Runner.prepare(settings)


def test_a_missing_gpu_is_said_to_be_missing():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RunnerError, match="no GPU"):
        Runner(device="cuda").setup()


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_the_extra_one_line_says_what_to_install(tmp_path):
    hidden = "import sys; sys.modules['chgnet'] = None; from mlmat.cli import main; "
    db = str(tmp_path / "s.duckdb")
    write(tmp_path / "a.cif", bulk("Si"))
    done = python(hidden + f"main(['ingest', {str(tmp_path / 'a.cif')!r}, '--db', {db!r}])")
    assert done.returncode == 0, done.stderr
    done = python(hidden + f"main(['screen', '--runner', 'chgnet', '--db', {db!r}])")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("runner chgnet needs the package chgnet: pip install 'mlmat[chgnet]'")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "chgnet" in python(hidden + "main(['runners'])").stdout


def test_nothing_is_printed_and_mace_stays_out():
    done = python(
        "import sys\nfrom ase.build import bulk\nfrom mlmat.runner.chgnet import Runner\n"
        "settings = Runner.prepare({}).settings\n"
        "assert not {'torch', 'chgnet', 'pymatgen'} & set(sys.modules)\n"
        "Runner(**settings).run(bulk('Si'))\nassert not {'mace', 'e3nn'} & set(sys.modules)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_runner_travels_without_its_model(runner):
    sent = pickle.dumps(runner)
    assert len(sent) < 2000
    assert pickle.loads(sent).run(bulk("Si"))["energy"] == pytest.approx(runner.run(bulk("Si"))["energy"])


# --- beside another method ---


def test_two_methods_over_the_same_structures_are_one_view(tmp_path, calculator):
    batch = [bulk("Si"), bulk("NaCl", "rocksalt", a=5.64), bulk("Cu"), bulk("Po", "sc", a=3.3)]
    for atoms in batch:
        write(tmp_path / f"{atoms.symbols}.cif", atoms)
    db = tmp_path / "s.duckdb"

    def mlmat(*arguments: object) -> str:
        command = [sys.executable, "-m", "mlmat", *map(str, arguments), "--db", str(db)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    mlmat("ingest", tmp_path)
    for runner in ("mace", "chgnet"):
        mlmat("screen", "--runner", runner, "--config", "threads")
    (row,) = json.loads(mlmat("reduce", "method_comparison", "--format", "json"))
    query = "SELECT m.formula AS f, m.nsites, m.energy AS x, c.energy AS y FROM mace AS m JOIN chgnet AS c "
    query += "USING (structure_id)"
    both = json.loads(mlmat("sql", query, "--format", "json"))
    assert sorted(one["f"] for one in both) == ["Cu", "NaCl", "Si"]
    difference = np.array([(one["y"] - one["x"]) / one["nsites"] for one in both])
    if row["method_a"].startswith("chgnet"):
        difference = -difference
    assert {row["method_a"].split("/")[0], row["method_b"].split("/")[0]} == {"mace", "chgnet"}
    assert row["structures"] == 3
    assert row["mean_difference"] == pytest.approx(difference.mean())
    assert row["mae"] == pytest.approx(np.abs(difference).mean())
    assert row["rmse"] == pytest.approx(np.sqrt((difference**2).mean()))
    for atoms, formula in zip(batch, ("Si", "NaCl", "Cu"), strict=False):
        atoms.calc = calculator
        (one,) = (one for one in both if one["f"] == formula)
        assert one["y"] / one["nsites"] == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-4)
    failed = {one["method"].split("/")[0]: one for one in json.loads(mlmat("reduce", "failures", "--format", "json"))}
    assert failed["chgnet"]["error_message"] == "model chgnet-0.3.0 has no element Po; it knows H–Bi, Ac–Pu"
