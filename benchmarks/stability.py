"""Verdicts of a model on stability against DFT's: prints the table of docs/stability.md.

    python benchmarks/stability.py ENTRIES.json.gz... [--set KEY=VALUE] [--db STORE] [--write docs/stability.md]

Each file of entries is a complete chemical system with structures. All are imported as method DFT, computed by runner
mace, and each method gets hulls of its own. A store that is kept (--db) is gone on with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

import mlmat

START = "<!-- made by benchmarks/stability.py -->"
END = "<!-- end -->"
#: eV/atom above the hull up to which a phase counts as stable.
WITHIN = (0.0, 0.025, 0.05, 0.1)
QUERY = """
    SELECT d.chemical_system, d.e_above_hull AS dft, m.e_above_hull AS model,
        m.formation_energy_per_atom - d.formation_energy_per_atom AS formation
    FROM hull AS d JOIN hull AS m USING (structure_id)
    WHERE d.method = 'DFT' AND m.method = ? AND d.e_above_hull IS NOT NULL AND m.e_above_hull IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY structure_id ORDER BY d.e_above_hull) = 1
"""


def call(store: Path, *arguments: str) -> None:
    """A command of mlmat on the store; it may end with 1 where a structure failed."""
    subprocess.run([sys.executable, "-m", "mlmat", *arguments, "--db", str(store)], check=False)


def computed(store: Path, files: list[Path], settings: list[str]) -> None:
    """Import what DFT says and compute the same structures; what is there already is left."""
    for file in files:
        call(store, "import-results", str(file), "--method", "DFT")
    given = [part for setting in settings for part in ("--set", setting)]
    call(store, "screen", "--runner", "mace", "--of", "DFT", "--config", "threads", *given)


def line(name: str, method: str, pairs: pd.DataFrame, within: float) -> str:
    """One row of the table."""
    dft, model = pairs["dft"] <= within + 1e-6, pairs["model"] <= within + 1e-6
    both = (dft & model).sum()
    cells = [name, method, len(pairs), f"{1000 * within:.0f}", dft.sum(), model.sum()]
    cells += [f"{both / model.sum():.2f}" if model.sum() else "–", f"{both / dft.sum():.2f}"]
    cells += [
        f"{1000 * (pairs['model'] - pairs['dft']).abs().mean():.0f}",
        f"{1000 * pairs['formation'].abs().mean():.0f}",
    ]
    cells += [f"{pairs['dft'].corr(pairs['model'], method='spearman'):.2f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def systems(files: list[Path]) -> dict[str, set[str]]:
    """Elements of each system, from the names of the files (entries_Li-O.json.gz)."""
    names = [file.name.partition(".")[0].removeprefix("entries_") for file in files]
    return {name: set(name.split("-")) for name in names}


def table(store: Path, files: list[Path]) -> str:
    """The table in Markdown."""
    head = ["system", "method", "structures", "within (meV/atom)", "stable by DFT", "by the model", "precision",
            "recall", "MAE above hull (meV/atom)", "MAE of formation (meV/atom)", "Spearman above hull"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    db = mlmat.open(store)
    for method in db.sql("SELECT method FROM method WHERE runner = 'mace' ORDER BY method")["method"]:
        pairs = db.sql(QUERY, [method])
        for name, elements in systems(files).items():
            some = pairs[[set(text.split("-")) <= elements for text in pairs["chemical_system"]]]
            lines += [line(name, method, some, within) for within in WITHIN]
    return "\n".join(lines)


def main() -> None:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the runner")
    parser.add_argument("--db", type=Path, help="a store to keep")
    parser.add_argument("--write", type=Path, help="the page to put the table into")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = given.db or Path(folder) / "stability.duckdb"
        computed(store, given.files, given.set)
        made = table(store, given.files)
    if given.write is None:
        print(made)
        return
    before, _, rest = given.write.read_text().partition(START)
    given.write.write_text(f"{before}{START}\n{made}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
