"""Ruined crystals, computed with the shipped model although they are flagged, change no hull of the sound ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase.io import read, write

import mlmat

if TYPE_CHECKING:
    from ase import Atoms

CRYSTALS = Path(__file__).parents[1] / "examples" / "crystals"
SCALES = (0.1, 0.3, 0.4, 0.5, 0.529177, 0.6, 0.7, 1.5, 1.889726, 2.2, 3.0, 10.0)


def doubled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    at, way = rng.integers(len(atoms)), rng.normal(size=3)
    made = atoms.copy()
    made.append(atoms[at])
    made.positions[-1] += way * rng.uniform(0.1, 0.7) / np.linalg.norm(way)
    return made


def swapped(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    made, numbers = atoms.copy(), atoms.numbers.copy()
    one = rng.integers(len(numbers))
    other = rng.choice(np.flatnonzero(numbers != numbers[one]))
    numbers[[one, other]] = numbers[[other, one]]
    made.numbers = numbers
    return made


def test_no_ruined_crystal_changes_a_hull(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    names = ("MgO", "NaCl", "TiO2_rutile", "TiO2_anatase", "Al2O3", "ZnS")
    sound = {name: read(CRYSTALS / f"{name}.cif") for name in names}
    store = mlmat.open(tmp_path / "store.duckdb", create=True)
    store.ingest(*(CRYSTALS / f"{name}.cif" for name in sound))
    store.ingest(references=["elements"])
    where = "list_has_all(['Mg', 'O', 'Na', 'Cl', 'Ti', 'Al', 'Zn', 'S'], elements)"
    store.screen("mace", config="threads", where=where)
    query = "SELECT result_id::VARCHAR AS r, e_above_hull FROM hull WHERE e_above_hull IS NOT NULL"
    before = dict(store.sql(query).itertuples(index=False))
    assert len(before) > 20
    ruined = tmp_path / "ruined"
    ruined.mkdir()
    for name, atoms in sound.items():
        for scale in SCALES:
            made = atoms.copy()
            made.set_cell(made.cell * scale, scale_atoms=True)
            write(ruined / f"{name}-{scale}.vasp", made, sort=True)
        write(ruined / f"{name}-doubled.vasp", doubled(atoms, rng), sort=True)
        write(ruined / f"{name}-swapped.vasp", swapped(atoms, rng), sort=True)
    store.ingest(ruined)
    flagged = store.sql("SELECT count(*) AS n FROM source WHERE outcome = 'flagged' AND path LIKE '%/ruined/%'")["n"][0]
    assert flagged >= 6 * len(sound)
    assert store.screen("mace", config="threads", where=where, include_flagged=True).done > 5 * len(sound)
    after = dict(store.sql(query).itertuples(index=False))
    assert {key: after.get(key) for key in before} == pytest.approx(before, abs=1e-9)
    assert len(store.sql("SELECT 1 FROM suspects")) > 4 * len(sound)
