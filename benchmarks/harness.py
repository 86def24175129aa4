"""What every benchmark shares: rounds side by side in one process, a Markdown table, and the same as JSON.

Variants run in turn within each round, so that whatever else the machine does falls on all of them alike: a ratio is
the median of the ratios of the rounds, not a ratio of medians of different minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

RESULTS = Path(__file__).parent / "results"
PACKAGES = ["mlmat", "duckdb", "parsl", "pyarrow", "pandas", "numpy", "ase", "pymatgen", "gemmi", "spglib", "torch",
            "mace-torch", "torch-sim-atomistic", "jobflow", "quacc"]  # fmt: skip


@dataclass(slots=True)
class Rounds:
    """Seconds of each variant, by round, and what each returned last."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Median seconds of a variant."""
        return median(self.seconds[name])

    def ratio(self, slow: str, fast: str) -> float:
        """How many times faster the second is than the first: the median over the rounds."""
        return median(a / b for a, b in zip(self.seconds[slow], self.seconds[fast], strict=True))


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=5, help="rounds, each with every variant once")
    made.add_argument("--reduced", action="store_true", help="a small size, for a look in a minute or two")
    return made


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended, in s: others at work count less."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def measure(
    variants: dict[str, Callable[[], object]],
    rounds: int,
    warm: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Run the variants in turn, round by round; every other round backwards, so that none always follows the same one.

    warm: run each once before, unmeasured; clock: what seconds are.
    """
    found = Rounds({name: [] for name in variants})
    if warm:
        for run in variants.values():
            run()
    for number in range(rounds):
        order = list(variants) if number % 2 == 0 else list(variants)[::-1]
        for name in order:
            gc.collect()
            start = clock()
            found.returned[name] = variants[name]()
            found.seconds[name].append(clock() - start)
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table; numbers to the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = [all(isinstance(row.get(name, 0), int | float | None) for row in rows) for name in names]
    lines = [_line(names), _line(["---:" if right else "---" for right in numeric])]
    return "\n".join([*lines, *(_line([shown(row.get(name, "")) for name in names]) for row in rows)])


def shown(value: object) -> str:
    """A number with three digits that mean something."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def report(name: str, rows: Sequence[dict[str, Any]], notes: Sequence[str] = (), **more: Any) -> str:
    """Print a table with its notes and where it was measured, and write it to results/NAME.json; the table.

    more: anything that a plot needs (series, raw seconds); `before`: what `machine()` said before the measurement.
    """
    before, after = more.pop("before", None), machine()
    made = table(rows)
    print(f"\n## {name}\n\n{made}\n")
    for note in notes:
        print(f"- {note}")
    load = f"{before['load'][0]:.1f} before, " if before else ""
    print(f"\n{after['date']}, {after['cpu']}, load {load}{after['load'][0]:.1f} after; {_said(after['versions'])}")
    RESULTS.mkdir(exist_ok=True)
    content = {"name": name, "rows": list(rows), "notes": list(notes), "before": before, "machine": after, **more}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1, default=str) + "\n")
    return made


def machine() -> dict[str, Any]:
    """Date, processor, load and versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{_cpu()}, {len(os.sched_getaffinity(0))} cores",
        "load": os.getloadavg(),
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | versions(),
    }


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of the packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def missing(peer: str, why: str) -> None:
    """Say that a peer is left out."""
    print(f"SKIPPED: {peer}: {why} (benchmarks/peers.txt says what to install)", file=sys.stderr)


def _said(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
