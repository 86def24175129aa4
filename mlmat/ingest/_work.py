"""What is read, one item after another: files as they are, containers member by member."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlmat.ingest._find import STDIN
from mlmat.ingest._members import Broken, Note, container_of, is_table
from mlmat.ingest._read import Part, about_file
from mlmat.processes.isolation import Crashed, isolated_stream
from mlmat.provenance import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlmat.container import Member
    from mlmat.reader import Limits

#: A file by its path, a part by the path of its container and its place there.
Key = str | tuple[str, int]
#: Bytes of a container that make about as much work as one file.
_BYTES_A_FILE = 4_000
#: Characters of text that wait to be written, at most about.
HEAVY = 64 * 1024**2


@dataclass(slots=True)
class Progress:
    """A container on its way: members handed out, members whose rows came back.

    begun: whether the store has heard of this reading of it before; cut: whether something that may pass kept the rest
    of it from being read, so that what is not seen is not gone and the next ingest tries again.
    """

    path: str
    size: int
    mtime_ns: int
    given: int = 0
    back: int = 0
    ended: bool = False
    begun: bool = False
    cut: bool = False

    @property
    def done(self) -> bool:
        """Whether all of it was read."""
        return self.ended and self.back == self.given


@dataclass(slots=True)
class Work:
    """The items of an ingest, made while they are asked for. order: the keys of what was handed out and is not back."""

    files: Sequence[str]
    column: str | None
    limits: Limits
    time_limit: float
    stdin: Part | None = None
    more: Callable[[int], None] = lambda _: None
    order: deque[Key] = field(default_factory=deque)
    containers: dict[str, Progress] = field(default_factory=dict)
    other: int = 0

    def __iter__(self) -> Iterator[str | Part]:
        for item in self._items():
            self.order.append(key_of(item))
            yield item

    def _items(self) -> Iterator[str | Part]:
        for path in self.files:
            if path == STDIN and self.stdin is not None:
                yield self.stdin
            elif container_of(path, self.column) is not None and os.path.isfile(path):
                yield from self._parts(path)
            else:
                yield path

    def _parts(self, path: str) -> Iterator[Part]:
        about = about_file(path)
        state = self.containers[path] = Progress(path, about["file_size"], about["file_mtime_ns"])
        announced = 1  # the container was counted as one
        found = isolated_stream(
            "mlmat.ingest._members:stream", path, self.column, self.limits, time_limit=self.time_limit
        )
        for one in found:
            if isinstance(one, Note):
                self.other += one.other
                announced += self._announce((one.total or 0) - announced)
                continue
            announced += self._announce(state.given + 1 - announced)
            yield self._part(state, one)
        state.ended = not state.cut

    def _announce(self, count: int) -> int:
        if count > 0:
            self.more(count)
        return max(count, 0)

    def _part(self, state: Progress, one: Member | Broken | Crashed) -> Part:
        number = state.given
        state.given += 1
        if isinstance(one, Crashed):
            one = Broken(f"reading it {one.reason}", "unreadable", "")
        state.cut |= not one.final
        if isinstance(one, Broken):
            column = self.column if is_table(state.path, self.column) else None
            return Part(state.path, number, None, state.size, error=one.reason, outcome=one.outcome, sha256=one.sha256,
                        column=column)  # fmt: skip
        return Part(state.path, number, one.name, state.size, one.file, one.data, one.key_values, one.error,
                    one.outcome, column=one.column)  # fmt: skip

    @property
    def has_containers(self) -> bool:
        """Whether one of the files is a container."""
        return any(container_of(path, self.column) is not None for path in self.files)

    def back(self, item: str | Part) -> int:
        """The rows of an item came back; the number of members that it was."""
        if isinstance(item, str) or item.path not in self.containers:
            return 0
        self.containers[item.path].back += 1
        return item.name is not None

    def pending_updates(self) -> list[Progress]:
        """Containers of which something is to be written, as they are now; what is done is forgotten here."""
        pending_updates = [replace(one) for one in self.containers.values() if one.back]
        for one in pending_updates:
            self.containers[one.path].begun = True
            if one.done:
                del self.containers[one.path]
        return pending_updates

    def processes(self, cores: int) -> int:
        """How many processes are worth starting."""
        pieces = sum(self._pieces(path) for path in self.files)
        return max(1, min(cores, pieces // 8))

    def _pieces(self, path: str) -> int:
        if container_of(path, self.column) is None:
            return 1
        return 1 + int(about_file(path)["file_size"]) // _BYTES_A_FILE


def key_of(item: str | Part) -> Key:
    """What tells an item from all others."""
    return item if isinstance(item, str) else (item.path, item.number)


def problem_of(item: str | Part) -> list[str]:
    """What keeps a container from being read, in one line, for an item that says so."""
    return [f"{clean(item.path)}: {item.error}"] if isinstance(item, Part) and item.name is None else []


def weight(rows: Any) -> int:
    """Characters of text in the rows of an item."""
    return 0 if isinstance(rows, Crashed) else sum(len(row["content"] or "") for row in rows)


def in_order(
    results: Iterable[tuple[Any, Any]], work: Work, told: Callable[[int], None], most: int
) -> Iterator[tuple[Any, Any]]:
    """Results in the order of the work, whichever process was first: of two equal structures the same is stored always.

    most: results that wait for a slow one at most; it must not keep all the others in memory.
    """
    early: dict[Key, tuple[Any, Any]] = {}
    waiting = 0
    done: set[Key] = set()
    order = work.order
    for item, rows in results:
        told(1)
        early[key_of(item)] = (item, rows)
        waiting += weight(rows)
        while order and (order[0] in early or order[0] in done):
            key = order.popleft()
            if key in early:
                waiting -= weight(early[key][1])
                yield early.pop(key)
            done.discard(key)
        if len(early) >= most or waiting >= HEAVY:
            done.update(early)
            yield from early.values()
            early, waiting = {}, 0
