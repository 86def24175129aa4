"""Why a block is not stored: exceptions inside the readers, one line for a crystallographer."""

from __future__ import annotations

from mlmat.errors import ReadError
from mlmat.reader.common.block import Outcome

#: Longest reason that is kept, in characters.
MAX_REASON = 300


class Refused(ReadError):  # noqa: N818 - reads better where it is caught
    """The block makes no sense as a crystal."""

    outcome: Outcome = "rejected"


class NotACrystal(Refused):
    """There is no structure to be read: the syntax fails, or cell or sites are missing."""

    outcome: Outcome = "unreadable"


def one_line(text: str) -> str:
    """The text without line breaks and control characters, at most `MAX_REASON` long."""
    short = " ".join(text[: 4 * MAX_REASON].split())
    clean = short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)
    return clean if len(clean) <= MAX_REASON else clean[: MAX_REASON - 1] + "…"


def some(names: list[str], most: int = 3) -> str:
    """The first few of many labels: `O1, O2, O3 and 7 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
