"""`execute_runner`: a runner over its own files, one parsl task per call of `run`, reduced to a DataFrame."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - its own end of the program comes first then
import os
import secrets
import sys
import tempfile
import threading
import traceback
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlmat import parsl_config, provenance
from mlmat.errors import RunnerError
from mlmat.methods.load import spec_of_object
from mlmat.processes.gpus import pinned
from mlmat.runner import Unreadable, WrappedAtomsRunner
from mlmat.worker.outcome import describe, why
from mlmat.worker.ready import ready
from mlmat.worker.sent import wait_until_sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from mlmat.methods.load import RunnerSpec

#: Tasks under way at most.
WINDOW = 1_000
#: Seconds after which a stop is noticed.
POLL = 0.5
UNWAITED = "mlmat: the program ended before execute_runner had; wait for it with .result()"
#: Calls of `execute_runner` that were stopped: their tasks that still wait in this process's threads do nothing.
_stopped: set[str] = set()
#: The program has ended: set before Python waits for the threads of its pools, hence after they are imported.
_exiting = threading.Event()
getattr(threading, "_register_atexit")(_exiting.set)  # noqa: B009 - it has no public name


class ReducesRows(Protocol):
    """Anything with `reduce(rows)`, rows being one mapping per call of `run`."""

    def reduce(self, rows: Sequence[dict[str, Any]]) -> Any:
        """The table that the rows make."""


class Execution(Future[Any]):
    """The future of one call. Ctrl-C while it is waited for ends the work, too."""

    def __init__(self) -> None:
        super().__init__()
        self.call, self.reason = secrets.token_hex(6), ""
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Any:
        """What the reduction returned, or the exception that stopped the work."""
        try:
            return super().result(timeout)
        except KeyboardInterrupt:
            self.stop("interrupted")
            raise

    def stop(self, reason: str) -> None:
        """Start no more tasks; the future ends with this reason."""
        self.reason = reason
        _stopped.add(self.call)

    def check(self) -> None:
        """Raise RunnerError when the work was stopped or nobody can wait any more."""
        if self.call in _stopped or _exiting.is_set():
            raise RunnerError(f"execute_runner was stopped: {self.reason or 'the program has ended'}")


def execute_runner(runner: WrappedAtomsRunner, reduction: ReducesRows, config: Any = "threads") -> Future[Any]:
    """Run every structure of `runner.files` as a parsl task; the future holds `reduction.reduce(rows)`.

    A row is what `run` returned, with `file`, `status` (ok or failed), `error_class`, `error_message`, `traceback` and
    `workdir` (the scratch directory that a failed run left); a failed one has None in the runner's columns. Uses the
    parsl DataFlowKernel that is loaded, else starts one on config (`threads`, `local`, a file, or a parsl Config) and
    cleans it up. Raises RunnerError when the runner cannot travel; the future does when its `setup` fails.
    """
    spec = spec_of_object(runner)
    future = Execution()
    loaded = parsl_config.loaded_kernel()

    def work() -> None:
        try:
            with _kernel(loaded, config) as kernel:
                rows = _rows(kernel, spec, runner, future)
            future.set_result(reduction.reduce(_filled(rows)))
        except BaseException as error:
            future.set_exception(error)
            # Python starts no more tasks then, whatever we do.
            if _exiting.is_set() and not future.reason:
                print(UNWAITED, file=sys.stderr)

    threading.Thread(target=work, name="mlmat-execute", daemon=False).start()
    return future


@contextmanager
def _kernel(loaded: Any, config: Any) -> Iterator[Any]:
    if loaded is not None:
        yield loaded
        return
    # Nodes of a cluster see the folder that one works in, not this host's temporary ones.
    place = None if config in ("threads", "local") else Path.cwd()
    with (
        # Workers that are being ended may still write a last line of their logs.
        tempfile.TemporaryDirectory(prefix=".mlmat-", dir=place, ignore_cleanup_errors=True) as folder,
        parsl_config.kernel(config, Path(folder)) as kernel,
    ):
        yield kernel


def _rows(kernel: Any, spec: RunnerSpec, runner: WrappedAtomsRunner, future: Execution) -> list[dict[str, Any]]:
    """Rows in the order of the files, with a bounded number of tasks under way."""
    scratch = str(Path(tempfile.gettempdir()) / f"mlmat-scratch-{future.call}")
    slots = threading.Semaphore(WINDOW)
    rows: list[dict[str, Any]] = []

    def take_slot() -> None:
        while not slots.acquire(timeout=POLL):
            future.check()
        future.check()

    def arrived(task: Any, row: dict[str, Any]) -> None:
        try:
            row |= _row(_outcome(task, future))
        finally:
            slots.release()

    try:
        for label, found in _inputs(runner):
            rows.append({"file": label})
            if isinstance(found, Unreadable):
                rows[-1] |= _row(_failed(found.error_class, found.reason))
                continue
            take_slot()
            task = parsl_config.submit(kernel, run_one, spec, found, scratch, future.call)
            task.add_done_callback(partial(arrived, row=rows[-1]))
        for _ in range(WINDOW):
            take_slot()
    except BaseException:
        _stopped.add(future.call)
        raise
    return rows


def _inputs(runner: WrappedAtomsRunner) -> Iterator[tuple[str, Atoms | Unreadable]]:
    """Labels and structures, through `open_file` where the user has written one."""
    if type(runner).open_file is WrappedAtomsRunner.open_file:
        return runner.sources()
    return ((f"atoms {index}", atoms) for index, atoms in enumerate(runner.open_file()))


def run_one(spec: RunnerSpec, atoms: Atoms, scratch: str, call: str) -> bytes:
    """One call of `run` on a worker; its row, or its failure, as bytes that the driver can always read."""
    import cloudpickle

    wait_until_sent()
    os.environ.update(pinned())
    if call in _stopped:
        return cloudpickle.dumps({"status": "stopped"})  # type: ignore[no-any-return]
    try:
        runner = ready(spec)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = f"the runner could not start on {provenance.host()}: {why(error)}"
        return cloudpickle.dumps({"status": "broken", "error_message": where})  # type: ignore[no-any-return]
    return _run_in_scratch(runner, atoms, Path(scratch))


def _run_in_scratch(runner: WrappedAtomsRunner, atoms: Atoms, scratch: Path) -> bytes:
    import cloudpickle

    runner.begin_scratch(scratch)
    try:
        packed: bytes = cloudpickle.dumps({"status": "ok", "row": _mapping(runner.run(atoms))})
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kept = runner.end_scratch(keep=True)
        about = {"traceback": traceback.format_exc(), "workdir": str(kept) if kept else None}
        return cloudpickle.dumps(_failed(type(error).__name__, describe(error), **about))  # type: ignore[no-any-return]
    runner.end_scratch(keep=False)
    return packed


def _failed(error_class: str, message: str, **more: Any) -> dict[str, Any]:
    return {"status": "failed", "error_class": error_class, "error_message": message, **more}


def _mapping(value: Any) -> dict[str, Any]:
    if hasattr(value, "keys"):
        return dict(value)
    return {} if value is None else {"value": value}


def _outcome(task: Future[bytes], future: Execution) -> dict[str, Any]:
    """What came back for one structure; a runner that could not start stops the work."""
    from pickle import loads

    try:
        outcome: dict[str, Any] = loads(task.result())
    except Exception as error:
        return _failed(type(error).__name__, describe(error))
    if outcome["status"] == "broken":
        future.stop(outcome["error_message"])
    return outcome


def _row(outcome: dict[str, Any]) -> dict[str, Any]:
    """The row of one structure from what came back for it."""
    about = {n: outcome.get(n) for n in ("status", "error_class", "error_message", "traceback", "workdir")}
    return {**about, **outcome.get("row", {})}


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows with all columns, so that a failed one does not break a reduction."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
