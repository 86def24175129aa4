"""A worker computes in a child process: it crashes, hangs, or eats its memory there, and costs one structure.

The child says at each moment which structures it is at (`_note.py`). When it ends, those go back to the driver as lost,
which decides as it does for a lost worker; one that takes too long has failed (`TimeLimit`), and where several run
together they are tried in halves to find it. What the child had sent stays, the rest goes to a new child.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlmat import arrow_frames, provenance
from mlmat.bisecting import halves
from mlmat.processes import child
from mlmat.processes.gpus import pinned
from mlmat.worker.messages import LostStructures, RunnerBroken, to_frame
from mlmat.worker.note import Note
from mlmat.worker.packing import BatchContext, failure_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlmat.methods.load import RunnerSpec

#: Seconds between two looks at a child that says nothing.
LOOK = 0.5
#: Seconds in which a runner must be set up, when there is a time limit: a large model takes a while.
START = 600.0


@dataclass(slots=True)
class Trouble:
    """How a child ended: the structures it was at (numbers in the batch), and what is known."""

    first: int
    count: int
    seconds: float
    late: bool
    how: str
    text: str


@dataclass(slots=True)
class Answer:
    """What came of a batch: frames for so many structures, and trouble or a runner that did not start."""

    frames: list[bytes] = field(default_factory=list)
    done: int = 0
    ready: bool = False
    broken: RunnerBroken | None = None
    trouble: Trouble | None = None


class Sandbox:
    """A child process that is kept from one batch to the next."""

    def __init__(self) -> None:
        self.note = Note()
        fd = self.note.file.fileno()
        # In a session of its own, so that what a runner starts (a DFT code) can be ended with it.
        self.popen, self.pipe = child.start("mlmat.worker.inside", str(fd), pass_fds=[fd], session=True, **pinned())

    def run(self, spec: RunnerSpec, context: BatchContext, structures: pa.Table) -> Answer:
        """Compute a batch, or as much of it as the child survives."""
        answer = Answer()
        self.note.end()
        with suppress(BrokenPipeError):  # it has died since: seen below
            self.pipe.send((spec, context, arrow_frames.to_ipc(structures)))
        while answer.done < len(structures) and not (answer.broken or answer.trouble):
            try:
                if self.pipe.poll(LOOK):
                    _take(answer, self.pipe.recv())
                elif self.popen.poll() is not None:
                    answer.trouble = self._trouble()
                elif _is_late(answer, context.time_limit, at := self.note.at()):
                    answer.trouble = self._trouble(late=at)
            except (EOFError, OSError):
                answer.trouble = self._trouble()
        return answer

    def _trouble(self, late: tuple[int, int, float] | None = None) -> Trouble:
        """End it; late: what it was at, and for how long, when that was too long."""
        first, count, seconds = late or self.note.at()
        if late:  # faulthandler then writes where it is, in C code, too
            self.popen.send_signal(signal.SIGABRT)
        code = child.code_of(self.popen, self.pipe)
        self.end()
        return Trouble(first, count, seconds, late is not None, child.name_of(code), self.note.text())

    def end(self) -> int:
        """End the child and what it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        return child.end(self.popen, self.pipe)


def _is_late(answer: Answer, limit: float | None, at: tuple[int, int, float]) -> bool:
    """Whether what a child is at takes too long; structures that run together have the time of all."""
    _, count, seconds = at
    return limit is not None and seconds > (limit * count if answer.ready and count else limit + START)


def _take(answer: Answer, message: tuple[Any, ...]) -> None:
    kind, *what = message
    if kind == "ready":
        answer.ready = True
    elif kind == "broken":
        (answer.broken,) = what
    else:
        answer.done, packed = what
        answer.frames.append(packed)


_local = threading.local()


def compute(spec: RunnerSpec, context: BatchContext, structures: bytes) -> list[bytes]:
    """The frames of a batch, computed in this worker's child; one that says why where the runner does not start."""
    with _ended_with_us():
        todo = deque([arrow_frames.from_ipc(structures)])
        frames: list[bytes] = []
        while todo:
            part = todo.popleft()
            answer = _child().run(spec, context, part)
            frames += answer.frames
            if answer.trouble is not None:
                _local.child = None
                if not answer.ready:
                    answer.broken = _never_started(answer.trouble)
                else:
                    todo.extend(_after(context, part, answer, answer.trouble, frames))
            if answer.broken is not None:
                rest = [one for table in (part.slice(answer.done), *todo) for one in table["structure_id"].to_pylist()]
                return [*frames, to_frame(replace(answer.broken, rest=rest))]
    return frames


def _child() -> Sandbox:
    kept = getattr(_local, "child", None)
    if kept is None or kept.popen.poll() is not None:  # killed while nobody looked
        end_child()
        _local.child = Sandbox()
    return _local.child  # type: ignore[no-any-return]


def end_child() -> None:
    """End the child of this thread, if it has one."""
    if (kept := getattr(_local, "child", None)) is not None:
        kept.end()
        _local.child = None


def _never_started(trouble: Trouble) -> RunnerBroken:
    how = f"took longer than {trouble.seconds:.0f} s" if trouble.late else f"ended its process ({trouble.how})"
    return RunnerBroken(f"{provenance.host()}: the runner {how} while it was set up", trouble.text)


def _after(
    context: BatchContext, part: pa.Table, answer: Answer, trouble: Trouble, frames: list[bytes]
) -> Iterator[pa.Table]:
    """What has to be computed again here; what became of the suspects is added to the frames."""
    # While nothing was at work: it died of packing what is not here yet.
    first, count = (trouble.first, trouble.count) if trouble.count else (answer.done, len(part) - answer.done)
    rest = [part.slice(answer.done, first - answer.done), part.slice(first + count)]
    ids = part["structure_id"][first : first + count].to_pylist()
    if not trouble.late:
        frames.append(to_frame(LostStructures(ids, _how(trouble), trouble.seconds, trouble.text)))
    elif count > 1:
        rest += halves(part.slice(first, count))
    else:
        message = f"took longer than {context.time_limit:g} s; its process was ended"
        more = {"seconds": trouble.seconds, "traceback": trouble.text}
        frames.append(failure_frame(context, ids[0], "TimeLimit", message, **more))
    yield from (table for table in rest if len(table))


def _how(trouble: Trouble) -> str:
    return f"it ended its process ({trouble.how}{'; out of memory?' if trouble.how == 'SIGKILL' else ''})"


@contextmanager
def _ended_with_us() -> Iterator[None]:
    """While a batch is computed, a SIGTERM to this worker ends its child, too, and whatever that has started."""

    def asked(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, asked) if main else None
    try:
        yield
    except BaseException:
        end_child()
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
