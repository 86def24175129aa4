"""What a container hands on: its members, or why one cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlmat.errors import ReadError

#: What becomes of a member that no reader gets to see.
Refusal = Literal["rejected", "unreadable"]


class Refused(ReadError):  # noqa: N818 - reads better where it is caught
    """A container, or the rest of it, that is not read.

    outcome: `rejected` when it makes no sense or is not safe, `unreadable` when it is damaged. final: whether the same
    file would be refused again; one that is not is tried again by the next ingest.
    """

    def __init__(self, reason: str, outcome: Refusal = "unreadable", *, final: bool = True) -> None:
        super().__init__(reason)
        self.outcome: Refusal = outcome
        self.final = final


@dataclass(frozen=True, slots=True)
class Options:
    """What a container is told.

    max_bytes: size of one member at most; column: the column of a table that holds the structures; wanted: whether
    members of this name are read (the others are named, not unpacked).
    """

    max_bytes: int = 256 * 1024 * 1024
    column: str | None = None
    wanted: Callable[[str], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Member:
    """One part of a container.

    name: unique in the container; file: the file name that chooses the reader; data: its content; key_values: what
    stands beside it. error: why it cannot be read, with its outcome. other: not wanted, and not read. column: of the
    table that it is a row of. final: whether the error would be the same the next time.
    """

    name: str
    data: bytes = b""
    file: str = ""
    key_values: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    error: str | None = None
    outcome: Refusal = "unreadable"
    other: bool = False
    column: str | None = None
    final: bool = True
