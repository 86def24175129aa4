"""What the tests that break things share: the seed, commands as processes, and the count of what was injected.

Import it as `from faults.tools import …`: pytest has `tests` on its path.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mlmat.store import Store

#: The shipped crystals, 71 structures.
CRYSTALS = Path(__file__).parents[2] / "examples" / "crystals"
#: The text of a runner that takes its time.
SLOW = """
import time
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version, columns = "slow", "1", {"energy": "DOUBLE -- eV"}
    batch_atoms = 8
    def __init__(self, files=(), seconds=0.15):
        super().__init__(files)
        self.seconds = seconds
    def run(self, atoms):
        time.sleep(self.seconds)
        return {"energy": -float(len(atoms))}
"""
#: Set on a command, it is found again on everything that the command has started.
MARK = "MLMAT_FAULT_MARK"


def seed() -> int:
    """The seed of everything random in this run of the suite ($MLMAT_FAULT_SEED, 0)."""
    return int(os.environ.get("MLMAT_FAULT_SEED", "0"))


def chance(*what: object) -> random.Random:
    """A source of random numbers of its own for each purpose, given by the seed."""
    return random.Random(f"{seed()} {what}")


def log() -> Path:
    """The file that `injected` writes ($MLMAT_FAULT_LOG, or one in the temporary folder)."""
    return Path(os.environ.get("MLMAT_FAULT_LOG") or Path(tempfile.gettempdir()) / f"mlmat-faults-{os.getuid()}.jsonl")


def injected(kind: str, times: int = 1, *, lost: int = 0, repeated: int = 0, stuck: int = 0) -> None:
    """Count a fault that was injected, and what came of it. Anything lost, repeated or stuck fails the test.

    lost: what was acknowledged and is gone; repeated: what was computed or counted twice without having been in flight;
    stuck: what a later command could not finish.
    """
    row = {"kind": kind, "seed": seed(), "times": times, "lost": lost, "repeated": repeated, "stuck": stuck}
    with log().open("a") as file:  # one write: several processes may append
        file.write(json.dumps(row) + "\n")
    assert lost + repeated + stuck == 0, f"{kind}: {lost} lost, {repeated} repeated, {stuck} stuck"


# -- commands as processes -----------------------------------------------------------------------


def start(*arguments: object, mark: str | None = None, **options: object) -> subprocess.Popen[str]:
    """Start a command (`mlmat ARGUMENTS`) in a session of its own, with pipes for what it says."""
    command = [sys.executable, "-m", "mlmat", *map(str, arguments)]
    usual: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    usual |= {"start_new_session": True, "env": {**os.environ, MARK: mark} if mark else None}
    return subprocess.Popen(command, **{**usual, **options})  # type: ignore[call-overload, no-any-return]


def finish(*arguments: object, timeout: float = 120, **options: object) -> str:
    """Run a command to its end; what it printed."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out


def kill(process: subprocess.Popen[str]) -> bool:
    """Kill a command as the out-of-memory killer does; whether it was still at work, and had not ended by itself."""
    process.kill()
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == -signal.SIGKILL


def marked(mark: str) -> Iterator[int]:
    """Ids of the living processes that a command with a mark has started, and its own."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone, or somebody else's; that of a zombie is empty
            if wanted in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)


def until(condition: Callable[[], object], seconds: float = 60, every: float = 0.1) -> None:
    """Wait for a condition; a test fails when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)


def counted(store: Store, what: str) -> int:
    """Number of rows of a table, view or subquery."""
    return int(store.sql(f"SELECT count(*) AS n FROM {what}")["n"][0])
