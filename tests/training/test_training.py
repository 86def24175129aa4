"""The training scripts on a toy: seven metals, ASE's effective medium theory as teacher, a few steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

pytestmark = pytest.mark.slow


def run(monkeypatch, module, *words):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    module.main()


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    import label

    folder = tmp_path_factory.mktemp("toy")
    for metal in ("Al", "Ni", "Cu", "Ag"):
        bulk(metal, cubic=True).write(folder / f"{metal}.cif")
    for one, other, a in (("Al", "Ni", 3.9), ("Cu", "Au", 3.9), ("Pd", "Cu", 3.8), ("Ag", "Au", 4.1)):
        alloy = bulk(one, a=a, cubic=True)
        alloy.symbols[1:3] = other
        alloy.write(folder / f"{one}{other}.cif")
    (folder / "broken.cif").write_text("no crystal")
    out = folder / "labels"
    with pytest.MonkeyPatch.context() as patch:
        run(patch, label, out, folder, "--teacher", "emt", "--copies", 4, "--processes", 1)
    return out


def test_labels_are_the_teachers(labels):
    from ase import Atoms
    from ase.calculators.emt import EMT

    with np.load(labels / "labels-0-0000.npz") as file:
        shard = dict(file)
    first = slice(0, shard["natoms"][0])
    atoms = Atoms(shard["numbers"][first], shard["positions"][first], cell=shard["cell"][0], pbc=True)
    atoms.calc = EMT()
    assert atoms.get_potential_energy() == pytest.approx(shard["energy"][0])
    assert atoms.get_forces() == pytest.approx(shard["forces"][first])
    assert {"as is", "moved", "substituted", "settled"} <= set(shard["kind"])


def test_labels_are_the_same_each_time(labels, tmp_path, monkeypatch):
    import label

    run(monkeypatch, label, tmp_path, labels.parent, "--teacher", "emt", "--copies", 4, "--processes", 1)
    first, second = (np.load(folder / "labels-0-0000.npz") for folder in (labels, tmp_path))
    assert all(np.array_equal(first[key], second[key]) for key in first.files)


def test_a_chemical_system_is_either_trained_on_or_tested():
    import label

    pairs = [f"{a}-{b}" for a in "BCFHKNO" for b in ("Au", "Fe", "Ti", "Zr", "Mg", "Ga", "La", "Pb")]
    assert 0 < sum(map(label.is_test, pairs)) < len(pairs) / 4
    assert not label.is_test("Fe")
    assert not label.is_test("Fe", {"Fe"})
    assert label.is_test("A-B", {"A-B"})


def test_the_written_out_forward_pass_is_maces(labels):
    import student
    import torch
    from ase.calculators.emt import EMT  # noqa: F401

    from mlmat.potentials.potential import default_dtype

    crystals = [bulk("Cu", cubic=True), bulk("NiAl", "cesiumchloride", a=2.9)]
    for atoms in crystals:
        atoms.rattle(0.1, seed=1)
    with default_dtype(torch.float64):
        settings = student.settings_for([13, 28, 29], [-1.0, -2.0, -3.0], 0.7, 30.0, channels=8)
        ours = student.Student(settings, student.element_components(np.eye(3)))
        found = ours(student.join([student.graph_of(atoms, [13, 28, 29], 5.0) for atoms in crystals], torch.float64))
        exported = ours.export()
    for i, (atoms, e0) in enumerate(zip(crystals, (4 * -3.0, -1.0 - 2.0), strict=True)):
        theirs = computed(exported, atoms)
        assert theirs["energy"].item() == pytest.approx(found.energy[i].item() + e0, abs=1e-6)
        assert theirs["stress"][0].numpy() == pytest.approx(found.stress[i].detach().numpy(), abs=1e-7)


def computed(model, atoms):
    import torch

    from mlmat.potentials.graph import Species, graph_of
    from mlmat.potentials.mace import tensors_of
    from mlmat.potentials.potential import default_dtype

    species = Species("toy", model.atomic_numbers.tolist())
    graphs = [graph_of(atoms, species, 5.0)]
    with default_dtype(torch.float64):
        return model(tensors_of(graphs, species.count, 0, torch.float64, torch.device("cpu")), compute_stress=True)


def test_training_learns_resumes_and_writes_a_model(labels, tmp_path, monkeypatch):
    import student
    import torch
    import train

    from mlmat.runner.mace import Runner

    words = (tmp_path, labels, "--channels", 8, "--processes", 1, "--edges", 1500, "--rate", 0.01, "--report", 0.01)
    monkeypatch.setattr(train, "work", without_threads(train.work))
    run(monkeypatch, train, *words, "--minutes", 0.04)
    first = progress(tmp_path)
    run(monkeypatch, train, *words, "--minutes", 0.08)
    curve = progress(tmp_path)
    assert curve[: len(first)] == first
    assert curve[-1]["steps"] > first[-1]["steps"]
    assert curve[-1]["loss"] < curve[0]["loss"]
    row = Runner(model=str(tmp_path / "model.model"), dtype="float32").run(bulk("Cu", cubic=True))
    assert np.isfinite(row["energy"])
    rebuilt = student.load(tmp_path / "model.npz")
    written = torch.load(tmp_path / "model.model", weights_only=False)
    assert all(torch.equal(a, b) for a, b in zip(rebuilt.parameters(), written.parameters(), strict=True))


def without_threads(work):
    import torch

    def wrapped(rank, args):
        before = torch.get_num_threads()
        work(rank, args)
        torch.set_num_threads(before)

    return wrapped


def progress(folder):
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def test_salted_copies_are_salts():
    import label

    copy = label.salted(bulk("NiAl", "cesiumchloride", a=2.9), np.random.default_rng(0), list(range(1, 84)))
    assert len(set(copy.symbols) & set(label.ANIONS)) == 1
    assert label.apart(copy)


def test_plots_and_figures_come_from_scripts(labels, tmp_path, monkeypatch, capsys):
    import evaluate
    import plots
    import train

    monkeypatch.setattr(train, "work", without_threads(train.work))
    words = ("--channels", 8, "--processes", 1, "--edges", 1500, "--minutes", 0.02, "--report", 0.01)
    run(monkeypatch, train, tmp_path / "run", labels, *words)
    run(monkeypatch, plots, tmp_path / "img", tmp_path / "run", labels, "--wbm", labels)
    assert (tmp_path / "img" / "learning-curve.svg").read_text().startswith("<?xml")
    assert (tmp_path / "img" / "parity.png").read_bytes().startswith(b"\x89PNG")
    run(monkeypatch, evaluate, tmp_path / "run" / "model.model", labels, "--wbm", labels)
    assert "WBM (held-out systems)" in capsys.readouterr().out
