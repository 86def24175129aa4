"""The table of docs/reliability.md: `python tests/faults/figures.py LOG…` sums what the fault suite has written."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

HEAD = "| fault | injected | lost | repeated | stuck |\n| --- | --: | --: | --: | --: |"
COUNTS = ("times", "lost", "repeated", "stuck")


def rows(logs: list[Path]) -> list[dict[str, object]]:
    """Everything that was counted, one row for each call of `injected`."""
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def table(found: list[dict[str, object]]) -> str:
    """A Markdown table: a line for each kind of fault, and their sum."""
    sums: dict[str, Counter[str]] = {}
    for row in found:
        for kind in (str(row["kind"]), "**all**"):
            sums.setdefault(kind, Counter()).update({name: int(str(row[name])) for name in COUNTS})
    lines = [
        "| " + " | ".join([kind, *(f"{counts[name]:,}" for name in COUNTS)]) + " |"
        for kind, counts in sorted(sums.items(), key=lambda one: (one[0] == "**all**", one[0]))
    ]
    return "\n".join([HEAD, *lines])


if __name__ == "__main__":
    found = rows([Path(name) for name in sys.argv[1:]])
    print(f"Seeds: {', '.join(sorted({str(row['seed']) for row in found}))}.\n")
    print(table(found))
