"""parsl's programs, which it starts by name."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("interchange.py", "process_worker_pool.py")


def check(place: Place) -> Iterator[Line]:
    """Each program beside this Python, which mlmat puts first on PATH, or elsewhere on PATH."""
    own = Path(sys.executable).parent
    for name in PROGRAMS:
        if os.access(own / name, os.X_OK):
            yield Line("ok", "programs", f"{own / name}")
        elif found := shutil.which(name):
            says = f"{found} does not belong to this Python ({sys.executable})"
            yield Line("warn", "programs", says, f"install parsl beside it: {sys.executable} -m pip install parsl")
        else:
            says = f"{name} is neither beside {sys.executable} nor on PATH: no worker can start"
            remedy = f"{sys.executable} -m pip install --force-reinstall --no-deps parsl"
            yield Line("fail", "programs", says, remedy)
