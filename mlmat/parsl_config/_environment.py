"""What a worker's process must be given to be like this one: PATH, modules, threads of its libraries."""

from __future__ import annotations

import os
import shlex
import site
import sys
import sysconfig
from pathlib import Path

#: Folders of runner files: a worker searches them last, as this process does, and not before its packages.
searched_last: set[str] = set()
#: Where the package mlmat lies.
PACKAGE = str(Path(__file__).parent.parent.parent)


def share(cores: int, workers: int) -> float:
    """Cores of each worker; whole ones, so that parsl, which divides again, finds room for all workers."""
    return cores // workers or cores / workers


def binaries() -> str:
    """Where the programs of this Python are."""
    return str(Path(sys.executable).parent)


def find_parsl_programs() -> None:
    """parsl starts its programs by name: those of this Python come first, be its venv activated or not."""
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if parts[0] != binaries():
        os.environ["PATH"] = os.pathsep.join([binaries(), *parts])


def worker_init(compute_threads: int) -> str:
    """Shell lines that give a worker this process's environment and so many threads for its libraries."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    limits = " ".join(f"{name}={compute_threads}" for name in names)
    paths = shlex.quote(os.pathsep.join(searched()))
    return f'export PATH={shlex.quote(binaries())}:"$PATH" {limits} PYTHONPATH={paths}'


def searched() -> list[str]:
    """Where mlmat itself and the user's own modules are: what a worker would not search by itself."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own |= searched_last | {*site.getsitepackages(), site.getusersitepackages(), binaries()}
    found = [str(Path(entry).absolute()) for entry in sys.path if Path(entry).is_dir()]
    return list(dict.fromkeys(p for p in (*found, PACKAGE) if p not in own and not p.endswith("/lib-dynload")))
