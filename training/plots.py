"""Draw the model card's plots: the learning curve, and model against teacher on what was held out.

`python training/plots.py OUT RUN LABELS --wbm LABELS`

RUN: the folder of train.py. OUT gets `learning-curve.svg` and `parity.png`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from data import read, split, systems
from evaluate import Case, computed, grouped

from mlmat.potentials.mace import Potential

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

mpl.use("Agg")
mpl.rcParams |= {"svg.hashsalt": "mlmat", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def learning_curve(progress: Path, path: Path) -> None:
    """Errors on the held-out systems against minutes of training."""
    import matplotlib.pyplot as plt

    lines = [json.loads(line) for line in progress.read_text().splitlines()]
    minutes = [line["minutes"] for line in lines]
    names = {"energy": "MAE of energy, meV/atom", "forces": "MAE of forces, meV/Å", "stress": "MAE of stress, GPa"}
    shown = {"loss": "loss in training"} | {key: label for key, label in names.items() if key in lines[-1]}
    figure, axes = plt.subplots(1, len(shown), figsize=(2.8 * len(shown), 2.6), layout="constrained", squeeze=False)
    for axis, (key, label) in zip(axes[0], shown.items(), strict=True):
        axis.plot(minutes, [line[key] for line in lines], "o-", ms=2, lw=1, color="#1f5fa8")
        axis.set(xlabel="minutes of training", ylabel=label, ylim=(0, None))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def parity(cases: Sequence[Case], path: Path) -> None:
    """Energies per atom above the free atoms' by chemistry, and force components."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 4.2), layout="constrained")
    for name, some in grouped(cases, lambda case: case.chemistry).items():
        _against(left, some, _teachers, _ours, name)
    left.legend(fontsize=7, frameon=False)
    left.set(xlabel="teacher, eV/atom", ylabel="model, eV/atom", title="energy per atom")
    _against(right, cases, lambda case: case.forces.ravel(), lambda case: case.found.forces.ravel(), None)
    right.set(xlabel="teacher, eV/Å", ylabel="model, eV/Å", title="force components")
    for axis in (left, right):
        ends = [*axis.get_xlim()]
        axis.plot(ends, ends, lw=0.6, color="black", zorder=0)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _teachers(case: Case) -> list[float]:
    return [case.energy / len(case.atoms)]


def _ours(case: Case) -> list[float]:
    return [case.found.energy / len(case.atoms)]


def _against(
    axis: Axes, cases: Sequence[Case], x: Callable[[Case], object], y: Callable[[Case], object], name: str | None
) -> None:
    ours, theirs = (np.concatenate([np.ravel(get(case)) for case in cases]) for get in (y, x))
    axis.plot(theirs, ours, ".", ms=2.5, alpha=0.6, label=name)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--wbm", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    potential = Potential((args.run / "model.model").absolute(), "float32", "cpu", None, 4000)
    _, test = split(list(read(args.labels)), systems(args.wbm))
    cases = computed([one for one in test if one.kind == "as is"], potential)
    cases += computed(list(read(args.wbm)), potential) if args.wbm else []
    learning_curve(args.run / "progress.jsonl", args.out / "learning-curve.svg")
    parity(cases, args.out / "parity.png")


if __name__ == "__main__":
    main()
