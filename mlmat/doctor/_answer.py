"""The task of the doctor: a worker says where it is and what it has; the driver compares."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.processes import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Packages that must be the same on both sides: they make the numbers, or carry them home.
SAME = ("mlmat", "parsl", "ase", "pymatgen", "numpy", "pyarrow", "torch", "mace-torch", "cloudpickle")


def answer(cache: str, scratch: str) -> dict[str, Any]:
    """Who this is, and which versions it has; cache, scratch: folders of the driver's that it should see."""
    return {
        "host": provenance.host(),
        "pid": os.getpid(),
        "executable": sys.executable,
        "python": platform.python_version(),
        "versions": provenance.versions(SAME),
        "cores": machine.cores(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cache": Path(cache).is_dir(),
        "scratch": os.access(scratch, os.W_OK),
    }


def differences(here: dict[str, Any], there: dict[str, Any]) -> Iterator[str]:
    """What is another one at the worker, for people."""
    if here["python"] != there["python"]:
        yield f"Python {there['python']} there, {here['python']} here"
    for name in SAME:
        mine, its = here["versions"].get(name), there["versions"].get(name)
        if mine != its:
            yield f"{name} {its or 'missing'} there, {mine or 'missing'} here"
