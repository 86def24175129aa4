"""A MACE as arrays and settings: a file that runs no code when it is loaded (unlike torch's pickles).

The .npz holds the weights by MACE's own names (float32) and `settings`, the JSON from which the module is built.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlmat.errors import ModelError
from mlmat.potentials.quiet import quiet_import

if TYPE_CHECKING:
    from pathlib import Path

#: Settings that go to MACE as they are.
_SAME = (
    "atomic_numbers", "atomic_inter_scale", "avg_num_neighbors", "r_max", "num_bessel", "num_polynomial_cutoff",
    "max_ell", "correlation", "num_interactions",
)  # fmt: skip


def build(settings: dict[str, Any], *, repulsion: bool = True) -> Any:
    """A `ScaleShiftMACE` of scalars with random weights, in torch's default dtype.

    Its repulsion (ZBL) ends at `repulsion_radii` times mace's range, below any bond: crystals do not feel it.
    """
    modules = quiet_import("mace.modules")
    import numpy as np
    import torch
    from ase.data import covalent_radii
    from e3nn import o3

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        **{key: settings[key] for key in _SAME},
        interaction_cls=block,
        interaction_cls_first=block,
        hidden_irreps=o3.Irreps(f"{settings['channels']}x0e"),
        MLP_irreps=o3.Irreps(f"{settings['readout']}x0e"),
        gate=torch.nn.functional.silu,
        radial_MLP=settings["radial_mlp"],
        num_elements=len(settings["atomic_numbers"]),
        atomic_energies=np.array(settings["atomic_energies"]),
        atomic_inter_shift=0.0,
        pair_repulsion=repulsion,
    )
    if repulsion:
        radii = torch.as_tensor(covalent_radii * settings["repulsion_radii"])
        model.pair_repulsion_fn.covalent_radii.copy_(radii)
    return model


def save(model: Any, settings: dict[str, Any], path: Path) -> None:
    """Write the weights and settings of a model that `build(settings)` made."""
    import numpy as np

    weights = {name: value.detach().cpu().numpy().astype(np.float32) for name, value in model.named_parameters()}
    with path.open("wb") as file:
        np.savez(file, settings=np.array(json.dumps(settings)), **weights)


def load(path: Path) -> Any:
    """The model that `save` wrote, in torch's default dtype. Raises ModelError."""
    quiet_import("mace.modules")
    import numpy as np
    import torch

    try:
        with np.load(path, allow_pickle=False) as file:
            model = build(json.loads(str(file["settings"])))
            weights = {name: torch.as_tensor(file[name]) for name in file.files if name != "settings"}
        wrong = model.load_state_dict(weights, strict=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"model file {path} cannot be loaded ({' '.join(str(error).split())[:200]})") from error
    if wrong.unexpected_keys or set(dict(model.named_parameters())) & set(wrong.missing_keys):
        raise ModelError(f"model file {path} does not fit its own settings: it is damaged, or of another version")
    return model.eval().requires_grad_(False)
