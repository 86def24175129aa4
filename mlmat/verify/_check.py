"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: Places that are named of those that are wrong.
SOME = 3


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how many, how many are not as they should be, and what to do.

    level: ok; note, something to know; wrong, the store or a number is not what it says it is.
    """

    what: str
    looked_at: int
    found: int
    level: Literal["ok", "note", "wrong"]
    says: str = ""
    some: list[str] = field(default_factory=list)


def judged(
    what: str, looked_at: int, bad: list[str], says: str, level: Literal["note", "wrong"] = "wrong", good: str = ""
) -> Check:
    """A check that is ok where nothing is bad."""
    if not bad:
        return Check(what, looked_at, 0, "ok", good)
    return Check(what, looked_at, len(bad), level, says, bad[:SOME])
