"""`execute_runner`: a runner over its own files, one parsl task per call of `run`, reduced to a DataFrame."""

from __future__ import annotations

import tempfile
import threading
import traceback
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlmat import parsl_config
from mlmat.runner._base import Unreadable
from mlmat.runner._load import recipe_of_object
from mlmat.runner._task import _kept, describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from mlmat.runner._base import WrappedAtomsRunner
    from mlmat.runner._load import Recipe

#: Tasks handed to parsl ahead of their results.
WINDOW = 1_000


class ReducesRows(Protocol):
    """Anything with `reduce(rows)`, rows being one mapping per call of `run`."""

    def reduce(self, rows: Sequence[dict[str, Any]]) -> Any:
        """The table that the rows make."""


def execute_runner(runner: WrappedAtomsRunner, reduction: ReducesRows, config: Any = "threads") -> Future[Any]:
    """Run every structure of `runner.files` as a parsl task; the future holds `reduction.reduce(rows)`.

    A row is what `run` returned, with `file`, `status` (ok or failed), `error_class` and `error_message`; a failed one
    has None in the runner's columns. Uses the parsl DataFlowKernel that is loaded, else starts one on config
    (`threads`, `local`, a file, or a parsl Config) and cleans it up. Raises RunnerError when the runner cannot travel.
    """
    recipe = recipe_of_object(runner)
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    loaded = parsl_config.loaded_kernel()

    def work() -> None:
        try:
            with _kernel(loaded, config) as kernel:
                rows = list(_rows(kernel, recipe, runner))
            future.set_result(reduction.reduce(_filled(rows)))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="mlmat-execute", daemon=False).start()
    return future


@contextmanager
def _kernel(loaded: Any, config: Any) -> Iterator[Any]:
    if loaded is not None:
        yield loaded
        return
    with (
        tempfile.TemporaryDirectory(prefix="mlmat-") as folder,
        parsl_config.kernel(config, Path(folder)) as kernel,
    ):
        yield kernel


def _rows(kernel: Any, recipe: Recipe, runner: WrappedAtomsRunner) -> Iterator[dict[str, Any]]:
    """Rows in the order of the files, with a bounded number of tasks under way."""
    scratch = str(Path(tempfile.gettempdir()) / "mlmat-scratch")
    waiting: deque[tuple[str, Any]] = deque()
    for label, found in runner.sources():
        if isinstance(found, Unreadable):
            waiting.append((label, _failed(found.error_class, found.reason)))
        else:
            waiting.append((label, parsl_config.submit(kernel, run_one, recipe, found, scratch)))
        while len(waiting) > WINDOW:
            yield _row(*waiting.popleft())
    while waiting:
        yield _row(*waiting.popleft())


def run_one(recipe: Recipe, atoms: Atoms, scratch: str) -> bytes:
    """One call of `run` on a worker; its row, or its failure, as bytes that the driver can always read."""
    import cloudpickle

    runner = None
    try:
        runner = _kept(recipe)
        runner.begin_scratch(Path(scratch))
        row = runner.run(atoms)
        packed: bytes = cloudpickle.dumps({"status": "ok", "row": row})
        runner.end_scratch(keep=False)
        return packed
    except (Exception, SystemExit) as error:
        kept = runner.end_scratch(keep=True) if runner is not None else None
        text = traceback.format_exc()
        return cloudpickle.dumps(  # type: ignore[no-any-return]
            _failed(type(error).__name__, describe(error), traceback=text, workdir=str(kept) if kept else None)
        )


def _failed(error_class: str, message: str, **more: Any) -> dict[str, Any]:
    return {"status": "failed", "error_class": error_class, "error_message": message, **more}


def _row(label: str, outcome: Any) -> dict[str, Any]:
    """The row of one structure from what came back for it."""
    from pickle import loads

    if isinstance(outcome, Future):
        try:
            outcome = loads(outcome.result())
        except Exception as error:
            outcome = _failed(type(error).__name__, describe(error))
    value = outcome.get("row")
    own = dict(value) if hasattr(value, "keys") else {} if value is None else {"value": value}
    about = {name: outcome.get(name) for name in ("status", "error_class", "error_message")}
    return {"file": label, **about, **own}


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows with all columns, so that a failed one does not break a reduction."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
