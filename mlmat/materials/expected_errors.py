"""What was measured of models, by the SHA-256 of their weights: their errors against DFT, elements they cannot do.

The figures are in `weights/`; `benchmarks/expected_errors.py` and `training/elements.py` measure them again.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

FILES = ("expected_errors.csv", "unfit_elements.csv")


@dataclass(frozen=True, slots=True)
class Expected:
    """Mean absolute error (eV/atom) of a quantity against DFT of a model's energy scheme, for a class of compounds.

    quantity: formation_energy_per_atom or e_above_hull; kind: a class of view `hull`, or all; source: against what.
    """

    quantity: str
    kind: str
    error: float
    structures: int
    source: str


def errors(sha256: str | None) -> list[Expected]:
    """What is to be expected of a model; nothing where nobody has measured it."""
    return [
        Expected(row["quantity"], row["class"], float(row["error"]), int(row["structures"]), row["source"])
        for row in _rows("expected_errors.csv")
        if row["model_sha256"] == sha256
    ]


def unfit(sha256: str | None) -> dict[str, str]:
    """Elements that a model cannot do, each with the reason."""
    return {row["element"]: row["reason"] for row in _rows("unfit_elements.csv") if row["model_sha256"] == sha256}


@cache
def text(name: str) -> str:
    """One of the files."""
    return (resources.files("mlmat") / "weights" / name).read_text(encoding="utf-8")


@cache
def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text(name).splitlines()))
