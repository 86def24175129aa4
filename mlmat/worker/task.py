"""What runs on a worker: a batch of structures in, frames of rows out. Nothing here raises towards parsl.

parsl cannot carry every exception home (one that cannot be unpickled hangs every later future), so that a failure
travels as data: a failed row, or a note in the frame that the runner itself could not start.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat import arrow_frames, provenance
from mlmat.worker.messages import OtherVersions, to_frame
from mlmat.worker.outcome import outcomes_of
from mlmat.worker.packing import BatchContext, pack
from mlmat.worker.ready import broken, ready
from mlmat.worker.sent import wait_until_sent

if TYPE_CHECKING:
    from mlmat.methods.load import RunnerSpec


def run_task(spec: RunnerSpec, context: BatchContext, structures: bytes) -> list[bytes]:
    """Compute a batch (Arrow IPC of geometry): its frames, or one that says why the runner could not start.

    A worker process computes in a child of its own, which may crash or exceed its limits; a thread may not.
    """
    if context.driver not in ("", provenance.here()):
        from mlmat.worker.sandbox import compute

        wait_until_sent()
        if other := provenance.different(context.versions):
            return [to_frame(OtherVersions(f"{provenance.host()} ({sys.prefix}): {other}"))]
        try:
            return compute(spec, context, structures)
        except Exception as error:  # no room, no process: this host's trouble, no structure's
            return [to_frame(broken(error))]
    try:
        runner = ready(spec)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return [to_frame(broken(error))]
    from mlmat.materials.structure import from_table

    table = arrow_frames.from_ipc(structures)
    outcomes = outcomes_of(runner, list(from_table(table)), Path(context.scratch))
    return [pack(context, runner.columns, table["structure_id"].to_pylist(), outcomes)]
