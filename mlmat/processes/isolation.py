"""Calls in processes that may crash or hang without harm: one file of a million must not stop an ingest.

Each process takes its items one by one over a pipe. One that dies or exceeds the time limit costs exactly the item it
had; a new process goes on with the rest. (`multiprocessing.Pool` hangs in that case, and its children run the caller's
script again; these run this module.) When the parent is killed its processes end with the item they have.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from mlmat.errors import ReadError
from mlmat.processes import child

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator

#: Items handed to a process at once; it starts the next while the last result travels.
CHUNK = 16
#: Bytes of items that carry their data (in an attribute `data`), after which fewer are handed out at once.
CHUNK_BYTES = 4_000_000
#: Items and seconds that a stream gathers before it sends them.
GATHER, GATHER_SECONDS = 64, 0.1
#: Memory that a process may use, in bytes.
MEMORY = 6 * 1024**3
#: Seconds in which a process must have imported what it needs.
START = 120.0
#: Seconds after the time limit when a process ends itself, in case that nobody is left to end it.
MARGIN = 5.0


@dataclass(frozen=True, slots=True)
class Crashed:
    """An item whose process died, and how."""

    reason: str


@dataclass(slots=True)
class _Process:
    popen: subprocess.Popen[bytes]
    pipe: Connection
    items: deque[Any] = field(default_factory=deque)
    since: float = field(default_factory=time.monotonic)
    ready: bool = False

    def give(self, items: list[Any]) -> None:
        self.items.extend(items)
        self.since = time.monotonic()
        self.pipe.send(items)

    def take(self) -> Iterator[tuple[Any, Any]]:
        """What has arrived; the first message only says that the imports are done."""
        while self.items and self.pipe.poll():
            result = self.pipe.recv()
            self.since = time.monotonic()
            if self.ready:
                yield self.items.popleft(), result
            self.ready = True

    def late(self, limit: float) -> bool:
        """Whether it hangs. Importing does not count against the first item."""
        return bool(self.items) and time.monotonic() - self.since > (limit if self.ready else START)

    def end(self) -> int:
        return child.end(self.popen, self.pipe)


def isolated_map(
    function: str, items: Iterable[Any], *, processes: int, time_limit: float, extra: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, Any]]:
    """Yield (item, function(item, *extra)) in any order; a `Crashed` where the process died or took over time_limit s.

    function: `package.module:name`, imported in the processes. An exception of the function makes a `Crashed`, too.
    Raises ReadError when the processes cannot even start: that is no item's fault.
    """
    todo = iter(items)
    task = (function, extra, time_limit)
    pool: list[_Process] = []
    try:
        for chunk in _chunks(todo, processes):
            pool.append(_start(task))
            pool[-1].give(chunk)
        while pool:
            yield from _step(pool, todo, task)
    finally:
        for process in pool:
            process.end()


def _chunks(todo: Iterator[Any], count: int) -> Iterator[list[Any]]:
    for _ in range(count):
        if not (chunk := _next_chunk(todo)):
            return
        yield chunk


def _next_chunk(todo: Iterator[Any]) -> list[Any]:
    chunk: list[Any] = []
    size = 0
    for item in islice(todo, CHUNK):
        chunk.append(item)
        size += _size(item)
        if size >= CHUNK_BYTES:
            break
    return chunk


def _size(item: Any) -> int:
    return len(getattr(item, "data", b""))


def _step(pool: list[_Process], todo: Iterator[Any], task: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Take what has arrived, end what hangs, keep everybody busy."""
    limit: float = task[-1]
    wait([process.pipe for process in pool], timeout=0.25)
    for process in list(pool):
        died = False
        try:
            yield from process.take()
        except (EOFError, OSError):
            died = True
        if died or process.late(limit):
            lost = _reap(process, died, limit)
            yield process.items.popleft(), lost
            _replace(pool, process, task)
        elif not process.items:
            _feed(pool, process, todo)


def _reap(process: _Process, died: bool, limit: float) -> Crashed:
    code = child.code_of(process.popen, process.pipe) if died else process.end()
    how = child.name_of(code)
    if not process.ready:
        raise ReadError(f"a process that should read files did not start ({how}); nothing is known of them")
    if not died or code == -signal.SIGALRM:
        return Crashed(f"took longer than {limit:g} s")
    return Crashed(f"crashed its process ({how})")


def _replace(pool: list[_Process], dead: _Process, task: tuple[Any, ...]) -> None:
    dead.end()
    pool.remove(dead)
    fresh = _start(task)
    fresh.give(list(dead.items))
    pool.append(fresh)


def _feed(pool: list[_Process], process: _Process, todo: Iterator[Any]) -> None:
    if chunk := _next_chunk(todo):
        process.give(chunk)
    else:
        process.end()
        pool.remove(process)


def isolated_stream(function: str, *arguments: Any, time_limit: float) -> Iterator[Any]:
    """Yield what the generator function(*arguments) yields in a process of its own; a `Crashed` where it failed.

    function: `package.module:name`. The time limit in s is for each item. Memory is bounded: the process waits while
    nobody takes its items.
    """
    process = _start((function, arguments, time_limit), "stream")
    try:
        while process.pipe.poll(time_limit + GATHER_SECONDS if process.ready else START):
            try:
                items = process.pipe.recv()
            except (EOFError, OSError):
                yield _reap(process, True, time_limit)
                return
            if items is None and process.ready:
                return
            process.ready = True
            yield from items or ()
        yield _reap(process, False, time_limit)
    finally:
        process.end()


def _start(task: tuple[Any, ...], how: str = "map") -> _Process:
    # Ctrl-C is for the parent, which ends its children in order.
    popen, pipe = child.start("mlmat.processes.isolation", how, session=True, OMP_NUM_THREADS="1")
    pipe.send(task)
    return _Process(popen, pipe)


def _serve(fd: int, how: str) -> None:
    """The process: until its work is done or the parent hangs up."""
    child.limit_memory(MEMORY)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    pipe = Connection(fd)
    try:
        name, extra, time_limit = pipe.recv()
        module, _, attribute = name.partition(":")
        function = getattr(import_module(module), attribute)
        pipe.send(None)
        {"map": _serve_items, "stream": _serve_stream}[how](pipe, function, extra, time_limit)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _serve_items(pipe: Connection, function: Any, extra: tuple[Any, ...], time_limit: float) -> None:
    """Items in, results out."""
    while True:
        for item in pipe.recv():
            signal.setitimer(signal.ITIMER_REAL, time_limit + MARGIN)
            result = _called(function, item, *extra)
            signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.send(result)


def _serve_stream(pipe: Connection, function: Any, extra: tuple[Any, ...], time_limit: float) -> None:
    """What a generator yields, in lists; None at the end."""
    found = _called(function, *extra)
    gathered: list[Any] = []
    since, size = time.monotonic(), 0
    while True:
        signal.setitimer(signal.ITIMER_REAL, time_limit + MARGIN)
        item = found if isinstance(found, Crashed) else _called(next, found, None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        last = item is None or isinstance(item, Crashed)
        gathered += [] if item is None else [item]
        size += _size(item)
        late = time.monotonic() - since > GATHER_SECONDS
        if last or late or len(gathered) >= GATHER or size >= CHUNK_BYTES:
            pipe.send(gathered)
            gathered, since, size = [], time.monotonic(), 0
        if last:
            pipe.send(None)
            return


def _called(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except MemoryError:
        return Crashed(f"needs more than {MEMORY // 1024**3} GB of memory")
    except Exception as error:
        return Crashed(f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}")


if __name__ == "__main__":
    # What this process sends must be of the module that the parent knows, not of __main__.
    import_module("mlmat.processes.isolation")._serve(int(sys.argv[1]), sys.argv[2])
