"""Recompute the model card's figures, as Markdown tables.

`python training/evaluate.py model.model LABELS --wbm LABELS --published MANIFEST.csv --relaxed TEACHER.json OURS.json`

LABELS: the training labels; its held-out systems are the test. --wbm: labels of crystals whose systems were
held out too (train.py --hold-out). --published: rows with `file`, `ref_corrected_formation_energy_per_atom`.
--relaxed: what relax.py wrote with the teacher and with the model. The model is computed as `mlmat` does it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa
from data import Labelled, read, split, systems

from mlmat.potentials.mace import Potential
from mlmat.potentials.potential import Evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRAINED_SAMPLE = 1500  # labels that were trained on, for comparison
#: Not held to the volume goal: molecules, and layers that only weak forces hold together.
MOLECULAR = {"O2.cif", "N2.cif", "Cl2.cif", "F2.cif", "S8.cif", "NaCl3.cif"}
LAYERED = {"C_graphite.cif", "MoS2.cif", "MgCl2.cif", "Bi2Te3.cif"}
ANIONS = {"oxides": {"O"}, "halides": {"F", "Cl", "Br", "I"}, "chalcogenides": {"S", "Se", "Te"}}
ANIONS |= {"pnictides": {"N", "P", "As"}, "hydrides, borides, carbides, silicides": {"H", "B", "C", "Si"}}


@dataclass(frozen=True, slots=True)
class Case(Labelled):
    """A labelled structure, and what the model says of it."""

    found: Evaluation

    @property
    def chemistry(self) -> str:
        """The class of its first anion in the order of `ANIONS`, or intermetallic."""
        elements = set(self.atoms.get_chemical_symbols())
        return next((name for name, anions in ANIONS.items() if anions & elements), "intermetallics")


def computed(labels: Sequence[Labelled], potential: Potential) -> list[Case]:
    """The cases with what the model says of them. Raises what the model raised."""
    cases = []
    for one, found in zip(labels, potential.evaluate([one.atoms for one in labels]), strict=True):
        if isinstance(found, Exception):
            raise found
        cases.append(Case(*(getattr(one, field.name) for field in fields(one)), found))
    return cases


def errors(cases: Sequence[Case]) -> dict[str, float]:
    """Errors against the teacher: of the energy per atom in meV, of force components in meV/Å, of stress in GPa."""
    energy = np.array([(case.found.energy - case.energy) / len(case.atoms) for case in cases])
    forces = np.concatenate([(case.found.forces - case.forces).ravel() for case in cases])
    stress = np.array([voigt_6_to_full_3x3_stress(case.found.stress) - case.stress for case in cases])
    return {
        "structures": len(cases),
        "systems": len({case.system for case in cases}),
        "energy MAE": 1e3 * np.abs(energy).mean(),
        "energy median": 1e3 * np.median(np.abs(energy)),
        "energy bias": 1e3 * energy.mean(),
        "force MAE": 1e3 * np.abs(forces).mean(),
        "stress MAE": np.abs(stress).mean() / GPa,
    }


def formation(cases: Sequence[Case], published: pd.Series, elements: Sequence[Case]) -> pd.DataFrame:
    """Formation energies in eV per atom: published, by the model, by the teacher, each with its own elements."""
    known = {one.system for one in elements}
    chosen = [case for case in cases if case.name in published.index and known >= set(case.system.split("-"))]
    table = {
        "chemistry": [case.chemistry for case in chosen],
        "published": published[[case.name for case in chosen]].to_numpy(),
    }
    for who, energy in (("model", lambda case: case.found.energy), ("teacher", lambda case: case.energy)):
        lowest = _lowest(elements, energy)
        table[who] = [
            (energy(case) - sum(lowest[symbol] for symbol in case.atoms.get_chemical_symbols())) / len(case.atoms)
            for case in chosen
        ]
    return pd.DataFrame(table, index=[case.name for case in chosen])


def agreement(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Rank correlation and mean absolute error in meV per atom against the published formation energies."""
    return {
        who: {
            "structures": len(table),
            "Spearman": table[who].corr(table["published"], method="spearman"),
            "MAE": 1e3 * (table[who] - table["published"]).abs().mean(),
            "median": 1e3 * (table[who] - table["published"]).abs().median(),
        }
        for who in ("model", "teacher")
    }


def volumes(teacher: dict[str, dict], ours: dict[str, dict]) -> tuple[dict[str, float], list[str]]:
    """How relaxed volumes compare, over crystals that are neither molecular nor layered; and the exceptions."""
    names = sorted(set(teacher) & set(ours) - MOLECULAR - LAYERED)
    usable = [name for name in names if teacher[name].get("converged")]
    shift = {name: ours[name].get("volume", np.inf) / teacher[name]["volume"] - 1 for name in usable}
    off = [f"{name} {100 * shift[name]:+.1f} %" for name in usable if abs(shift[name]) > 0.05]
    given = [abs(ours[name].get("volume", np.inf) / ours[name]["given"] - 1) for name in usable]
    figures = {
        "crystals": len(usable),
        "converged": 100 * np.mean([ours[name].get("converged", False) for name in usable]),
        "within 5 % of the teacher": 100 * np.mean([abs(value) <= 0.05 for value in shift.values()]),
        "median volume error %": 100 * np.median(np.abs(list(shift.values()))),
        "within 5 % of the given volume": 100 * np.mean([value <= 0.05 for value in given]),
        "exploded or collapsed (of all)": sum(not one["kept"] for one in ours.values()),
    }
    return figures, off


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows as a Markdown table."""
    columns = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    lines += [
        f"| {name} | " + " | ".join(_number(row[column]) for column in columns) + " |" for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def grouped(cases: Sequence[Case], key: Callable[[Case], str]) -> dict[str, list[Case]]:
    """Cases by some property, in alphabetical order of it."""
    names = sorted({key(case) for case in cases})
    return {name: [case for case in cases if key(case) == name] for name in names}


def _lowest(cases: Sequence[Case], energy: Callable[[Case], float]) -> dict[str, float]:
    """The lowest energy per atom of each element, over its polymorphs, in eV."""
    lowest: dict[str, float] = {}
    for case in cases:
        per_atom = energy(case) / len(case.atoms)
        lowest[case.system] = min(lowest.get(case.system, np.inf), per_atom)
    return lowest


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _report_errors(test: list[Case], trained: list[Case], wbm: list[Case]) -> None:
    rows = {f"held-out systems, {kind}": errors(cases) for kind, cases in grouped(test, lambda case: case.kind).items()}
    rows |= {"held-out systems, all": errors(test)}
    if wbm:
        as_is = [case for case in test if case.kind == "as is"]
        rows |= {"WBM (held-out systems)": errors(wbm), "as is and WBM together": errors(as_is + wbm)}
    rows |= {f"TRAINED ON: {kind}": errors(c) for kind, c in grouped(trained, lambda case: case.kind).items()}
    print("## Against the teacher\n\nmeV per atom, meV/Å, GPa\n\n" + table(rows))
    chemistry = {name: errors(cases) for name, cases in grouped(test + wbm, lambda case: case.chemistry).items()}
    print("## By chemistry, held-out systems and WBM\n\n" + table(chemistry))


def _report_formation(cases: list[Case], published: Path, elements: list[Case]) -> None:
    manifest = pd.read_csv(published, keep_default_na=False, na_values=[""], low_memory=False).set_index("file")
    found = formation(cases, manifest["ref_corrected_formation_energy_per_atom"].dropna(), elements)
    print(
        "## Formation energies against the published ones\n\nMAE, median in meV per atom\n\n" + table(agreement(found))
    )
    for name, part in found.groupby("chemistry"):
        print(f"{name}\n\n" + table(agreement(part)))


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--wbm", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--relaxed", type=Path, nargs=2)
    args = parser.parse_args()
    potential = Potential(args.model.absolute(), "float32", "cpu", None, 4000)
    potential.species.unfit.clear()  # what the shipped model refuses is measured, too
    labels = list(read(args.labels))
    train, test = split(labels, systems(args.wbm))
    test = computed(test, potential)
    some = np.random.default_rng(0).permutation(len(train))[:TRAINED_SAMPLE]
    wbm = computed(list(read(args.wbm)), potential) if args.wbm else []
    _report_errors(test, computed([train[i] for i in some], potential), wbm)
    if args.published:
        elements = [one for one in labels if "-" not in one.system and one.kind == "as is"]
        crystals = [case for case in test if case.kind == "as is"] + wbm
        _report_formation(crystals, args.published, computed(elements, potential))
    if args.relaxed:
        figures, off = volumes(*(json.loads(path.read_text()) for path in args.relaxed))
        print("## Relaxed volumes\n\n" + table({"demo crystals": figures}))
        print("Off by more than 5 %:", ", ".join(off) or "none")


if __name__ == "__main__":
    main()
