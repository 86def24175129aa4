"""Calls in processes that may crash or hang without harm: one file of a million must not stop an ingest.

Each process takes its items one by one over a pipe. One that dies or exceeds the time limit costs exactly the item it
had; a new process goes on with the rest. (`multiprocessing.Pool` hangs in that case, and its children run the caller's
script again; these run this module.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Items handed to a process at once; it starts the next while the last result travels.
CHUNK = 16
#: Memory that a process may use, in bytes.
MEMORY = 6 * 1024**3


@dataclass(frozen=True, slots=True)
class Lost:
    """An item whose process died, and how."""

    reason: str


@dataclass(slots=True)
class _Process:
    popen: subprocess.Popen[bytes]
    pipe: Connection
    items: deque[Any] = field(default_factory=deque)
    since: float = 0.0

    def give(self, items: list[Any]) -> None:
        self.items.extend(items)
        self.since = time.monotonic()
        self.pipe.send(items)

    def end(self) -> int:
        self.pipe.close()
        self.popen.kill()
        return self.popen.wait()


def isolated_map(
    function: str, items: Iterable[Any], *, processes: int, time_limit: float, extra: tuple[Any, ...] = ()
) -> Iterator[tuple[Any, Any]]:
    """Yield (item, function(item, *extra)) in any order; a `Lost` where the process died or took over time_limit s.

    function: `package.module:name`, imported in the processes. An exception of the function counts as its result.
    """
    todo = iter(items)
    pool: list[_Process] = []
    try:
        for chunk in _chunks(todo, processes):
            pool.append(_start(function, extra))
            pool[-1].give(chunk)
        while pool:
            yield from _step(pool, todo, function, extra, time_limit)
    finally:
        for process in pool:
            process.end()


def _chunks(todo: Iterator[Any], count: int) -> Iterator[list[Any]]:
    for _ in range(count):
        if not (chunk := _next_chunk(todo)):
            return
        yield chunk


def _next_chunk(todo: Iterator[Any]) -> list[Any]:
    return list(islice(todo, CHUNK))


def _step(
    pool: list[_Process], todo: Iterator[Any], function: str, extra: tuple[Any, ...], limit: float
) -> Iterator[tuple[Any, Any]]:
    """Take what has arrived, end what hangs, keep everybody busy."""
    wait([process.pipe for process in pool], timeout=0.25)
    for process in list(pool):
        lost = None
        try:
            while process.items and process.pipe.poll():
                result = process.pipe.recv()
                process.since = time.monotonic()
                yield process.items.popleft(), result
        except (EOFError, OSError):
            lost = "died"
        if lost is None and process.items and time.monotonic() - process.since > limit:
            lost = "hangs"
        if lost is not None:
            yield process.items.popleft(), _burial(process, lost, limit)
            _replace(pool, process, function, extra)
        elif not process.items:
            _feed(pool, process, todo)


def _burial(process: _Process, lost: str, limit: float) -> Lost:
    if lost == "hangs":
        process.end()
        return Lost(f"took longer than {limit:g} s")
    try:
        code = process.popen.wait(5)
    except subprocess.TimeoutExpired:
        code = process.end()
    return Lost(f"crashed its process ({_name_of(code)})")


def _name_of(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _replace(pool: list[_Process], dead: _Process, function: str, extra: tuple[Any, ...]) -> None:
    dead.end()
    pool.remove(dead)
    fresh = _start(function, extra)
    fresh.give(list(dead.items))
    pool.append(fresh)


def _feed(pool: list[_Process], process: _Process, todo: Iterator[Any]) -> None:
    if chunk := _next_chunk(todo):
        process.give(chunk)
    else:
        process.end()
        pool.remove(process)


def _start(function: str, extra: tuple[Any, ...]) -> _Process:
    from multiprocessing import Pipe

    ours, theirs = Pipe()
    popen = subprocess.Popen(
        [sys.executable, "-m", "mlmat.isolation", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # ctrl-C is for the parent, which ends its children in order
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    theirs.close()
    ours.send((function, extra))
    return _Process(popen, ours)


def _serve(fd: int) -> None:
    """The process: items in, results out, until the parent hangs up."""
    _limit_memory()
    pipe = Connection(fd)
    try:
        name, extra = pipe.recv()
        module, _, attribute = name.partition(":")
        function = getattr(import_module(module), attribute)
        while True:
            for item in pipe.recv():
                pipe.send(_called(function, item, extra))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _called(function: Any, item: Any, extra: tuple[Any, ...]) -> Any:
    try:
        return function(item, *extra)
    except MemoryError:
        return Lost(f"needs more than {MEMORY // 1024**3} GB of memory")
    except Exception as error:
        return Lost(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _limit_memory() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    if soft == resource.RLIM_INFINITY or soft > wanted:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
