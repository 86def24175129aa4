"""Ruined crystals: which are flagged when they are read, which are suspect when they are computed, and what hulls make
of them.

    python benchmarks/plausibility.py rates FOLDER...             shares of CIFs flagged, sound and ruined
    python benchmarks/plausibility.py hulls FOLDER... [--count N] hulls of sound crystals without and with N ruined ones

The tables of docs/plausibility.md. Crystals of up to 40 atoms (300 for `rates`); everything is seeded.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.io import write

import mlmat
from mlmat.materials.plausible import implausible
from mlmat.reader import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

BOHR = 0.529177210903


def scaled(atoms: Atoms, factor: float) -> Atoms:
    """All lengths multiplied."""
    made = atoms.copy()
    made.set_cell(made.cell * factor, scale_atoms=True)
    return made


def doubled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """A copy of one atom 0.1 to 0.7 Å beside it."""
    at, way = rng.integers(len(atoms)), rng.normal(size=3)
    made = atoms.copy()
    made.append(atoms[at])
    made.positions[-1] += way * rng.uniform(0.1, 0.7) / np.linalg.norm(way)
    return made


def swapped(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Two atoms of different elements in one another's place."""
    numbers = atoms.numbers.copy()
    one = rng.integers(len(atoms))
    other = rng.choice(np.flatnonzero(numbers != numbers[one]))
    numbers[one], numbers[other] = numbers[other], numbers[one]
    made = atoms.copy()
    made.numbers = numbers
    return made


def exchanged(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """All atoms of two elements in one another's places: another composition."""
    one, other = rng.choice(sorted(set(atoms.numbers.tolist())), 2, replace=False)
    made = atoms.copy()
    made.numbers = np.where(atoms.numbers == one, other, np.where(atoms.numbers == other, one, atoms.numbers))
    return made


KINDS = {
    "lengths x 0.3 to 0.7": lambda atoms, rng: scaled(atoms, rng.uniform(0.3, 0.7)),
    "lengths x 1.5 to 3": lambda atoms, rng: scaled(atoms, rng.uniform(1.5, 3)),
    "Bohr for Å or Å for Bohr": lambda atoms, rng: scaled(atoms, rng.choice([BOHR, 1 / BOHR])),
    "nm for Å or Å for nm": lambda atoms, rng: scaled(atoms, rng.choice([0.1, 10.0])),
    "an atom doubled": doubled,
    "two atoms swapped": swapped,
    "two elements exchanged": exchanged,
}
SCALES = (0.1, 0.3, 0.5, BOHR, 0.6, 0.7, 1.5, 1 / BOHR, 2.0, 3.0, 10.0)


def crystals(folder: Path, most: int) -> Iterator[tuple[Path, Atoms]]:
    """The ordered, three-dimensional crystals of a folder's CIFs."""
    for path in sorted(folder.rglob("*.cif")):
        for block in read(path.name, path.read_bytes()):
            if block.outcome == "stored" and block.atoms is not None and len(block.atoms) <= most:
                yield path, block.atoms


def why(atoms: Atoms) -> str | None:
    """What ingest would say of it."""
    return implausible(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def rates(folders: list[Path]) -> None:
    """Print shares in percent."""
    print("| set | crystals | flagged | " + " | ".join(f"x {s:.3g}" for s in SCALES) + " | doubled | swapped |")
    print("| --- |" + " ---: |" * (len(SCALES) + 4))
    for folder in folders:
        rng = np.random.default_rng(14)
        found = list(crystals(folder, 300))
        sound = [(path, atoms) for path, atoms in found if not why(atoms)]
        for path, atoms in found:
            if text := why(atoms):
                print(f"<!-- {path.name}: {text} -->")
        some = [sound[i][1] for i in rng.permutation(len(sound))[:400]]
        shares = [np.mean([why(scaled(atoms, s)) is not None for atoms in some]) for s in SCALES]
        shares.append(np.mean([why(doubled(atoms, rng)) is not None for atoms in some]))
        mixed = [atoms for atoms in some if len(set(atoms.numbers.tolist())) > 1]
        shares.append(np.mean([why(swapped(atoms, rng)) is not None for atoms in mixed]))
        texts = " | ".join(f"{100 * share:.1f}" for share in shares)
        print(f"| {folder.name} | {len(found)} | {len(found) - len(sound)} | {texts} |")


def hulls(folders: list[Path], count: int) -> None:
    """Print what became of ruined crystals by kind, and which hulls of sound ones they changed."""
    rng = np.random.default_rng(14)
    pool = [atoms for folder in folders for _, atoms in crystals(folder, 40)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = mlmat.open(folder / "store.duckdb", create=True)
        for i, atoms in enumerate(pool):
            write(folder / f"sound-{i}.vasp", atoms, format="vasp", sort=True)
        store.ingest(*sorted(folder.glob("sound-*.vasp")))
        store.ingest(references=["elements"])
        store.screen("mace")
        query = "SELECT result_id::VARCHAR AS r, e_above_hull FROM hull WHERE e_above_hull IS NOT NULL"
        before = dict(store.sql(query).itertuples(index=False))
        names = list(KINDS)
        for i in range(count):
            kind = names[i % len(names)]
            atoms = pool[rng.integers(len(pool))]
            while kind in names[-2:] and len(set(atoms.numbers.tolist())) < 2:
                atoms = pool[rng.integers(len(pool))]
            made = KINDS[kind](atoms, rng)
            write(folder / f"ruined-{names.index(kind)}-{i}.vasp", made, format="vasp", sort=True)
        store.ingest(*sorted(folder.glob("ruined-*.vasp")))
        store.screen("mace", include_flagged=True)
        after = dict(store.sql(query).itertuples(index=False))
        changed = [key for key, value in before.items() if abs(after.get(key, np.inf) - value) > 1e-9]
        print(f"{len(before)} sound phases with a hull, {len(changed)} changed")
        print(
            store.sql(
                "SELECT regexp_extract(path, 'ruined-([0-9])', 1)::INTEGER AS kind, outcome, count(*) AS files "
                "FROM source WHERE path LIKE '%/ruined-%' GROUP BY ALL ORDER BY ALL"
            ).to_string()
        )
        for i, kind in enumerate(names):
            print(i, kind)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "hulls"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=200)
    given = parser.parse_args()
    rates(given.folders) if given.what == "rates" else hulls(given.folders, given.count)
