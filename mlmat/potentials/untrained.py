"""A small MACE with random weights, for trying mlmat out where no trained model is at hand.

Its numbers mean nothing. They are smooth, invariant and of a crystal's usual size, so that every step of a
screen can be walked through: with a pair repulsion atoms keep apart, and relaxations end.

`python -m mlmat.potentials.untrained FILE` writes it, with the same bytes each time on the same versions: only a
process of its own gives that, because TorchScript numbers the classes that a process has made so far.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

from mlmat.potentials.quiet import quiet_import

SEED = 20240229
ELEMENTS = range(1, 95)
CUTOFF = 5.0  # Å
CHANNELS = 16
#: Random readouts give 1e-4 eV per atom; this brings them to tenths of an eV.
READOUT_GAIN = 2000.0


def save(path: Path) -> None:
    """Build the model and write it in mace's own format."""
    import torch

    buffer = io.BytesIO()  # torch writes a file's name into it, but no name for a buffer
    torch.save(build(), buffer)
    path.write_bytes(buffer.getvalue())


def build() -> Any:
    """Return the model, a `ScaleShiftMACE` in float64. Sets torch's default dtype and seed."""
    modules = quiet_import("mace.modules")
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = modules.ScaleShiftMACE(**_architecture(modules))
        _amplify(model)
    return model.eval()


def _architecture(modules: Any) -> dict[str, Any]:
    import numpy as np
    import torch
    from e3nn import o3

    blocks = modules.interaction_classes
    return {
        "r_max": CUTOFF,
        "num_bessel": 8,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "correlation": 2,
        "num_interactions": 2,
        "interaction_cls_first": blocks["RealAgnosticInteractionBlock"],
        "interaction_cls": blocks["RealAgnosticResidualInteractionBlock"],
        "hidden_irreps": o3.Irreps(f"{CHANNELS}x0e"),
        "MLP_irreps": o3.Irreps("16x0e"),
        "gate": torch.nn.functional.silu,
        "num_elements": len(ELEMENTS),
        "atomic_numbers": list(ELEMENTS),
        "atomic_energies": np.zeros(len(ELEMENTS)),
        "atomic_inter_scale": 1.0,
        "atomic_inter_shift": 0.0,
        "avg_num_neighbors": 40.0,
        "pair_repulsion": True,
    }


def _amplify(model: Any) -> None:
    import torch

    with torch.no_grad():
        model.readouts[0].linear.weight.mul_(READOUT_GAIN)
        model.readouts[-1].linear_2.weight.mul_(READOUT_GAIN)


if __name__ == "__main__":
    save(Path(sys.argv[1]))
