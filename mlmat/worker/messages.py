"""What a worker says about a batch, and how that travels: each message is a frame (`mlmat.arrow_frames`).

Frames of results go into the journal and the store as they are. Their head is read by every version of mlmat: its keys
do not change.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat import arrow_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Results:
    """Rows of structures, ok and failed; failures: how many by error class; seconds: wall time of their runs."""

    ok: int
    failed: int
    failures: dict[str, int]
    seconds: float
    #: The frame itself, which the journal keeps.
    frame: bytes = field(default=b"", repr=False)

    @property
    def count(self) -> int:
        """Structures with a row."""
        return self.ok + self.failed


@dataclass(frozen=True, slots=True)
class LostStructures:
    """Structures during which the process that computed them ended; how, after how long, and its last output."""

    lost: list[str]
    how: str
    seconds: float | None = None
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class RunnerBroken:
    """The runner could not be set up; broken: host and reason; rest: structures that wait for it, None for all."""

    broken: str
    traceback: str = ""
    rest: list[str] | None = None


@dataclass(frozen=True, slots=True)
class OtherVersions:
    """The worker has other versions than the driver of what makes the numbers; other: host and which."""

    other: str


Message = Results | LostStructures | RunnerBroken | OtherVersions
#: The key of a frame's head that tells its kind.
_KINDS: dict[str, type[Any]] = {"ok": Results, "lost": LostStructures, "broken": RunnerBroken, "other": OtherVersions}


def results_frame(tables: Mapping[str, pa.Table], failures: Mapping[str, int], seconds: float) -> bytes:
    """The frame of a batch's rows; table `result` has one for each structure."""
    failed = sum(failures.values())
    ok = tables["result"].num_rows - failed
    return arrow_frames.pack(tables, ok=ok, failed=failed, failures=dict(failures), seconds=seconds)


def to_frame(message: LostStructures | RunnerBroken | OtherVersions) -> bytes:
    """A message without rows as a frame."""
    return arrow_frames.pack({}, **{name: value for name, value in asdict(message).items() if value is not None})


def from_frame(frame: bytes) -> Message:
    """What a frame says. Raises ValueError for one that says nothing known."""
    head = arrow_frames.meta_of(frame)
    for key, kind in _KINDS.items():
        if key in head:
            return kind(**head, frame=frame) if kind is Results else kind(**head)  # type: ignore[no-any-return]
    raise ValueError(f"a frame of an unknown kind: {', '.join(head) or 'empty'}")


def from_frames(frames: list[bytes]) -> Iterator[Message]:
    """What several frames say."""
    return map(from_frame, frames)
