"""Outcomes of the CIF reader on sets of files: prints the table of docs/outcomes.md.

    python benchmarks/outcomes.py FOLDER [--write docs/outcomes.md]

FOLDER holds the sets, each `SET.tar.gz` or a folder `SET`; times are CPU times of one core.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

from mlmat.reader import Limits, reader_for

SETS = ("demo", "clean", "u166_unrelaxed", "experimental", "nasty", "made")
OUTCOMES = ("stored", "disordered", "flagged", "rejected", "unreadable")
START = "<!-- made by benchmarks/outcomes.py -->"
END = "<!-- end -->"


def files_of(folder: Path, name: str, scratch: Path) -> list[Path]:
    """The files of a set, unpacked where it is an archive."""
    root = folder / name
    archive = folder / f"{name}.tar.gz"
    if not root.is_dir() and archive.is_file():
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        root = scratch / name
    return sorted(path for path in root.rglob("*") if path.is_file() and reader_for(path))


def row(name: str, files: list[Path]) -> str:
    """Blocks by outcome, and milliseconds of CPU time for a file."""
    outcomes: Counter[str] = Counter()
    times = []
    for path in files:
        data, reader = path.read_bytes(), reader_for(path)
        assert reader is not None
        start = time.process_time()
        outcomes.update(block.outcome for block in reader.read(path.name, data, Limits()))
        times.append((time.process_time() - start) * 1e3)
    cells = [name, len(files), outcomes.total(), *(outcomes[o] for o in OUTCOMES)]
    return "| " + " | ".join([*map(str, cells), f"{median(times):.2f}", f"{max(times):.0f}"]) + " |"


def table(folder: Path) -> str:
    """The table in Markdown, one line a set."""
    head = ["set", "files", "blocks", *OUTCOMES, "ms a file (median)", "ms (slowest)"]
    lines = ["| " + " | ".join(head) + " |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in SETS:
            files = files_of(folder, name, Path(scratch))
            lines += [row(name, files)] if files else []
    return "\n".join(lines)


def main() -> None:
    """Print the table, or put it between its marks in a file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--write", type=Path)
    given = options.parse_args()
    made = table(given.folder)
    print(made)
    if given.write:
        text = given.write.read_text()
        before, _, rest = text.partition(START)
        given.write.write_text(f"{before}{START}\n{made}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
