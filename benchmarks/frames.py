"""100,000 structures to a DataFrame and to Atoms: mlmat against ase.db, which holds the same crystals.

    python benchmarks/frames.py [--rounds 5] [--reduced]

ase.db is timed on a part of them (its time for each is the same from the first to the last); the file is on disk, as
`ase.db.connect("x.db")` makes it.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import synthetic
from ase import Atoms
from harness import machine, measure, parser, report

from mlmat.store import Store, open_store

SCALARS = "structure_id, chemical_formula_reduced, nsites, volume, density, space_group_it_number"


def ase_database(path: Path, store: Store, count: int) -> Any:
    """The first so many crystals of a store in an ase.db, with the same scalars as key-value pairs."""
    from ase.db import connect

    database = connect(str(path))
    scalars = store.sql(f"SELECT {SCALARS} FROM structure").set_index("structure_id")
    with database:
        for atoms in itertools.islice(store.structures(), count):
            row = scalars.loc[atoms.info.pop("structure_id")]
            database.write(atoms, formula_reduced=row.iloc[0], density=float(row["density"]),
                           space_group=int(row["space_group_it_number"]))  # fmt: skip
    return database


def frame_of(database: Any) -> Any:
    """What users write to get a DataFrame out of an ase.db."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "formula": row.formula_reduced,
                "nsites": row.natoms,
                "volume": row.volume,
                "density": row.density,
                "space_group": row.space_group,
            }
            for row in database.select()
        ]
    )


def atoms_of(database: Any) -> list[Atoms]:
    """All crystals of an ase.db."""
    return [row.toatoms() for row in database.select()]


def main() -> None:
    """Measure and report."""
    given = parser(__doc__).parse_args()
    count, few = (50_000, 500) if given.reduced else (100_000, 2_000)
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        store = open_store(Path(scratch) / "s.duckdb", create=True)
        synthetic.fill(store, count)
        database = ase_database(Path(scratch) / "ase.db", store, few)
        found = measure(
            {
                "ase.db to DataFrame": lambda: frame_of(database),
                "mlmat to DataFrame": lambda: store.sql(f"SELECT {SCALARS} FROM structure"),
                "ase.db to Atoms": lambda: atoms_of(database),
                "mlmat to Atoms": lambda: list(store.structures()),
            },
            given.rounds,
            warm=True,
        )
    rows = []
    for name, goal in (("DataFrame", 100), ("Atoms", 20)):
        theirs, ours = f"ase.db to {name}", f"mlmat to {name}"
        ratio = found.ratio(theirs, ours) * len(found.returned[ours]) / len(found.returned[theirs])
        rows += [
            {"what": theirs, "µs per structure": 1e6 * found.median(theirs) / few, "times as fast": 1.0, "goal": ""},
            {"what": ours, "µs per structure": 1e6 * found.median(ours) / count, "times as fast": ratio,
             "goal": f"{goal}x"},
        ]  # fmt: skip
    report("frames", rows, [f"mlmat: {count:,} structures, ase.db: {few:,}"], before=before, seconds=found.seconds)


if __name__ == "__main__":
    main()
