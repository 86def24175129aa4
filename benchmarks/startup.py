"""How long the command line takes to answer: `mlmat --help`, and `mlmat status` on a store of a million structures.

    python benchmarks/startup.py [--rounds 5] [--reduced] [--db STORE]

Without --db, the store is made as `million.py` makes it (--reduced: 10^5 structures).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import million
from harness import machine, measure, parser, report


def called(*arguments: str) -> str:
    """A command, in a process of its own."""
    asked = [sys.executable, "-m", "mlmat", *arguments]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--db", type=Path, help="a store that is there")
    given = options.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        path = given.db
        if path is None:
            count = 100_000 if given.reduced else 1_000_000
            path = million.made(Path(scratch) / "s.duckdb", count, million.METHODS)[0].path
        found = measure(
            {
                "python -c pass": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
                "mlmat --help": lambda: called("--help"),
                "mlmat status": lambda: called("status", "--db", str(path)),
            },
            given.rounds,
            warm=True,
        )
    goals = {"mlmat --help": 0.3, "mlmat status": 1.0}
    rows = [
        {"what": f"{name} (s)", "measured": found.median(name), "goal": goals.get(name, ""),
         "met": "" if name not in goals else "yes" if found.median(name) <= goals[name] else "no"}
        for name in found.seconds
    ]  # fmt: skip
    report("startup", rows, [f"store: {path.name}"], before=before, seconds=found.seconds)


if __name__ == "__main__":
    main()
