"""Hydrogen that is heavy by its mass alone is told, too: ASE and OPTIMADE write it so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write

from mlmat.reader import Limits, read


@pytest.mark.parametrize(("mass", "name"), [(2.014, "D1"), (3.016, "T1"), (1.008, None)])
def test_masses_of_isotopes_are_told(tmp_path: Path, mass: float, name: str | None) -> None:
    atoms = Atoms("HF", positions=[(0, 0, 0), (0.92, 0, 0)], cell=[4, 4, 4], pbc=True)
    atoms.set_masses([mass, 18.998])
    write(tmp_path / "a.traj", atoms)
    write(tmp_path / "a.extxyz", atoms, columns=["symbols", "positions", "masses"])
    write(tmp_path / "a.json", atoms)
    kind = {"name": "X", "chemical_symbols": ["H"], "concentration": [1.0], "mass": [mass]}
    fluorine = {"name": "F", "chemical_symbols": ["F"], "concentration": [1.0]}
    said = {"lattice_vectors": atoms.cell.tolist(), "cartesian_site_positions": atoms.positions.tolist(),
            "species_at_sites": ["X", "F"], "species": [kind, fluorine], "dimension_types": [1, 1, 1]}  # fmt: skip
    (tmp_path / "o.json").write_text(json.dumps({"data": [{"type": "structures", "id": "1", "attributes": said}]}))
    for file in tmp_path.iterdir():
        (block,) = read(file.name, file.read_bytes(), Limits())
        assert block.outcome == "stored", file
        assert any(f"{name}: kept as H" in text for text in block.warnings) == (name is not None), file
