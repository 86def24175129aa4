"""Whether two versions of mlmat make the same of the same files: all columns of `source` and `structure`, but times and
ids of rows.

    python benchmarks/same_rows.py OLD PATH...

OLD: a checkout of another version, whose package is used in its place. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

QUERIES = {
    "source": "SELECT * EXCLUDE (source_id, run_id, ingested_at) FROM source ORDER BY path, member, block_index",
    "structure": "SELECT * FROM structure ORDER BY structure_id",
}
INGEST = """
import sys
from pyarrow import parquet
from mlmat.ingest import ingest
from mlmat.store import open_store

folder, *paths = sys.argv[1:]
store = open_store(f"{folder}/s.duckdb", create=True)
ingest(store, paths)
for name, query in %r.items():
    parquet.write_table(store.arrow(query), f"{folder}/{name}.parquet")
"""


def tables(tree: Path, paths: list[str]) -> dict[str, pa.Table]:
    """What the mlmat of a checkout makes of these paths."""
    with tempfile.TemporaryDirectory() as folder:
        code = [sys.executable, "-P", "-c", INGEST % QUERIES, folder, *paths]
        subprocess.run(code, check=True, env={**os.environ, "PYTHONPATH": str(tree.resolve())})
        return {name: parquet.read_table(f"{folder}/{name}.parquet") for name in QUERIES}


def differences(one: pa.Table, other: pa.Table) -> list[str]:
    """In what two tables differ, in words."""
    if len(one) != len(other):
        return [f"{len(one):,} and {len(other):,} rows"]
    if one.column_names != other.column_names:
        return [f"other columns: {sorted(set(one.column_names) ^ set(other.column_names))}"]
    return [_said(name, one[name], other[name]) for name in one.column_names if not one[name].equals(other[name])]


def _said(name: str, one: pa.ChunkedArray, other: pa.ChunkedArray) -> str:
    pairs = list(zip(one.to_pylist(), other.to_pylist(), strict=True))
    unequal = [(a, b) for a, b in pairs if a != b and not (a is None and b is None)]
    first = f", such as {unequal[0][0]!s:.200} and {unequal[0][1]!s:.200}" if unequal else ""
    return f"{name}: {len(unequal):,} rows{first}"


def main() -> None:
    """Compare, and say what was found."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("old", type=Path)
    asked.add_argument("paths", nargs="+")
    given = asked.parse_args()
    paths = [str(Path(path).resolve()) for path in given.paths]
    old, new = (tables(tree, paths) for tree in (given.old, Path(__file__).parents[1]))
    wrong = 0
    for name in QUERIES:
        found = differences(old[name], new[name])
        print(f"{name}: {len(new[name]):,} rows, {'; '.join(found) or 'all equal'}")
        wrong += len(found)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
