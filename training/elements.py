"""Element by element, how far the shipped model and its teacher are from DFT: a table of the model card.

    python training/elements.py WBM MANIFEST REFERENCES [--write docs/model-card.md] [--unfit UNFIT.csv]

WBM: a folder of CIFs; MANIFEST: rows with `file` (its last part is the CIF) and
`ref_corrected_formation_energy_per_atom`; REFERENCES: rows with `element` and `mp_pbe_min_energy_per_atom`, the lowest
polymorph of each element by DFT. Runs in mlmat's environment with chgnet. --unfit: where to list the elements that the
model is to refuse (mlmat/weights/unfit_elements.csv).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.io import read

from mlmat import provenance
from mlmat.potentials import models
from mlmat.potentials.chgnet import Chgnet
from mlmat.potentials.mace import Potential
from mlmat.runner.chgnet import weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from mlmat.potentials.potential import Evaluator

START, END = "<!-- made by training/elements.py -->", "<!-- end -->"
#: eV/atom off DFT for the element itself, beyond which the model refuses structures with it.
LIMIT = 0.5


@dataclass(frozen=True, slots=True)
class Element:
    """Energies of the lowest polymorph less DFT's, the largest distance of model and teacher (eV/atom), compounds."""

    symbol: str
    crystals: int
    model: float
    teacher: float
    apart: float
    compounds: int
    model_error: float
    teacher_error: float

    @property
    def line(self) -> str:
        """A row of the table, in meV/atom."""
        numbers = (self.model, self.teacher, self.apart)
        errors = (self.model_error, self.teacher_error)
        cells = [self.symbol, self.crystals, *(f"{1e3 * x:+.0f}" for x in numbers), self.compounds]
        cells += [f"{1e3 * x:.0f}" if self.compounds else "–" for x in errors]
        return "| " + " | ".join(map(str, cells)) + " |"


def energies(evaluator: Evaluator, crystals: Sequence[Atoms]) -> np.ndarray:
    """Energy per atom of each crystal in eV. Raises what the evaluator raised."""
    found = []
    for atoms, one in zip(crystals, evaluator.evaluate(crystals), strict=True):
        if isinstance(one, Exception):
            raise one
        found.append(one.energy / len(atoms))
    return np.array(found)


def formation(crystals: Sequence[Atoms], energy: np.ndarray, lowest: Mapping[str, float]) -> np.ndarray:
    """Energies of formation in eV/atom."""
    elements = [np.mean([lowest[symbol] for symbol in atoms.get_chemical_symbols()]) for atoms in crystals]
    return energy - np.array(elements)


def measured(wbm: Path, manifest: Path, references: Path, evaluators: Sequence[Evaluator]) -> list[Element]:
    """What the model (first) and its teacher make of every element and of the compounds with it."""
    shipped = read(resources.files("mlmat") / "references" / "elements.cif", index=":", format="cif")
    symbols = [atoms.get_chemical_symbols()[0] for atoms in shipped]
    dft = {row["element"]: row["mp_pbe_min_energy_per_atom"] for row in _rows(references)}
    published = {Path(row["file"]).name: row["ref_corrected_formation_energy_per_atom"] for row in _rows(manifest)}
    files = sorted(path for path in wbm.glob("*.cif") if published.get(path.name))
    compounds = [read(path) for path in files]
    target = np.array([float(published[path.name]) for path in files])
    pure = [energies(evaluator, shipped) for evaluator in evaluators]
    lowest = [
        {s: min(e for e, other in zip(energy, symbols, strict=True) if other == s) for s in symbols} for energy in pure
    ]
    errors = [
        np.abs(formation(compounds, energies(evaluator, compounds), low) - target)
        for evaluator, low in zip(evaluators, lowest, strict=True)
    ]
    found = []
    for symbol in sorted(set(symbols)):
        own = [k for k, other in enumerate(symbols) if other == symbol]
        inside = [k for k, atoms in enumerate(compounds) if symbol in atoms.get_chemical_symbols()]
        apart = max((pure[0][k] - pure[1][k] for k in own), key=abs)
        means = [float(error[inside].mean()) if inside else 0.0 for error in errors]
        off = [low[symbol] - float(dft[symbol]) for low in lowest]
        found.append(Element(symbol, len(own), *off, apart, len(inside), *means))
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(elements: Sequence[Element]) -> str:
    """All of them in Markdown, the farthest from DFT first."""
    head = ["element", "crystals", "model − DFT", "teacher − DFT", "model − teacher (largest)", "WBM compounds",
            "formation MAE, model", "formation MAE, teacher"]  # fmt: skip
    ordered = sorted(elements, key=lambda one: -abs(one.model))
    return "\n".join(["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * 7, *(one.line for one in ordered)])


def unfit(elements: Sequence[Element], sha256: str) -> str:
    """The file of the elements that the model cannot do."""
    lines = ["model_sha256,element,reason"]
    for one in sorted(elements, key=lambda one: one.symbol):
        if abs(one.model) > LIMIT:
            reason = f"elemental {one.symbol} is {one.model:+.2f} eV/atom off DFT by this model"
            lines.append(f"{sha256},{one.symbol},{reason}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, or put it into the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("wbm", "manifest", "references"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--write", type=Path, help="the page to put the table into")
    parser.add_argument("--unfit", type=Path, help="where to list the elements that the model is to refuse")
    given = parser.parse_args()
    path = models.resolve(models.default()).path
    assert path is not None
    model = Potential(path, "float64", "cpu", None, None)
    model.species.unfit.clear()  # what it refuses is measured, too
    teacher = Chgnet(weights("chgnet-0.3.0"), "chgnet-0.3.0", "float32", "cpu", 6000)
    elements = measured(given.wbm, given.manifest, given.references, [model, teacher])
    if given.unfit:
        given.unfit.write_text(unfit(elements, provenance.sha256(path)))
    if given.write is None:
        print(table(elements))
        return
    before, _, rest = given.write.read_text().partition(START)
    given.write.write_text(f"{before}{START}\n{table(elements)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
