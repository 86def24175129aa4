"""One task on the configuration that was named: does a worker answer, and does it fit this process?"""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import parsl_config
from mlmat.doctor._answer import answer, differences
from mlmat.doctor._line import Line, Place
from mlmat.errors import MlmatError
from mlmat.scheduler.block_status import Blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines at the end of each log that are shown when no worker answers.
LAST = 2
#: Characters of what a block or a log says.
WORDS = 300
#: Blocks that end without a worker that answers, before nothing more is expected.
ENOUGH = 3


def check(place: Place) -> Iterator[Line]:
    """Start the configuration, run one task, compare. Nothing is done where no configuration was named."""
    if place.config is None:
        return
    if not place.folder.is_dir():
        yield Line("fail", "workers", "not tried: there is no folder for the logs", "see the line on the disk")
        return
    # Beside the store: blocks on other hosts see it where anybody sees the store's folder.
    with tempfile.TemporaryDirectory(dir=place.folder, prefix=".mlmat-doctor-", ignore_cleanup_errors=True) as name:
        yield from _tried(place, Path(name))


def _tried(place: Place, folder: Path) -> Iterator[Line]:
    from mlmat.potentials.weights import cache_folder

    cache, start, logs = str(cache_folder()), time.monotonic(), folder
    try:
        config = parsl_config.make_config(place.config, folder)
        logs = parsl_config.logs_of(config, folder)
        with parsl_config.kernel(config, folder) as kernel:
            future = parsl_config.submit(kernel, answer, cache, str(logs))
            try:
                there = _waited(kernel, future, start + place.patience)
            except Exception as error:
                yield from _failed(place, kernel, logs, error)
                return
            took = time.monotonic() - start
            blocks = [block for block in Blocks(kernel, 0).now() if block.state == "running"]
    except MlmatError as error:
        yield Line("fail", "workers", str(error), "mend the configuration: mlmat config, docs of parsl")
        return
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        yield Line(
            "fail", "workers", f"parsl does not start with --config {place.config} ({why})", "see the lines above"
        )
        return
    finally:
        if logs != folder:
            shutil.rmtree(logs, ignore_errors=True)
    yield from _compared(place, answer(cache, str(logs)), there, took, blocks)


def _waited(kernel: Any, future: Any, deadline: float) -> dict[str, Any]:
    blocks = Blocks(kernel)
    while True:
        parsl_config.check_alive(kernel)
        if sum(block.over for block in blocks.now()) >= ENOUGH:
            raise Late
        try:
            found: dict[str, Any] = future.result(timeout=0.5)
        except Late:
            if time.monotonic() > deadline:
                raise
        else:
            return found


def _compared(
    place: Place, here: dict[str, Any], there: dict[str, Any], took: float, blocks: list[Any]
) -> Iterator[Line]:
    where = "a thread of this process" if there["pid"] == here["pid"] else f"{there['host']} (process {there['pid']})"
    jobs = ", ".join(f"job {block.job} on {block.nodes}" for block in blocks if block.kind == "slurm")
    yield Line(
        "ok",
        "workers",
        f"{where}{f', {jobs},' if jobs else ''} answered after {took:.1f} s; it may use {there['cores']} cores",
    )
    if wrong := list(differences(here, there)):
        remedy = (
            f"start its workers with this Python ({here['executable']}): leave worker_init to mlmat, or name it there"
        )
        yield Line("fail", "workers", f"{there['executable']} is another environment: {'; '.join(wrong)}", remedy)
    else:
        yield Line("ok", "workers", f"same Python and packages there as here ({there['executable']})")
    if there["threads"] is None and there["pid"] != here["pid"]:
        remedy = "put OMP_NUM_THREADS into the worker_init of your configuration"
        yield Line("warn", "workers", "nothing limits the threads of a worker's libraries", remedy)
    if there["gpus"]:
        yield Line("ok", "workers", f"it sees the GPUs {there['gpus']} (CUDA_VISIBLE_DEVICES)")
    if here["cache"] and not there["cache"]:
        remedy = "set MLMAT_CACHE to a folder on a shared disk, and register the models there"
        yield Line("fail", "workers", "it does not see the cache of models of this host", remedy)
    if not there["scratch"]:
        remedy = "keep the store where the nodes see it, or let the runner keep no files"
        yield Line("warn", "workers", f"it cannot write beside the store ({place.folder}): scratch directories", remedy)


def _failed(place: Place, kernel: Any, folder: Path, error: Exception) -> Iterator[Line]:
    """Why no answer came, as far as parsl, the scheduler and the logs say."""
    kind, said = type(error).__name__, " ".join(str(error).split())
    blocks = Blocks(kernel, 0)
    found = blocks.now() if parsl_config.is_alive(kernel) else []
    addresses = sorted({each for one in kernel.config.executors for each in getattr(one, "all_addresses", ())})
    if isinstance(error, Late):
        says, remedy = f"no worker answered within {place.patience:.0f} s", "wait longer with --patience SECONDS"
        if sum(block.over for block in found) >= ENOUGH:
            says, remedy = f"{len(found)} blocks ended before a worker answered", "see what they said, below"
        elif found and all(block.state == "running" for block in found):
            says += f", although its block runs (the address it was given: {', '.join(addresses)})"
            remedy = "see that the nodes reach this address: `address` of the configuration"
    elif isinstance(error, MlmatError):
        says, remedy = said, "see the lines around this one"
    else:
        says = f"the task failed ({kind}: {said})"
        remedy = "are the workers' Python and packages those of this process? See docs/doctor.md"
    yield Line("fail", "workers", says, remedy)
    for block in found:
        reason = f" ({block.reason[:WORDS]})" if block.reason else ""
        nodes = f" on {block.nodes}" if block.nodes else ""
        yield Line(
            "warn",
            "workers",
            f"block {block.block}{f', job {block.job}' if block.job else ''}: {block.state}{nodes}{reason}",
        )
    for path, words in last_words(folder):
        yield Line("warn", "workers", f"{path.name} ends with: {words[:WORDS]}")


def last_words(folder: Path) -> Iterator[tuple[Path, str]]:
    """Ends of what blocks and managers wrote: each file with its last lines."""
    for path in sorted([*folder.rglob("*.err"), *folder.rglob("*.stderr"), *folder.rglob("manager.log")]):
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        if path.name == "manager.log":  # parsl's: time, process, thread, …; of it, what went wrong
            lines = [line.partition("ERROR: ")[2] for line in lines if "ERROR: " in line]
        if lines:
            yield path, " / ".join(lines[-LAST:])
