"""Every benchmark, one after another; with --full at full size, and docs/performance.md written from what they found.

    python benchmarks/everything.py [--full] [--write docs/performance.md] [NAME...]

Each script writes its table to results/NAME.json; a page is made from those that are there. One that fails is said so,
and the others go on.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import RESULTS, shown, table

HERE = Path(__file__).parent
#: Seconds for one benchmark.
LIMIT = {True: 4 * 3600.0, False: 300.0}
#: What stands above the tables; decisions that were taken from them among it.
PAGE = HERE / "page.md"


def names(asked: list[str]) -> list[str]:
    """The benchmarks that were asked for, or all: every other script that reports through the harness."""
    others = (path for path in HERE.glob("*.py") if path != Path(__file__))
    return asked or sorted(
        path.stem for path in others if re.search(r"^(from|import) harness", path.read_text(), re.MULTILINE)
    )


def run(name: str, full: bool) -> bool:
    """One benchmark, in a process of its own."""
    asked = [sys.executable, str(HERE / f"{name}.py"), *([] if full else ["--reduced", "--rounds", "3"])]
    print(f"\n# {name}", flush=True)
    try:
        return subprocess.run(asked, check=False, timeout=LIMIT[full]).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"{name}: stopped after {LIMIT[full]:.0f} s", file=sys.stderr)
        return False


def section(found: dict[str, Any], folder: Path) -> str:
    """What stands of one benchmark on the page."""
    about = found["machine"]
    loads = " and ".join(f"{one['load'][0]:.1f}" for one in (found.get("before"), about) if one)
    parts = [f"## {found['name'].replace('_', ' ')}", table(found["rows"])]
    if found["notes"]:
        parts.append("\n".join(f"- {note}" for note in found["notes"]))
    if picture := plotted(found, folder):
        parts.append(f"![{found['name']}](img/{picture})")
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    parts.append(f"{about['date']}, commit {about['commit']}, {about['cpu']}, load {loads}; {versions}.")
    return "\n\n".join(parts)


def plotted(found: dict[str, Any], folder: Path) -> str | None:
    """A plot of the series of a benchmark: name to points (x, y, ...); its file's name."""
    if not (series := found.get("series")):
        return None
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    for name, points in series.items():
        axes.plot([point[0] for point in points], [point[1] for point in points], marker="o", markersize=3, label=name)
    axes.set(xscale="log", xlabel=found.get("x", "workers"), ylabel=found.get("y", "part of the time they compute"))
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"performance-{found['name']}.svg", metadata={"Date": None})
    pyplot.close(figure)
    return f"performance-{found['name']}.svg"


def summary(results: list[dict[str, Any]]) -> str:
    """Every goal that a row names, and whether it is met."""
    goals = [(found["name"], row) for found in results for row in found["rows"] if {"goal", "met"} <= row.keys()]
    rows = [
        {"benchmark": name, **{what: shown(row.get(what, "")) for what in ("what", "measured", "goal", "met")}}
        for name, row in goals
        if row["met"]
    ]
    return f"## Goals\n\n{table(rows)}" if rows else ""


def page(known: list[str], path: Path, full: bool) -> str:
    """The page, of the results that are there."""
    size = "full" if full else "reduced"
    found = [json.loads(file.read_text()) for name in known if (file := RESULTS / f"{name}.json").is_file()]
    sections = (section(one, path.parent / "img") for one in found)
    head = [PAGE.read_text().strip(), f"Measured at {size} sizes."]
    return "\n\n".join([*head, *filter(None, [summary(found)]), *sections]) + "\n"


def main() -> None:
    """Run them, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--full", action="store_true", help="at full size, which takes hours")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write a page of all results that are there")
    parser.add_argument("--page-only", action="store_true", help="run nothing")
    given = parser.parse_args()
    failed = [] if given.page_only else [name for name in names(given.names) if not run(name, given.full)]
    if given.write:
        given.write.write_text(page(names([]), given.write, given.full))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
