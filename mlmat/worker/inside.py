"""The child of a worker: batches in, frames out. What goes wrong in here, crashes in C code included, ends only this.

parent: (spec, context, structures as Arrow IPC)
child:  ("broken", RunnerBroken)  the runner could not be set up
    or  ("ready",), ("frame", structures so far, bytes), ...
"""

from __future__ import annotations

import faulthandler
import sys
import time
import traceback
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import arrow_frames
from mlmat.processes import child
from mlmat.worker.note import Note
from mlmat.worker.outcome import OutcomeOf, one_by_one, outcomes_of
from mlmat.worker.packing import BatchContext, pack
from mlmat.worker.ready import broken, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlmat.methods.load import RunnerSpec
    from mlmat.runner import WrappedAtomsRunner

#: Seconds after which what was computed is sent on: a crash repeats no more than that.
SEND_EVERY = 1.0


def serve(fd: int, note_fd: int) -> None:
    """Compute what the parent sends until it hangs up."""
    child.end_with_parent()
    import pandas  # noqa: F401 - pyarrow imports it with the first value: that is not the first structure's time

    note, pipe = Note(note_fd), Connection(fd)
    faulthandler.enable(file=note.file, all_threads=False)
    try:
        while True:
            spec, context, structures = pipe.recv()
            for message in _answers(spec, context, structures, note):
                pipe.send(message)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except BaseException:
        note.file.write(traceback.format_exc().encode(errors="replace"))
        raise


def _answers(spec: RunnerSpec, context: BatchContext, structures: bytes, note: Note) -> Iterator[tuple[Any, ...]]:
    child.limit_memory(context.memory_limit)
    try:
        runner = ready(spec)
    except BaseException as error:
        yield ("broken", broken(error))
        return
    yield ("ready",)
    table = arrow_frames.from_ipc(structures)
    ids: list[str] = table["structure_id"].to_pylist()
    outcomes: list[OutcomeOf] = []
    sent, since = 0, time.monotonic()
    for outcome in _outcomes(runner, table, context, note):
        outcomes.append(outcome)
        done = sent + len(outcomes)
        if done == len(ids) or time.monotonic() - since > SEND_EVERY:
            yield ("frame", done, pack(context, runner.columns, ids[sent:done], outcomes))
            outcomes, sent, since = [], done, time.monotonic()


def _outcomes(
    runner: WrappedAtomsRunner, structures: pa.Table, context: BatchContext, note: Note
) -> Iterator[OutcomeOf]:
    """What came of each structure; the note says at each moment which ones are at work."""
    from mlmat.materials.structure import from_table

    made = from_table(structures)
    step = 1 if one_by_one(runner) else len(structures)
    for first in range(0, len(structures), step):
        together = list(islice(made, step))
        note.begin(first, len(together))
        found = list(outcomes_of(runner, together, Path(context.scratch)))
        note.end()
        for outcome in found:
            if outcome.error_class == "MemoryError" and context.memory_limit:
                outcome.error_message = f"needs more than {context.memory_limit / 1e9:g} GB of memory (--memory-limit)"
            yield outcome


if __name__ == "__main__":
    # What this process sends must be of the modules that the parent knows, not of __main__.
    from mlmat.worker.inside import serve as serve_as_module

    serve_as_module(int(sys.argv[1]), int(sys.argv[2]))
