"""CHGNet: energy, forces, stress and magnetic moments of many structures in one pass, relaxed first if asked for.

The weights come with the package `chgnet`, the extra `mlmat[chgnet]`. Its energies are total energies as the Materials
Project corrects them (MP2020), with `chgnet-r2scan` those of r2SCAN. torch is imported by `setup`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlmat import provenance
from mlmat.errors import ModelError, RunnerError
from mlmat.materials import schemes
from mlmat.runner._base import Prepared
from mlmat.runner._interatomic import COLUMNS, InteratomicRunner, batch_seconds, checked, identity, require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmat.potentials.chgnet import Chgnet

#: Files in chgnet's package.
MODELS = {
    "chgnet-0.3.0": "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
    "chgnet-r2scan": "pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
}


class Runner(InteratomicRunner):
    """Energy, forces, stress and magnetic moments by CHGNet, of each structure as it is or relaxed.

    model: chgnet-0.3.0 or chgnet-r2scan. dtype: float32 or float64. relax: none, positions, or cell (and
    positions). fmax: eV/Å, where a relaxation has converged; with relax=cell it also bounds the gradient of ASE's
    FrechetCellFilter. optimizer: a name from `ase.optimize`. device: cpu, cuda, cuda:N or auto. batch_edges:
    neighbour pairs and angles in one pass. Atoms without a neighbour within 6 Å have the energies that chgnet gives
    them, though it learned from none: it calls them likely wrong.
    """

    name: ClassVar[str | None] = "chgnet"
    version: ClassVar[str | None] = "1"
    columns: ClassVar[Mapping[str, str]] = COLUMNS | {
        "magmoms": "DOUBLE[] -- µB, magnetic moment of each atom, without its sign"
    }

    def __init__(
        self,
        files: Any = (),
        *,
        model: str = "chgnet-0.3.0",
        dtype: str = "float32",
        relax: str = "none",
        fmax: float = 0.05,
        max_steps: int = 500,
        optimizer: str = "FIRE",
        device: str = "cpu",
        batch_edges: int = 6000,
    ) -> None:
        super().__init__(
            files,
            model=model,
            dtype=dtype,
            relax=relax,
            fmax=fmax,
            max_steps=max_steps,
            optimizer=optimizer,
            device=device,
            batch_edges=batch_edges,
        )

    @classmethod
    def prepare(cls, settings: Mapping[str, Any]) -> Prepared:
        """Check the settings and find the weights, with their SHA-256.

        Raises UsageError on a bad setting, RunnerError without the package chgnet, ModelError without its weights.
        """
        full = checked("chgnet", settings, cls.__init__.__kwdefaults__ or {})
        require(full["model"] in MODELS, f"model={full['model']!r}: use one of {', '.join(MODELS)}")
        learned = schemes.MODELS[full["model"]]
        return Prepared(
            settings=full,
            identity=identity(full),
            model_name=full["model"],
            model_sha256=provenance.sha256(weights(full["model"])),
            dtype=full["dtype"],
            batch_seconds=batch_seconds(full),
            packages=("torch", "chgnet", "ase"),
            scheme=learned.scheme.name if learned.scheme else None,
            trained_on=learned.trained_on,
        )

    def _load(self) -> Chgnet:
        path = weights(self.model)
        from mlmat.potentials.chgnet import Chgnet

        assert self.batch_edges is not None
        return Chgnet(path, self.model, self.dtype, self.device, self.batch_edges)


def weights(model: str) -> Path:
    """The file of a model inside chgnet's package. Raises RunnerError without the package, ModelError without file."""
    found = find_spec("chgnet")
    if found is None or found.origin is None:
        raise RunnerError("runner chgnet needs the package chgnet: pip install 'mlmat[chgnet]'")
    path = Path(found.origin).parent / MODELS[model]
    if not path.is_file():
        raise ModelError(f"this version of chgnet has no weights of {model}: pip install 'mlmat[chgnet]'")
    return path
