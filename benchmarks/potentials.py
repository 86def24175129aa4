"""What the benchmarks of MACE share: crystals of any size, two models, and the ways to compute them."""

from __future__ import annotations

import logging
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from mlmat.runner import WrappedAtomsRunner

EXAMPLES = Path(__file__).parents[1] / "examples" / "crystals"
#: Atoms of the smallest and the largest crystal of a class, and how many atoms of a mix belong to each.
SIZES = {"1–8": (1, 8), "9–32": (9, 32), "33–130": (33, 130)}
MODELS = ("shipped", "small")
FMAX, STEPS = 0.05, 500

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


@cache
def examples() -> list[Atoms]:
    """The crystals that come with mlmat."""
    return list(WrappedAtomsRunner(EXAMPLES).open_file())


def crystals(atoms: int, low: int, high: int, seed: int = 0, strain: float = 0.02) -> list[Atoms]:
    """Crystals of `low` to `high` atoms, about `atoms` in all: the shipped ones and their supercells, moved."""
    rng = np.random.default_rng(seed)
    found: list[Atoms] = []
    while sum(map(len, found)) < atoms or len(found) < 4:
        one = examples()[rng.integers(len(examples()))]
        most = int((high / len(one)) ** (1 / 3) + 1e-9) + 1
        one = one.repeat([int(n) for n in rng.integers(1, most + 1, 3)])
        if low <= len(one) <= high:
            found.append(moved(one, rng, strain))
    return sorted(found, key=len, reverse=True)


def moved(atoms: Atoms, rng: np.random.Generator, strain: float) -> Atoms:
    """A copy with atoms moved by 0.05 Å and a strained cell."""
    atoms = atoms.copy()
    atoms.rattle(0.05, rng=rng)
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0, strain / 2, (3, 3))), scale_atoms=True)
    return atoms


def mixed(atoms: int) -> list[Atoms]:
    """Crystals of all sizes, as many atoms of each class."""
    found = [one for seed, (low, high) in enumerate(SIZES.values()) for one in crystals(atoms // 3, low, high, seed)]
    return sorted(found, key=len, reverse=True)


def model_files(folder: Path, device: str = "cpu") -> dict[str, tuple[Path, Path]]:
    """By model, the file that mlmat computes with and the one for mace's own calculator."""
    import torch

    from mlmat.potentials import mace, models
    from mlmat.potentials.potential import default_dtype

    shipped = models.resolve(models.default()).path
    assert shipped is not None
    torch.save(mace._read_stock(shipped, torch.device(device)), folder / "shipped.model")
    with default_dtype(torch.float64):
        torch.manual_seed(1)
        torch.save(small(), folder / "small.model")
    return {"shipped": (shipped, folder / "shipped.model"), "small": 2 * (folder / "small.model",)}


def small() -> Any:
    """A MACE of random weights at the size of MACE-MP "small"."""
    from mlmat.potentials.quiet import quiet_import
    from mlmat.potentials.untrained import _architecture

    modules = quiet_import("mace.modules")
    from e3nn import o3

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    size = {"hidden_irreps": o3.Irreps("128x0e"), "max_ell": 3, "correlation": 3, "r_max": 6.0, "num_bessel": 10}
    settings = _architecture(modules) | size | {"interaction_cls_first": block, "radial_MLP": [64, 64, 64]}
    return modules.ScaleShiftMACE(**settings).eval()


@cache
def calculator(path: Path, dtype: str, device: str = "cpu") -> Any:
    """mace's own calculator."""
    from mlmat.potentials.quiet import quiet_import

    return quiet_import("mace.calculators").MACECalculator(str(path), device=device, default_dtype=dtype)


def ase_loop(structures: list[Atoms], path: Path, dtype: str, device: str = "cpu") -> list[float]:
    """Energy, forces and stress one by one with one kept calculator; the energies."""
    found = []
    for atoms in structures:
        one = atoms.copy()
        one.calc = calculator(path, dtype, device)
        found.append(one.get_potential_energy())
        one.get_forces()
        one.get_stress()
    return found


def ase_relaxations(structures: list[Atoms], path: Path, dtype: str, device: str = "cpu") -> list[tuple[float, int]]:
    """End energy and steps of each, relaxed one by one."""
    found = []
    for atoms in structures:
        one = atoms.copy()
        one.calc = calculator(path, dtype, device)
        search = FIRE(FrechetCellFilter(one), logfile=None)
        search.run(fmax=FMAX, steps=STEPS)
        found.append((one.get_potential_energy(), search.nsteps))
    return found


@cache
def runner(path: Path, dtype: str, device: str = "cpu", relax: str = "none") -> Any:
    """mlmat's runner, set up."""
    from mlmat.runner.mace import Runner

    made = Runner(model=str(path), dtype=dtype, device=device, relax=relax, fmax=FMAX, max_steps=STEPS)
    made.setup()
    return made


def ours(structures: list[Atoms], path: Path, dtype: str, device: str = "cpu") -> list[float]:
    """What a worker does with a batch that came as Arrow bytes: rows computed, checked and packed; the energies."""
    from mlmat import arrow_frames
    from mlmat.materials.structure import from_table
    from mlmat.worker.outcome import outcomes_of
    from mlmat.worker.packing import BatchContext, pack

    made = runner(path, dtype, device)
    table = arrow_frames.from_ipc(_sent(tuple(map(id, structures)), tuple(structures)))
    outcomes = list(outcomes_of(made, list(from_table(table)), Path(tempfile.gettempdir())))
    pack(BatchContext("run", "method", "mace", ""), made.columns, table["structure_id"].to_pylist(), outcomes)
    return [outcome.row["energy"] for outcome in outcomes if outcome.row is not None]


_packed: dict[tuple[int, ...], bytes] = {}


def _sent(key: tuple[int, ...], structures: tuple[Atoms, ...]) -> bytes:
    """Structures as the driver sends them, made once."""
    import pyarrow as pa

    from mlmat import arrow_frames
    from mlmat.materials.structure import to_row

    if key not in _packed:
        _packed[key] = arrow_frames.to_ipc(pa.Table.from_pylist([to_row(atoms) for atoms in structures]))
    return _packed[key]


def our_relaxations(structures: list[Atoms], path: Path, dtype: str, device: str = "cpu") -> list[tuple[float, int]]:
    """End energy and steps of each."""
    rows = runner(path, dtype, device, "cell").run_batch(structures)
    return [(row["energy"], row["steps"]) for row in rows]


_joined: dict[Any, Any] = {}


def bare(structures: list[Atoms], path: Path, dtype: str, *, stock: bool = False) -> None:
    """The model's forward pass alone, on tensors that were made before: the limit."""
    import torch

    from mlmat.potentials.graph import pack
    from mlmat.potentials.mace import CPU_EDGES, Potential, tensors_of
    from mlmat.potentials.potential import default_dtype

    key = (tuple(map(id, structures)), path, dtype, stock)
    if key not in _joined:
        potential = Potential(path, dtype, "cpu", None, CPU_EDGES, stock=stock)
        graphs = [potential._graph(atoms) for atoms in structures]
        about = (potential.species.count, potential.head, potential.dtype, potential.device)
        groups = pack([graph.size for graph in graphs], CPU_EDGES)
        _joined[key] = potential, [tensors_of([graphs[i] for i in group], *about) for group in groups]
    potential, passes = _joined[key]
    with default_dtype(potential.dtype), torch.enable_grad():
        for tensors in passes:
            potential.model(dict(tensors), compute_stress=True)


def torch_sim_relaxations(structures: list[Atoms], path: Path, dtype: str, device: str, most: float) -> list[float]:
    """End energies by torch-sim, `most` atoms at a time, refilled as they converge. ImportError without it."""
    import torch
    import torch_sim

    model = _torch_sim_model(path, dtype, device)
    batcher = torch_sim.InFlightAutoBatcher(model, max_memory_scaler=most, memory_scales_with="n_atoms")
    state = torch_sim.optimize(
        [atoms.copy() for atoms in structures],
        model,
        optimizer=torch_sim.frechet_cell_fire,
        convergence_fn=torch_sim.generate_force_convergence_fn(FMAX),
        autobatcher=batcher,
        max_steps=STEPS * len(structures),
        md_flavor="ase_fire",
    )
    with torch.no_grad():
        return [float(energy) for energy in state.energy]


@cache
def _torch_sim_model(path: Path, dtype: str, device: str) -> Any:
    import torch

    from mlmat.potentials.quiet import quiet_import

    quiet_import("mace.modules")
    from torch_sim.models.mace import MaceModel

    kind = getattr(torch, dtype)
    model = torch.load(path, map_location=device, weights_only=False).to(kind)
    return MaceModel(model=model, device=torch.device(device), dtype=kind)
