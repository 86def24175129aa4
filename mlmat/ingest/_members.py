"""The members of one container, in a process of its own: an archive may be as hostile as a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.container import Member, Options, Refused, container_for
from mlmat.ingest._find import is_structure
from mlmat.ingest._read import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.container import Container, Refusal
    from mlmat.reader import Limits


EMPTY = "nothing in it that a reader takes"


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a container beside its members: how many will come, how many others lie beside them."""

    total: int | None = None
    other: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """The container, or the rest of it, cannot be read; sha256: of the file, where it would be the same again."""

    reason: str
    outcome: Refusal
    sha256: str

    @property
    def final(self) -> bool:
        """Whether it would be the same again."""
        return bool(self.sha256)


def container_of(path: str, column: str | None) -> Container | None:
    """The container that reads a file of this name, or None. A table without a column is one that says so."""
    return container_for(path, column=column is not None) or container_for(path, column=True)


def is_table(path: str, column: str | None) -> bool:
    """Whether a file of this name is read as a table with this column."""
    return column is not None and getattr(container_of(path, column), "COLUMN", False)


def stream(path: str, column: str | None, limits: Limits) -> Iterator[Member | Note | Broken]:
    """The members of a container, each under a name of its own; notes; at last what stopped it."""
    container = container_of(path, column)
    assert container is not None
    options = Options(limits.max_bytes, column, is_structure)
    try:
        yield Note(_count(container, path, options))
        yield from _named_apart(container.members(path, options), path)
    except Refused as refused:
        yield Broken(str(refused), refused.outcome, provenance.sha256(path) if refused.final else "")
    except OSError as error:
        yield Broken(describe(error), "unreadable", "")


def _count(container: Container, path: str, options: Options) -> int | None:
    count = getattr(container, "count", None)
    return count(path, options) if count else None


def _named_apart(members: Iterator[Member], path: str) -> Iterator[Member | Note | Broken]:
    """The members that are read; a name that comes again gets a number, so that rows can be told apart."""
    seen: dict[int, int] = {}
    other = 0
    for member in members:
        if member.other:
            other += 1
            continue
        times = seen[hash(member.name)] = seen.get(hash(member.name), 0) + 1
        yield member if times == 1 else replace(member, name=f"{member.name}#{times}")
    yield Note(other=other)
    if not seen:
        yield Broken(EMPTY, "unreadable", provenance.sha256(path))
