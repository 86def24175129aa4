"""Models as arrays and settings: what was saved is what is loaded, and nothing in the file runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mlmat.errors import ModelError
from mlmat.potentials import models
from mlmat.runner.mace import Runner

SETTINGS = {
    "atomic_numbers": [1, 6, 14], "atomic_energies": [-1.0, -2.0, -3.0], "atomic_inter_scale": 0.7,
    "avg_num_neighbors": 20.0, "channels": 8, "r_max": 4.0, "num_bessel": 4, "num_polynomial_cutoff": 5,
    "radial_mlp": [8], "readout": 4, "max_ell": 2, "correlation": 2, "num_interactions": 2, "repulsion_radii": 0.75,
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model as arrays, and beside it as the module that mace itself would write."""
    from mlmat.potentials import plain as _plain
    from mlmat.potentials.quiet import quiet_import

    quiet_import("mace.modules")
    import torch

    folder = tmp_path_factory.mktemp("plain")
    torch.manual_seed(3)
    model = _plain.build(SETTINGS)
    _plain.save(model, SETTINGS, folder / "small.npz")
    torch.save(model, folder / "small.model")
    return folder


def test_arrays_and_module_give_the_same_numbers(saved: Path) -> None:
    silicon = bulk("Si").repeat((2, 1, 1))
    silicon.rattle(0.1, seed=1)
    plain = Runner(model=str(saved / "small.npz")).run(silicon)
    module = Runner(model=str(saved / "small.model")).run(silicon)
    assert plain["energy"] == pytest.approx(module["energy"], abs=1e-5)
    assert np.abs(plain["forces"]).max() > 1e-4
    np.testing.assert_allclose(plain["forces"], module["forces"], atol=1e-5)


def test_it_is_registered_like_any_other(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path))
    added = models.add(str(saved / "small.npz"))
    assert added.path == tmp_path / "models" / "small.npz"
    assert models.resolve(str(saved / "small.npz")) == added


@pytest.mark.parametrize("damage", ["settings", "names", "pickle"])
def test_a_file_that_does_not_fit_is_refused_in_one_line(saved: Path, tmp_path: Path, damage: str) -> None:
    with np.load(saved / "small.npz") as file:
        content = {name: file[name] for name in file.files}
    if damage == "settings":
        content["settings"] = np.array("{}")
    elif damage == "names":
        content["no_such_weight"] = np.zeros(3)
    else:
        content["settings"] = np.array([{"a": print}], dtype=object)
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(ModelError) as caught:
        Runner(model=str(tmp_path / "bad.npz")).setup()
    assert "\n" not in str(caught.value)
