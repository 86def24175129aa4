"""A good file of each format with the same rock salt in it, by the name of its reader."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from cif_texts import p1

from mlmat.materials import structure


def rock_salt() -> Atoms:
    """NaCl, eight atoms, one of them off its place."""
    atoms = Atoms("Na4Cl4", cell=[5.64] * 3, pbc=True)
    fcc = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    atoms.set_scaled_positions([*fcc, *np.mod(np.add(fcc, [0.5, 0, 0]), 1)])
    atoms.positions[1] += [0.11, 0.0, -0.07]
    return atoms


def as_cif(atoms: Atoms) -> bytes:
    return p1(atoms).encode()


def as_poscar(atoms: Atoms, **options: Any) -> bytes:
    from ase.io.vasp import write_vasp

    text = StringIO()
    write_vasp(text, atoms, **options)
    return text.getvalue().encode()


def as_xyz(frames: Atoms | list[Atoms]) -> bytes:
    from ase.io.extxyz import write_xyz

    text = StringIO()
    write_xyz(text, frames)
    return text.getvalue().encode()


def as_traj(frames: Atoms | list[Atoms]) -> bytes:
    from ase.io.trajectory import write_traj

    file = BytesIO()
    file.close = lambda: None  # ASE closes what it wrote
    write_traj(file, frames)
    return file.getvalue()


def as_ase_json(rows: Atoms | list[tuple[Atoms, dict[str, Any]]]) -> bytes:
    from ase.db import connect

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.json")
        db = connect(path)
        for atoms, pairs in [(rows, {})] if isinstance(rows, Atoms) else rows:
            db.write(atoms, **pairs)
        return path.read_bytes()


def as_pymatgen_json(atoms: Atoms) -> bytes:
    from pymatgen.io.ase import AseAtomsAdaptor

    return json.dumps(AseAtomsAdaptor.get_structure(atoms).as_dict()).encode()


def optimade_resource(atoms: Atoms, **attributes: Any) -> dict[str, Any]:
    """A structure resource."""
    names = atoms.get_chemical_symbols()
    amounts = structure.counts(atoms.numbers)
    said = {
        "elements": list(amounts),
        "nelements": len(amounts),
        "nsites": len(atoms),
        "chemical_formula_reduced": structure.reduced_formula(amounts),
        "chemical_formula_anonymous": structure.anonymous_formula(amounts),
        "dimension_types": [int(p) for p in atoms.pbc],
        "nperiodic_dimensions": int(atoms.pbc.sum()),
        "lattice_vectors": atoms.cell.array.tolist(),
        "cartesian_site_positions": atoms.positions.tolist(),
        "species_at_sites": names,
        "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in sorted(set(names))],
        "structure_features": [],
        **attributes,
    }
    return {"type": "structures", "id": "salt/1", "attributes": said}


def as_optimade(atoms: Atoms) -> bytes:
    header = {"x-optimade": {"meta": {"api_version": "1.2.0"}}}
    return f"{json.dumps(header)}\n{json.dumps(optimade_resource(atoms))}\n".encode()


#: A name for a file of the format, and what writes it; one for each reader.
WRITERS: dict[str, tuple[str, Callable[[Atoms], bytes]]] = {
    "ase_json": ("x.json", as_ase_json),
    "cif": ("x.cif", as_cif),
    "optimade": ("x.jsonl", as_optimade),
    "poscar": ("POSCAR", as_poscar),
    "pymatgen_json": ("x.json", as_pymatgen_json),
    "traj": ("x.traj", as_traj),
    "xyz": ("x.extxyz", as_xyz),
}
