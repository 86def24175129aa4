"""Runners that a worker keeps set up, from one batch to the next."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.worker.messages import RunnerBroken
from mlmat.worker.outcome import why

if TYPE_CHECKING:
    from mlmat.methods.load import RunnerSpec
    from mlmat.runner import WrappedAtomsRunner

#: Runners that a worker keeps set up.
KEPT = 4
_local = threading.local()


def ready(spec: RunnerSpec) -> WrappedAtomsRunner:
    """The runner of this thread: built and set up once, kept for the batches that follow."""
    runners: dict[str, WrappedAtomsRunner] = _local.__dict__.setdefault("runners", {})
    if spec.key not in runners:
        runner = spec.build()
        runner.setup()
        while len(runners) >= KEPT:  # a notebook edits its runner many times, and each may hold a model
            runners.pop(next(iter(runners)))
        runners[spec.key] = runner
    return runners[spec.key]


def broken(error: BaseException) -> RunnerBroken:
    """The message that a runner could not be set up here."""
    text = "".join(traceback.format_exception(error))
    return RunnerBroken(f"{provenance.host()}: {why(error)}", text)
