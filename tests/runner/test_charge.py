"""A MACE that reads total charge and multiplicity gets those of the structure, as MACE's own calculator has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import bulk

from mlmat.potentials import untrained
from mlmat.potentials.quiet import quiet_import

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def omol_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MACE with random weights whose nodes are embedded with charge and spin, as MACE-OMol's are."""
    modules = quiet_import("mace.modules")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    kind = {"type": "categorical", "per": "graph", "emb_dim": 8, "num_classes": 20, "offset": 10}
    specs = {"total_charge": kind, "total_spin": kind | {"offset": 0}}
    about = untrained._architecture(modules) | {"embedding_specs": specs, "pair_repulsion": False}
    model = modules.ScaleShiftMACE(**about).eval()
    untrained._amplify(model)
    torch.set_default_dtype(before)
    path = tmp_path_factory.mktemp("models") / "charged.model"
    torch.save(model, path)
    return path


def states() -> list[Atoms]:
    found = []
    for info in ({}, {"charge": 1, "spin": 2}, {"charge": -2}, {"charge": 0, "spin": 3}):
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        atoms.rattle(0.05, seed=1)
        atoms.info.update(info)
        found.append(atoms)
    return found


def test_energies_are_those_of_maces_own_calculator(omol_like: Path) -> None:
    from mace.calculators import MACECalculator

    from mlmat.potentials.mace import Potential

    potential = Potential(omol_like, "float64", "cpu", None, None)
    calculator = MACECalculator(str(omol_like), device="cpu", default_dtype="float64")
    found = potential.evaluate(states())
    energies = []
    for atoms, one in zip(states(), found, strict=True):
        atoms.info = {"charge": 0, "spin": 1} | atoms.info
        atoms.calc = calculator
        assert not isinstance(one, Exception)
        assert one.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        energies.append(round(one.energy, 6))
    assert len(set(energies)) == 4
