"""Reading CIF files: mlmat on one core, symmetry included, against pymatgen's parser alone; and reading again.

Times are CPU times. The parts of the work that others' code does (CIF syntax, hashes, space groups by spglib) are
measured alone, too: what a reader could not do without.

    python benchmarks/ingest.py [FOLDER] [--rounds 5] [--reduced]

FOLDER: CIF files, or an archive of them; by default the set `clean` of the shared data. Every structure is compared
with pymatgen's: composition, volume, and all distances between atoms.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import tarfile
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import synthetic
from harness import cpu_seconds, machine, measure, parser, report

from mlmat.ingest import ingest, read_file
from mlmat.materials.structure import SYMPREC, from_row
from mlmat.reader import Limits
from mlmat.store import open_store

#: Å, and relative for volumes.
TOLERANCE = 1e-3


def files_of(given: Path, scratch: Path) -> list[str]:
    """The CIF files of a folder or of an archive."""
    if given.is_file():
        with tarfile.open(given) as packed:
            packed.extractall(scratch, filter="data")
        given = scratch
    return sorted(str(path) for path in given.rglob("*.cif"))


def ours(files: list[str]) -> list[Any]:
    """Rows of table `source`, with those of table `structure`: what a reading process of `ingest` does."""
    limits = Limits()
    return [read_file(file, limits) for file in files]


def pymatgen_parser(files: list[str]) -> list[Any]:
    """Structures by pymatgen's parser alone; the exception where it refuses."""
    from pymatgen.io.cif import CifParser

    found = []
    for file in files:
        try:
            found.append(CifParser(file).parse_structures(primitive=False))
        except Exception as error:
            found.append([error])
    return found


def ase_parser(files: list[str]) -> list[Any]:
    """Atoms by ASE's reader."""
    from ase.io import read

    found = []
    for file in files:
        try:
            found.append(read(file, ":"))
        except Exception as error:
            found.append([error])
    return found


def gemmi_parser(files: list[str]) -> None:
    """Syntax alone: from bytes to the values of a CIF."""
    import gemmi

    for file in files:
        with contextlib.suppress(ValueError, RuntimeError):
            gemmi.cif.read_string(Path(file).read_bytes())


def hashes(files: list[str]) -> list[str]:
    """Files opened, read and hashed, and no more."""
    return [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]


def spglib_alone(cells: list[Any]) -> list[Any]:
    """Space groups by spglib; the exception where it finds none."""
    import spglib

    found = []
    for cell in cells:
        try:
            found.append(spglib.get_symmetry_dataset(cell, symprec=SYMPREC))
        except spglib.SpglibError as error:
            found.append(error)
    return found


def whole_ingest(files: list[str], folder: Path) -> Iterator[Any]:
    """`ingest` into a new store each time, with one reading process; seconds exclude nothing."""
    number = 0
    while True:
        number += 1
        store = open_store(folder / f"ingest-{number}.duckdb", create=True)
        yield ingest(store, files, processes=1)
        (folder / f"ingest-{number}.duckdb").unlink()


def disagreements(files: list[str], rows: list[Any], parsed: list[Any]) -> list[str]:
    """Files of which the two make different crystals; those that only one of them takes are counted, too."""
    found = []
    for file, blocks, structures in zip(files, rows, parsed, strict=True):
        mine = [row["structure"] for row in blocks if row["structure"] is not None]
        theirs = [one for one in structures if not isinstance(one, Exception)]
        if len(mine) != len(theirs):
            found.append(f"{Path(file).name}: {len(mine)} against {len(theirs)} structures")
            continue
        found += [
            f"{Path(file).name}: {why}"
            for a, b in zip(mine, theirs, strict=True)
            if (why := difference(from_row(a), b))
        ]
    return found


def difference(atoms: Any, structure: Any) -> str | None:
    """In what two crystals differ, if they do."""
    from ase import Atoms

    if not structure.is_ordered:
        return "disordered"
    other = Atoms([s.specie.Z for s in structure], positions=structure.cart_coords,
                  cell=structure.lattice.matrix, pbc=True)  # fmt: skip
    if sorted(atoms.numbers) != sorted(other.numbers):
        return f"{atoms.symbols} against {other.symbols}"
    if abs(atoms.get_volume() / other.get_volume() - 1) > TOLERANCE:
        return f"volumes {atoms.get_volume():.3f} and {other.get_volume():.3f} Å³"
    apart = np.abs(_distances(atoms) - _distances(other)).max()
    return f"distances differ by {apart:.4f} Å" if apart > TOLERANCE else None


def _distances(atoms: Any) -> np.ndarray:
    """Distances to all images within a few Å, sorted, by pair of elements: the same for every choice of cell origin."""
    from ase.neighborlist import neighbor_list

    i, j, d = neighbor_list("ijd", atoms, 4.0)
    pairs = np.sort(np.stack([atoms.numbers[i], atoms.numbers[j]]), axis=0)
    order = np.lexsort([np.round(d, 2), pairs[1], pairs[0]])
    kept = np.array([atoms.get_volume() / max(1, len(atoms)), *np.sort(d)[: max(1, int(0.9 * len(order)))]])
    return np.resize(kept, 2_000)


def again(folder: Path, count: int, rounds: int) -> tuple[float, int]:
    """Milliseconds a file of an ingest of an unchanged folder; the median."""
    tree = folder / "tree"
    for i in range(count):
        place = tree / f"{i // 1000:03d}"
        if i % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"{i}.cif").write_text("")
    store = open_store(folder / "again.duckdb", create=True)
    _pretend(store, tree)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = ingest(store, [tree])
        seconds.append(time.perf_counter() - start)
        assert done.unchanged == count, done
    return 1000 * sorted(seconds)[len(seconds) // 2] / count, count


def _pretend(store: Any, tree: Path) -> None:
    """Write the rows that an ingest of these files leaves: here nothing is measured of reading them."""
    import pyarrow as pa

    from mlmat import provenance
    from mlmat.ingest._read import about_file, row_of
    from mlmat.reader import Block

    run = provenance.new_run("ingest", "synthetic")
    store.start_run(run)
    row = row_of(about_file(str(tree)), Block("", 0, "", "rejected", "empty"))
    for name in ("key_values", "results", "structure", "exported"):
        del row[name]
    files = sorted(str(path) for path in tree.rglob("*.cif"))
    for start in range(0, len(files), synthetic.CHUNK):
        more = {"current": True, "run_id": run["run_id"], "ingested_at": provenance.now(), "file_sha256": "0" * 64}
        rows = [
            row | about_file(file) | more | {"source_id": provenance.new_id()}
            for file in files[start : start + synthetic.CHUNK]
        ]
        store.add_sources(pa.Table.from_pylist(rows), None)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("folder", nargs="?", type=Path, default=synthetic.SHARED / "data" / "clean.tar.gz")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    os.environ["SPGLIB_WARNING"] = "OFF"
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = files_of(given.folder, folder / "files")
        some = random.Random(0).sample(files, min(len(files), 150 if given.reduced else 1_500))
        whole = whole_ingest(some, folder)
        atoms = [from_row(row["structure"]) for blocks in ours(some) for row in blocks if row["structure"]]
        cells = [(one.cell.array, one.get_scaled_positions(), one.numbers) for one in atoms]
        with contextlib.redirect_stderr(io.StringIO()):
            found = measure(
                {
                    "pymatgen's parser alone": lambda: pymatgen_parser(some),
                    "ASE's reader alone": lambda: ase_parser(some),
                    "mlmat: read, check, symmetry, id, row": lambda: ours(some),
                    "mlmat ingest, one reading process, into a new store": lambda: next(whole),
                    "of it: space groups by spglib": lambda: spglib_alone(cells),
                    "of it: CIF syntax by gemmi": lambda: gemmi_parser(some),
                    "of it: files opened, read and hashed": lambda: hashes(some),
                },
                given.rounds,
                clock=cpu_seconds,
            )
        differ = disagreements(
            some, found.returned["mlmat: read, check, symmetry, id, row"], found.returned["pymatgen's parser alone"]
        )
        rows = _rows(found, len(some))
        each, count = again(folder, 5_000 if given.reduced else 100_000, given.rounds)
    rows.append({"what": f"mlmat ingest again, {count:,} unchanged files", "ms per file": each, "goal": "0.05 ms"})
    notes = [
        f"{len(some):,} files of {len(files):,}; {len(differ)} of them disagree with pymatgen",
        *differ[:10],
        "CPU times, the last row excepted; a new store includes the start of a process, the same for any number",
        _limit(found),
    ]
    report("ingest", rows, notes, before=before, seconds=found.seconds)


def _limit(found: Any) -> str:
    """What no reader that uses these libraries can do without."""
    seconds = sum(found.median(name) for name in found.seconds if name.startswith("of it: "))
    times = found.median(next(iter(found.seconds))) / seconds
    return f"space groups by spglib, syntax and hashes alone would be {times:.2g}x: the limit with these libraries"


def _rows(found: Any, count: int) -> list[dict[str, Any]]:
    first = next(iter(found.seconds))
    return [
        {
            "what": name,
            "ms per file": 1000 * found.median(name) / count,
            "times as fast as pymatgen": found.ratio(first, name),
            "goal": "5x" if name.startswith("mlmat: ") else "",
        }
        for name in found.seconds
    ]


if __name__ == "__main__":
    main()
