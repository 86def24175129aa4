"""Write what the stores in this folder were made of: `python inputs.py FOLDER ENTRIES`, see README.md.

FOLDER gets a folder for each store; ENTRIES is a list of computed entries of the Materials Project
(Li-Co-Ni-O, as JSON).
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write


def relaxations(folder: Path) -> None:
    """Crystals off their minimum, one far off, and an element that the models do not know."""
    crystals = {
        "al": bulk("Al", "fcc", a=4.2, cubic=True),
        "mgo": bulk("MgO", "rocksalt", a=4.3),
        "nacl": bulk("NaCl", "rocksalt", a=5.5),
        "si": bulk("Si", "diamond", a=5.3),
        "zno": bulk("ZnO", "wurtzite", a=3.4, c=5.1),
        "batio3": Atoms(
            "BaTiO3", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.53), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
            cell=[4.0, 4.0, 4.1], pbc=True,
        ),
        "at": bulk("At", "fcc", a=6.0),
    }  # fmt: skip
    for name in ("si", "zno", "al"):
        crystals[name].rattle(0.05, seed=1)
    for name, atoms in crystals.items():
        write(folder / f"{name}.vasp", atoms)


def slabs(folder: Path) -> None:
    """Partly periodic structures in several orientations and orders of their vectors, and crystals beside them."""
    for name, atoms in _partly_periodic().items():
        write(folder / f"{name}.extxyz", atoms)
    write(folder / "au.vasp", bulk("Au", "fcc", a=4.17))
    write(folder / "pt_slab_ttt.vasp", fcc111("Pt", (1, 1, 3), vacuum=6.0, periodic=True))
    write(folder / "graphite.vasp", Atoms("C4", scaled_positions=[
        (0, 0, 0.25), (0, 0, 0.75), (1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)], cell=[2.467, 2.467, 7.0, 90, 90, 120],
        pbc=True))  # fmt: skip


def _partly_periodic() -> dict[str, Atoms]:
    slab = fcc111("Cu", (1, 1, 3), vacuum=6.0)
    wire = Atoms("Au2", positions=[(5, 5, 0), (5, 5.4, 2.6)], cell=[10, 10, 5.2], pbc=(False, False, True))
    sheet = Atoms("C2", positions=[(0, 0, 5), (1.23, 0.71, 5)], cell=[[2.46, 0, 0], [1.23, 2.13, 0], [0, 0, 15]],
                  pbc=(True, True, False))  # fmt: skip
    found = {"slab": slab, "wire_z": wire, "sheet": sheet}
    for name, angle in (("wire_y", 90), ("wire_tilted", 40)):
        found[name] = wire.copy()
        found[name].rotate(angle, "x", rotate_cell=True)
        found[name].positions[:, 0] += 0.01 * angle  # another structure to ASE, the same one by its id
    along_x = Atoms("AgAu", positions=[(0, 5, 5), (2.6, 5, 5.4)], cell=[5.2, 10, 10], pbc=(True, False, False))
    along_y = Atoms("PtAu", positions=[(5, 0, 5), (5, 2.6, 5.4)], cell=[[10, 0, 0], [0, 0, 10], [0, 5.2, 0]],
                    pbc=(False, False, True))  # fmt: skip
    silver = fcc111("Ag", (1, 1, 3), vacuum=6.0)
    order = [1, 2, 0]
    permuted = Atoms(silver.numbers, silver.positions, cell=silver.cell.array[order], pbc=silver.pbc[order])
    turned, nearly = fcc111("Ni", (1, 1, 3), vacuum=6.0), fcc111("Al", (1, 1, 3), vacuum=6.0)
    turned.rotate(90, "x", rotate_cell=True)
    nearly.rotate(89.99, "x", rotate_cell=True)
    rotated = fcc111("Pd", (1, 1, 3), vacuum=6.0)
    rotated.rotate(35, (1, 2, 3), rotate_cell=True)
    return found | {
        "wire_x": along_x, "wire_along_y": along_y, "slab_permuted": permuted, "slab_turned": turned,
        "slab_nearly_turned": nearly, "slab_rotated": rotated, "water": molecule("H2O", cell=[10, 10, 10]),
        "ethanol": molecule("CH3CH2OH", cell=[12, 12, 12]),
    }  # fmt: skip


def imports(folder: Path, entries: Path) -> None:
    """Entries of the Materials Project (those under CC BY, small ones) and a table of energies."""
    every = json.loads(gzip.decompress(entries.read_bytes()))
    small = [e for e in every if e["data"]["license"] == "BY-C" and len(e["structure"]["sites"]) <= 8]
    with gzip.open(folder / "entries_Li-Co-Ni-O.json.gz", "wt") as file:
        json.dump(small, file)
    (folder / "energies.csv").write_text(
        "id,formula,energy,correction\nli,Li2,-3.81,\no2,O2,-9.86,\nlio,Li2O,-14.33,-0.687\nlo2,Li2O2,-19.03,-0.92\n"
        "co,Co2,-14.2,\nlco,LiCoO2,-22.9,-1.37\nbad,Li2+,-1,\nco3o4,Co3O4,-46.1,-2.75\n"
    )


def moments(folder: Path) -> None:
    """Initial moments (collinear, vectors) and charges, charge and spin as key-values, results, a constraint."""
    iron = bulk("Fe", "bcc", a=2.87, cubic=True)
    frames = []
    for values in ((2.2, 2.2), (2.2, -2.2)):
        frames.append(iron.copy())
        frames[-1].set_initial_magnetic_moments(values)
    write(folder / "collinear.extxyz", frames)
    vectors = iron.copy()
    del vectors.arrays["initial_magmoms"]
    vectors.set_array("initial_magmoms", np.array([(0, 0, 2.2), (1.5, 0.4, -1.0)]), float)
    salt = bulk("NaCl", "rocksalt", a=5.64)
    charged = salt.copy()
    charged.set_initial_charges([0.9, -0.9])
    with connect(folder / "rows.db") as database:
        database.write(vectors, note="vectors")
        database.write(charged, note="charges", gap=8.5)
        database.write(_with_results(salt), note="results", spin=1)
        fixed = bulk("NiAl", "cesiumchloride", a=2.9)
        fixed.set_constraint(FixAtoms([0]))
        database.write(_with_results(fixed), charge_state="neutral", multiplicity=1, note="fixed")
    water = molecule("H2O", cell=[9, 9, 9], pbc=True)
    water.info.update(charge=0, spin=1)
    ion = molecule("OH", cell=[9, 9, 9], pbc=True)
    ion.info.update(charge=-1, spin=1, note="with a charge")
    carbon = bulk("C", "diamond", a=3.57)
    carbon.info.update(total_charge=0, total_spin=1)
    write(folder / "charge_spin.extxyz", [water, ion, carbon])


def _with_results(atoms: Atoms) -> Atoms:
    with_results = atoms.copy()
    forces = np.linspace(-0.1, 0.1, 3 * len(atoms)).reshape(-1, 3)
    results: dict[str, Any] = {"energy": -3.37 * len(atoms), "forces": forces, "stress": np.full(6, 0.01)}
    with_results.calc = SinglePointCalculator(with_results, **results)
    return with_results


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for name in ("relaxations", "slabs", "imports", "moments"):
        (target / name).mkdir(parents=True)
    relaxations(target / "relaxations")
    slabs(target / "slabs")
    imports(target / "imports", Path(sys.argv[2]))
    moments(target / "moments")
