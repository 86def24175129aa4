"""Crystals for round trips, stores that hold them, and the programs that read an export again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pandas as pd
from ase import Atoms
from hand_made import method, packed, record, result, stored
from hypothesis import strategies as st

from mlmat.materials.structure import structure_id
from mlmat.reader import Limits
from mlmat.reader import cif as cif_reader
from mlmat.store import Store

LABEL = 'toy/model "small" relax=none'
COLUMNS = {
    "energy": "DOUBLE -- eV",
    "forces": "DOUBLE[3][] -- eV/Å",
    "stress": "DOUBLE[6] -- eV/Å³",
    "fmax": "DOUBLE -- eV/Å",
    "note": "VARCHAR -- words",
    "spectrum": "DOUBLE[] -- arbitrary",
}


@dataclass
class Made:
    """A crystal with what a runner said of it."""

    atoms: Atoms
    energy: float
    forces: np.ndarray
    stress: np.ndarray
    note: str | None = None

    @property
    def id(self) -> str:
        return structure_id(self.atoms)


_numbers = st.floats(-1e3, 1e3, allow_subnormal=False)


@st.composite
def crystals(draw: Any, *, moments: bool = False, slabs: bool = False) -> Atoms:
    n = draw(st.integers(1, 5))
    a, b, c = (draw(st.floats(3, 12)) for _ in range(3))
    alpha, beta, gamma = (draw(st.floats(62, 118)) for _ in range(3))
    fract = draw(st.lists(st.tuples(*[st.floats(-1, 2)] * 3), min_size=n, max_size=n))
    pbc = draw(st.sampled_from([(True, True, True), (True, True, False), (False, True, False)])) if slabs else True
    symbols = draw(st.lists(st.sampled_from(["H", "Li", "O", "Fe", "Cs", "U"]), min_size=n, max_size=n))
    atoms = Atoms(symbols, cell=[a, b, c, alpha, beta, gamma], scaled_positions=fract, pbc=pbc)
    atoms.rotate(draw(st.floats(0, 360)), "y", rotate_cell=True)
    if moments and draw(st.booleans()):
        atoms.set_initial_magnetic_moments(draw(st.lists(st.floats(-3, 3), min_size=n, max_size=n)))
    if moments and draw(st.booleans()):
        atoms.set_initial_charges(draw(st.lists(st.floats(-3, 3), min_size=n, max_size=n)))
    return atoms


@st.composite
def computed(draw: Any, **options: bool) -> Made:
    atoms = draw(crystals(**options))
    n = len(atoms)
    forces = np.array(draw(st.lists(_numbers, min_size=3 * n, max_size=3 * n))).reshape(n, 3)
    note = draw(st.none() | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12))
    return Made(atoms, draw(_numbers), forces, np.array(draw(st.lists(_numbers, min_size=6, max_size=6))), note)


def several(**options: bool) -> st.SearchStrategy[list[Made]]:
    return st.lists(computed(**options), min_size=1, max_size=4, unique_by=lambda made: made.id)


def fill(store: Store, many: list[Made], method_id: str = "m", label: str = LABEL) -> list[str]:
    """Store crystals and the results of a method; their ids."""
    ids = stored(store, *(made.atoms for made in many))
    method(store, method_id, label=label)
    values = [
        {"energy": m.energy, "forces": m.forces.tolist(), "stress": m.stress.tolist(), "note": m.note,
         "fmax": float(np.linalg.norm(m.forces, axis=1).max()), "spectrum": [1.5, 2.5]}
        for m in many
    ]  # fmt: skip
    results = [result(i, method_id, energy=m.energy) for i, m in zip(ids, many, strict=True)]
    record(store, *results, values=values, declared=COLUMNS)
    return ids


def relax(store: Store, parent: str, atoms: Atoms, method_id: str = "m", energy: float = -1.0) -> str:
    """Record that a method relaxed a structure to these atoms; their id."""
    from hand_made import merge

    done = result(parent, method_id, energy=energy, converged=True)
    merge(store, packed([done], [{"energy": energy}], declared=COLUMNS, produced=[(done, atoms)]))
    return structure_id(atoms)


@dataclass
class Found:
    """What another program reads of one structure in an export."""

    atoms: Atoms
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    facts: dict[str, Any] | None = None


def read_again(path: Path) -> list[Found]:
    """Read an export by the programs that its format is for."""
    return _READERS[path.suffix if path.is_file() else ""](path)


def _from_db(path: Path) -> list[Found]:
    rows = list(ase.db.connect(path).select())
    return [
        Found(r.toatoms(), r.get("energy"), r.get("forces"), r.get("stress"), {**r.data, **r.key_value_pairs})
        for r in rows
    ]


def _from_xyz(path: Path) -> list[Found]:
    found = []
    for atoms in ase.io.read(path, index=":", format="extxyz"):
        results = atoms.calc.results if atoms.calc else {}
        found.append(Found(atoms, *(results.get(k) for k in ("energy", "forces", "stress")), dict(atoms.info)))
    return found


def _from_cif(path: Path) -> list[Found]:
    found = []
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        for block in cif_reader.read(file.name, file.read_bytes(), Limits()):
            assert block.outcome in ("stored", "flagged"), block.reason
            energy = [line.split()[1] for line in block.text.splitlines() if line.startswith("_mlmat_energy ")]
            found.append(Found(block.atoms, float(energy[0]) if energy else None))
    return found


def _from_table(path: Path) -> list[Found]:
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    found = []
    for row in frame.to_dict("records"):
        (block,) = cif_reader.read("x.cif", row["cif"].encode(), Limits())
        forces, stress = (np.array([list(v) for v in row["forces"]]) if "forces" in row else None, row.get("stress"))
        found.append(Found(block.atoms, row.get("energy"), forces, stress, row))
    return found


def _from_optimade(path: Path) -> list[Found]:
    from optimade.adapters import Structure

    found = []
    for line in path.read_text().splitlines()[2:]:
        entry = json.loads(line)
        own = {k.removeprefix("_mlmat_"): v for k, v in entry["attributes"].items() if k.startswith("_mlmat_")}
        atoms = Structure(entry).as_ase
        atoms.set_initial_magnetic_moments(own.get("initial_magnetic_moments"))
        forces, stress = (np.array(own[k]) if k in own else None for k in ("forces", "stress"))
        found.append(Found(atoms, own.get("energy"), forces, stress, own))
    return found


_READERS = {
    "": _from_cif, ".cif": _from_cif, ".db": _from_db, ".json": _from_db, ".extxyz": _from_xyz, ".xyz": _from_xyz,
    ".csv": _from_table, ".parquet": _from_table, ".jsonl": _from_optimade,
}  # fmt: skip
