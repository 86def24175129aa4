"""Make labelled structures: copies of the crystals in some folders, with a teacher's energy, forces and stress.

`python training/label.py OUT FOLDER ... --teacher chgnet`

OUT gets shards `labels-SEED-NNNN.npz` (see `write_shard`) and `teacher.npz` (elements, elemental energies, atom
embedding). Whole shards are written, and those that exist are kept: run it again to go on. The order of the
structures is a hash's, so any number of shards is a fair sample. Needs numpy, ase, pymatgen and the teacher.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io
import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from teachers import TEACHERS, Label, Teacher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PER_SHARD = 32  # crystals; each gives up to a dozen labels
SUFFIXES = {".cif", ".vasp", ".xyz", ".json", ".traj"}
TEST_SHARE = 0.06  # of the chemical systems
#: Shortest distance over the sum of covalent radii. Below it the shipped model's pair repulsion acts.
CLOSEST = 0.75
STIFFNESS = 0.6  # eV/Å³, a crystal's usual elastic constant, for one step towards the minimum
COMPLIANCE = 0.04  # Å²/eV, the same for one atom
#: How often an element is the anion of an ionic copy. Random elements make intermetallics; users bring oxides.
ANIONS = {"O": 6, "F": 3, "Cl": 2, "S": 2, "N": 2, "Br": 1, "I": 1, "Se": 1, "Te": 1, "P": 1, "H": 1, "C": 1}
SECOND_CATION = 0.4  # of the ionic copies
FORMERS = ("B", "C", "N", "Si", "P", "S", "Ge", "As", "Se")  # of phosphates, silicates and their like


def system(atoms: Atoms) -> str:
    """The chemical system of a structure: `Li-O`."""
    return "-".join(sorted(set(atoms.get_chemical_symbols())))


def is_test(name: str, held_out: Iterable[str] = ()) -> bool:
    """Whether a chemical system is for testing only; elements never are, every crystal is made of them."""
    if "-" not in name:
        return False
    return name in held_out or hashed(name) / 2**64 < TEST_SHARE


def copies(
    atoms: Atoms, rng: np.random.Generator, numbers: Sequence[int], most: int, ionic: float = 0.5
) -> Iterator[tuple[str, Atoms]]:
    """Yield the crystal and its copies, fewer of large cells: what a student has to see off the minimum.

    ionic: the share of substituted copies that become ionic compounds.
    """
    yield "as is", atoms
    room = min(most, max(2, round(0.6 * most * 10 / len(atoms))))
    for _ in range(round(room / 3)):
        yield "moved", moved(atoms, rng)
    for _ in range(room - round(room / 3)):
        salt = ionic > 0 and rng.random() < ionic and len(set(atoms.numbers)) > 1
        yield "substituted", (salted if salt else substituted)(atoms, rng, numbers)
    if rng.random() < 0.15 * min(1, most):
        yield "compressed", scaled(moved(atoms, rng), rng.uniform(0.55, 0.85))
    if rng.random() < 0.1 * min(1, most):
        yield "dimer", dimer(rng, numbers)


def moved(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy with atoms rattled by up to 0.15 Å, the cell strained by up to 5 %, the volume by up to 15 %."""
    strain = rng.normal(0, rng.uniform(0, 0.05), (3, 3))
    copy = scaled(atoms, rng.uniform(0.9, 1.15))
    copy.set_cell(copy.cell[:] @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    copy.positions += rng.normal(0, rng.uniform(0.005, 0.15), copy.positions.shape)
    return copy


def scaled(atoms: Atoms, factor: float) -> Atoms:
    """A copy with `factor` times the volume."""
    copy = atoms.copy()
    copy.set_cell(copy.cell[:] * factor ** (1 / 3), scale_atoms=True)
    return copy


def substituted(atoms: Atoms, rng: np.random.Generator, numbers: Sequence[int]) -> Atoms:
    """A copy made of other elements, sometimes of one more, with the volume that their radii suggest."""
    copy = atoms.copy()
    chosen = {z: _replacement(z, rng, numbers) for z in sorted(set(atoms.numbers.tolist()))}
    copy.numbers[:] = [chosen[z] for z in atoms.numbers]
    if len(copy) > 2 and rng.random() < 0.5:
        some = rng.permutation(len(copy))[: rng.integers(1, len(copy) // 2 + 1)]
        copy.numbers[some] = rng.choice(numbers)
    return scaled(copy, _radii(copy) / _radii(atoms) * rng.uniform(0.9, 1.15))


def salted(atoms: Atoms, rng: np.random.Generator, numbers: Sequence[int]) -> Atoms:
    """A copy whose most electronegative element is a common anion, and the others metals.

    Often one more cation takes some of their places: another metal, or a centre of anions such as PO4.
    """
    from pymatgen.core import Element

    anions = {Element(symbol).Z: weight for symbol, weight in ANIONS.items() if Element(symbol).Z in numbers}
    if not anions:
        return substituted(atoms, rng, numbers)
    *others, last = sorted({Element(symbol) for symbol in atoms.get_chemical_symbols()}, key=lambda one: one.X)
    metals = [z for z in numbers if Element.from_Z(z).is_metal]
    chosen = {one.Z: _replacement(one.Z, rng, metals) for one in others}
    stays = last.Z in anions and rng.random() < 0.5
    likely = np.array(list(anions.values())) / sum(anions.values())
    chosen[last.Z] = last.Z if stays else int(rng.choice(list(anions), p=likely))
    copy = atoms.copy()
    copy.numbers[:] = [chosen[z] for z in atoms.numbers]
    cations = np.flatnonzero(atoms.numbers != last.Z)
    if rng.random() < SECOND_CATION:
        some = rng.permutation(cations)[: rng.integers(1, len(cations) // 2 + 2)]
        formers = [Element(symbol).Z for symbol in FORMERS if Element(symbol).Z in numbers]
        copy.numbers[some] = int(rng.choice(formers if formers and rng.random() < 0.5 else metals))
    return scaled(copy, _radii(copy) / _radii(atoms) * rng.uniform(0.9, 1.15))


def dimer(rng: np.random.Generator, numbers: Sequence[int]) -> Atoms:
    """Two atoms in a large box, closer to each other than to their images."""
    pair = rng.choice(numbers, 2)
    distance = min(covalent_radii[pair].sum() * rng.uniform(0.8, 1.7), 4.8)
    return Atoms(pair, [[0, 0, 0], [distance, 0, 0]], cell=[10.2] * 3, pbc=True)


def settled(label: Label) -> Atoms:
    """The structure after one step down the teacher's energy."""
    atoms = label.atoms.copy()
    strain = np.clip(-label.stress / STIFFNESS, -0.06, 0.06)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    atoms.positions += np.clip(label.forces * COMPLIANCE, -0.15, 0.15)
    return atoms


def label_all(
    crystals: Iterable[tuple[str, Atoms]], teacher: Teacher, args: argparse.Namespace
) -> list[tuple[str, Label]]:
    """Label crystals and their copies; of substituted ones also the structure one or more steps later."""
    wanted = []
    for name, atoms in crystals:
        rng = np.random.default_rng(hashed(f"{name}{args.seed or ''}"))
        found = copies(atoms, rng, teacher.numbers, args.copies, args.ionic)
        wanted += [(name, kind, copy) for kind, copy in found if apart(copy) and not (args.seed and kind == "as is")]
    origin = {id(atoms): name for name, _, atoms in wanted}
    labels = teacher.label([(kind, atoms) for _, kind, atoms in wanted])
    found = [(origin[id(label.atoms)], label) for label in labels]
    last = [(name, label) for name, label in found if label.kind == "substituted"]
    for _ in range(args.settle):
        later = [(name, settled(label)) for name, label in last]
        later = [(name, atoms) for name, atoms in later if apart(atoms)]
        origin = {id(atoms): name for name, atoms in later}
        last = [(origin[id(label.atoms)], label) for label in teacher.label([("settled", a) for _, a in later])]
        found += last
    return [(name, label) for name, label in found if label.sane]


def apart(atoms: Atoms) -> bool:
    """Whether no two atoms are closer than `CLOSEST` times the sum of their covalent radii."""
    radii = covalent_radii[atoms.numbers] * CLOSEST
    return len(neighbor_list("i", atoms, radii)) == 0


def crystals(folders: Sequence[Path]) -> list[Path]:
    """All structure files below the folders, in an order that says nothing about them."""
    files = {path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    return sorted(files, key=lambda path: (hashed(path.name), path))


def read(path: Path, numbers: Sequence[int], max_atoms: int) -> tuple[str, Atoms] | None:
    """Read a crystal; None where the teacher cannot take it, or it is too large or no crystal."""
    try:
        atoms = ase.io.read(path)
    except Exception as error:
        print(f"{path.name}: left out ({error})", file=sys.stderr)
        return None
    assert isinstance(atoms, Atoms)
    usable = len(atoms) <= max_atoms and atoms.pbc.all() and set(atoms.numbers) <= set(numbers)
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    return (f"{path.parent.name}/{path.name}", bare) if usable else None


def _radii(atoms: Atoms) -> float:
    return float((covalent_radii[atoms.numbers] ** 3).sum())


def hashed(text: str) -> int:
    """A number below 2⁶⁴ that says nothing about the text, the same each time."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def write_shard(path: Path, labels: Sequence[tuple[str, Label]]) -> None:
    """Write labels of n structures with N atoms in all: the arrays of the dictionary below, E in eV, lengths in Å."""
    found = [label for _, label in labels]
    arrays = {
        "natoms": np.array([len(label.atoms) for label in found], dtype=int),
        "name": np.array([name for name, _ in labels], dtype=str),
        "kind": np.array([label.kind for label in found], dtype=str),
        "system": np.array([system(label.atoms) for label in found], dtype=str),
        "cell": np.array([label.atoms.cell[:] for label in found]).reshape(-1, 3, 3),
        "energy": np.array([label.energy for label in found]),
        "stress": np.array([label.stress for label in found]).reshape(-1, 3, 3),
        "numbers": np.concatenate([label.atoms.numbers for label in found] or [np.zeros(0, int)]),
        "positions": np.concatenate([label.atoms.positions for label in found] or [np.zeros((0, 3))]),
        "atom_energies": np.concatenate([label.atom_energies for label in found] or [np.zeros(0)]),
        "forces": np.concatenate([label.forces for label in found] or [np.zeros((0, 3))]),
    }
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)


def _work(first: int, args: argparse.Namespace, end: float) -> None:
    warnings.simplefilter("ignore")
    teacher = TEACHERS[args.teacher]()
    files = crystals(args.folder)
    for shard in range(first, -(-len(files) // PER_SHARD), args.processes):
        path = args.out / f"labels-{args.seed}-{shard:04d}.npz"
        if path.exists():
            continue
        if time.time() > end:
            return
        group = [read(file, teacher.numbers, args.max_atoms) for file in files[shard * PER_SHARD :][:PER_SHARD]]
        write_shard(path, label_all([crystal for crystal in group if crystal], teacher, args))


def _replacement(number: int, rng: np.random.Generator, numbers: Sequence[int]) -> int:
    """Another element: mostly a chemically close one, by Pettifor's order, otherwise any."""
    from pymatgen.core import Element

    if rng.random() < 0.3:
        return int(rng.choice(numbers))
    order = sorted(numbers, key=lambda z: Element.from_Z(z).mendeleev_no)
    own = Element.from_Z(number).mendeleev_no
    place = sum(Element.from_Z(z).mendeleev_no < own for z in order) + round(rng.normal(0, 8))
    return order[min(max(place, 0), len(order) - 1)]


def main() -> None:
    """Read the command line and label until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--teacher", choices=TEACHERS, default="chgnet")
    parser.add_argument("--copies", type=int, default=6, help="of a small cell; 0: the crystals as they are")
    parser.add_argument("--ionic", type=float, default=0.5, help="share of ionic ones among substituted copies")
    parser.add_argument("--settle", type=int, default=1, help="steps down the teacher's energy from substituted copies")
    parser.add_argument("--seed", type=int, default=0, help="another one adds other copies to the same folder")
    parser.add_argument("--max-atoms", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e6)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = TEACHERS[args.teacher]()
    np.savez(args.out / "teacher.npz", numbers=teacher.numbers, e0=teacher.e0, embedding=teacher.embedding)
    end = time.time() + 60 * args.minutes
    if args.processes == 1:
        _work(0, args, end)
        return
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(i, args, end)) for i in range(args.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
