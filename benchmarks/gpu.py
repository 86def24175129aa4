"""The MACE runner on a GPU against the ASE loop and torch-sim on the same card: single points and relaxations.

    python benchmarks/gpu.py [--device cuda] [--rounds 5] [--reduced]

Without a GPU it goes the same way on the CPU, and says so: its figures are then no figures of a GPU.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import potentials

if TYPE_CHECKING:
    from ase import Atoms

#: Atoms that torch-sim computes together on a card, and on a CPU.
TOGETHER = {"cuda": 20_000.0, "cpu": 64.0}


def main() -> None:
    """Measure and report."""
    parser = harness.parser(__doc__)
    parser.add_argument("--device", default="", help="cuda, cuda:N or cpu; by default a GPU where there is one")
    parser.add_argument("--models", default=",".join(potentials.MODELS))
    options = parser.parse_args()
    import torch

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    before, rows = harness.machine(), []
    points, relaxing = (200, 40) if options.reduced or device == "cpu" else (20_000, 2_000)
    with tempfile.TemporaryDirectory() as name:
        files = potentials.model_files(Path(name))
        for model in options.models.split(","):
            structures = potentials.mixed(points)
            variants = _points(structures, *files[model], device)
            rounds = harness.measure(variants, options.rounds, warm=True)
            rows += _rows(model, "single points", structures, rounds, "ASE float64")
            structures = potentials.crystals(relaxing, 2, 12, strain=0.03)
            variants = _relaxations(structures, *files[model], device)
            rounds = harness.measure(variants, options.rounds, warm=True)
            rows += _rows(model, "relaxations", structures, rounds, "ASE float64")
        limits = [_limit(model, files[model][0], device) for model in options.models.split(",")]
    harness.report("gpu", rows, [_where(device), *limits], device=device, before=before)


def _where(device: str) -> str:
    import torch

    if not device.startswith("cuda"):
        return "NO GPU: everything ran on the CPU, to see that it runs"
    kernels = "with" if find_spec("cuequivariance_torch") else "without"
    return f"{torch.cuda.get_device_name(device)}, {kernels} cuEquivariance"


def _limit(model: str, path: Path, device: str) -> str:
    potential = potentials.runner(path, "float32", device)._potential
    return f"{model}, float32: {potential.batch_edges:,} edges in a pass"


def _points(structures: list[Atoms], path: Path, stock: Path, device: str) -> dict[str, Any]:
    ways = {"ASE": (potentials.ase_loop, stock), "mlmat": (potentials.ours, path)}
    return {
        f"{name} {dtype}": partial(way, structures, file, dtype, device)
        for name, (way, file) in ways.items()
        for dtype in ("float64", "float32")
    }


def _relaxations(structures: list[Atoms], path: Path, stock: Path, device: str) -> dict[str, Any]:
    variants: dict[str, Any] = {
        "ASE float64": partial(potentials.ase_relaxations, structures, stock, "float64", device)
    }
    for dtype in ("float64", "float32"):
        variants[f"mlmat {dtype}"] = partial(potentials.our_relaxations, structures, path, dtype, device)
    if find_spec("torch_sim") is None:
        harness.missing("torch-sim", "it is not installed")
        return variants
    most = TOGETHER[device.partition(":")[0]]
    for dtype in ("float64", "float32"):
        run = partial(potentials.torch_sim_relaxations, structures, stock, dtype, device, most)
        variants[f"torch-sim {dtype}"] = run
    return variants


def _rows(model: str, what: str, structures: list[Atoms], rounds: harness.Rounds, base: str) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "what": what,
            "way": name,
            "structures/s": len(structures) / rounds.median(name),
            "times ASE float64": rounds.ratio(base, name),
        }
        for name in rounds.seconds
    ]


if __name__ == "__main__":
    main()
