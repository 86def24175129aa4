"""Graphics processors, and whether torch can use them."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUERY = ["--query-gpu=index,name,memory.total,memory.used,driver_version", "--format=csv,noheader,nounits"]


def check(place: Place) -> Iterator[Line]:
    """What nvidia-smi lists, what this process may see of it, and which torch is installed."""
    if (program := shutil.which("nvidia-smi")) is None:
        yield Line("ok", "gpus", "none on this host (there is no nvidia-smi); models run on its cores")
        return
    try:
        done = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        yield Line(
            "fail", "gpus", "nvidia-smi does not answer", "the driver hangs: restart the host, or use another one"
        )
        return
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        yield Line(
            "warn", "gpus", f"nvidia-smi: {said[0] if said else done.returncode}", "see to the driver, or go without"
        )
        return
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line]
    yield from (_line(row) for row in rows)
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        yield Line("ok", "gpus", f"of these this process sees {visible or 'none'} (CUDA_VISIBLE_DEVICES)")
    if rows and not torch_has_cuda():
        remedy = "install a torch with CUDA (pytorch.org says which), and start again"
        yield Line("warn", "gpus", "the torch that is installed computes on cores alone", remedy)


def _line(row: list[str]) -> Line:
    index, name, total, used, driver = row
    says = f"{index}: {name}, {int(total) / 1024:.0f} GiB, driver {driver}"
    if int(used) > int(total) / 2:
        return Line(
            "warn", "gpus", f"{says}; others use {int(used) / 1024:.0f} GiB of it", "wait for them, or take another"
        )
    return Line("ok", "gpus", says)


def torch_has_cuda() -> bool:
    """Whether torch was built for GPUs, by its files: to import it takes seconds."""
    spec = find_spec("torch")
    folders = spec.submodule_search_locations if spec else None
    return any((Path(folder) / "lib" / "libtorch_cuda.so").exists() for folder in folders or ())
