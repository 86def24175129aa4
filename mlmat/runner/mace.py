"""MACE potentials: energy, forces and stress of many structures in one pass, relaxed first if asked for.

A model is a name from `mlmat models`: registered files, mace's foundation models (fetched once, in the driver), or
`untrained`. Loading one runs the pickle inside it, and importing mace switches torch's weights-only loading off for
the whole process. torch is imported by `setup`, or when a model has to be made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlmat.potentials import models
from mlmat.runner._base import Prepared
from mlmat.runner._interatomic import InteratomicRunner, batch_seconds, checked, identity, require

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmat.potentials.mace import Potential

_UNTRAINED_NOTE = (
    "This MACE model is untrained: its numbers mean nothing. "
    "`mlmat models` lists trained ones; choose with --set model=NAME (medium-mpa-0, or a file you have added)."
)


class Runner(InteratomicRunner):
    """Energy, forces and stress by MACE, of each structure as it is or relaxed.

    model: a name from `mlmat models`, or a registered file. dtype: float64; float32 is recommended for single
    points of large screens (1.3 to 2 times as many in the same time, energies within 0.01 meV/atom with the
    shipped model), not for relaxations, where soft crystals may end elsewhere. It is part of the method. relax:
    none, positions, or cell (and positions). fmax: eV/Å, where a relaxation has converged; with relax=cell it
    also bounds the gradient of ASE's FrechetCellFilter. optimizer: a name from `ase.optimize`. device: cpu, cuda,
    cuda:N or auto. head: of a model that has several. batch_edges: neighbour pairs in one pass; by default 3,000,
    and on a GPU what fits into its memory.
    """

    name: ClassVar[str | None] = "mace"
    version: ClassVar[str | None] = "1"

    def __init__(
        self,
        files: Any = (),
        *,
        model: str = models.default(),
        dtype: str = "float64",
        relax: str = "none",
        fmax: float = 0.05,
        max_steps: int = 500,
        optimizer: str = "FIRE",
        device: str = "cpu",
        head: str | None = None,
        batch_edges: int | None = None,
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
        self.head = head

    @classmethod
    def prepare(cls, settings: Mapping[str, Any]) -> Prepared:
        """Check the settings and make sure of the model's file, with its SHA-256.

        Raises UsageError on a bad setting, ModelError where the model cannot be found, fetched or built.
        """
        full = checked("mace", settings, cls.__init__.__kwdefaults__ or {})
        head = full["head"]
        require(head is None or isinstance(head, str), f"head={head!r}: use the name of one of the model's heads")
        model = models.resolve(full["model"])
        return Prepared(
            settings=full | {"model": str(model.path)},
            identity=identity(full, *(["head"] if head is not None else [])),
            model_name=model.name,
            model_sha256=model.sha256,
            dtype=full["dtype"],
            batch_seconds=batch_seconds(full),
            packages=("torch", "mace-torch", "e3nn", "ase"),
            notes=tuple(note for note in (_UNTRAINED_NOTE if model.kind == "untrained" else model.note,) if note),
            **model.energies(),
        )

    def _load(self) -> Potential:
        from mlmat.potentials.mace import Potential

        path = Path(self.model)
        if not path.is_absolute():  # made by hand, without `prepare`
            path = models.resolve(self.model).path or path
        return Potential(path, self.dtype, self.device, self.head, self.batch_edges)
