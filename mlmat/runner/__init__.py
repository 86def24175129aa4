"""Runners: what computes one structure. Subclass `WrappedAtomsRunner`, implement `run(atoms)`, and run it.

>>> from mlmat.runner import WrappedAtomsRunner, execute_runner
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmat.runner._base import Prepared, Unreadable, WrappedAtomsRunner, attempt

if TYPE_CHECKING:
    from mlmat.worker.execute import execute_runner

__all__ = ["Prepared", "Unreadable", "WrappedAtomsRunner", "attempt", "execute_runner"]

#: Listed by `mlmat runners` beside the modules of this folder.
EXAMPLE = ("mlmat.example_runner", "The smallest useful runner, on ASE's EMT.")


def __getattr__(name: str) -> Any:
    # parsl takes a while to import: only those who execute pay for it.
    if name == "execute_runner":
        from mlmat.worker.execute import execute_runner

        return execute_runner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
