"""Many small structures, and a runner that costs nothing."""

from __future__ import annotations

from pathlib import Path

from faults.tools import finish
from small_cifs import cif

RUNNER = Path(__file__).with_name("quick_runner.py")


def write_files(folder: Path, count: int) -> None:
    """CIFs: crystals, the same again, some in disorder, some that cannot be read."""
    folder.mkdir()
    for i in range(count):
        text = cif(3 + (i - i % 9 // 8) * 1e-3, ("Cu", "Ag", "Au")[i // 2 % 3], occupancy=0.5 if i % 50 == 3 else 1)
        (folder / f"{i:04d}.cif").write_text(text[:80] if i % 70 == 5 else text)


def store_of(count: int, folder: Path) -> Path:
    """A store with so many structures, from one file."""
    text = "".join(cif(3 + i * 1e-2, name=f"n{i}") for i in range(count))
    (folder / "many.cif").write_text(text)
    finish("ingest", folder / "many.cif", "--db", folder / "s.duckdb")
    return folder / "s.duckdb"
