"""JSON Lines: every line is a member, a structure in JSON (OPTIMADE or what else the readers take)."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING

from mlmat.container._compressed import bare_name, lines
from mlmat.container._member import Member, Options

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "JSON Lines"
#: Longest line, in bytes, that is parsed here: the values of JSON take up to 25 times the memory of their text.
_PARSED = 16 * 1024**2
PATTERNS = tuple(f"*.{kind}{packed}" for kind in ("jsonl", "ndjson") for packed in ("", ".gz", ".bz2", ".xz"))


def members(path: str, options: Options) -> Iterator[Member]:
    """The lines, called by the id that they have, else by their number. Raises Refused."""
    file = PurePath(bare_name(path)).name
    for number, text in lines(path, options.max_bytes):
        if text is None:
            yield Member(str(number), error=f"too large: a line of more than {options.max_bytes / 2**20:.6g} MiB",
                         outcome="rejected")  # fmt: skip
            continue
        found = _parsed(text) if len(text) <= _PARSED else None
        if not _is_header(text, found):
            yield Member(_name(found, number), text, file)


def _is_header(text: bytes, found: object) -> bool:
    """Whether this line describes the file: OPTIMADE's first line, and its `info` lines."""
    if b'"attributes"' in text and b'"structures"' in text:
        return False
    return isinstance(found, dict) and ("x-optimade" in found or found.get("type") == "info")


def _name(found: object, number: int) -> str:
    name = found.get("id") if isinstance(found, dict) else None
    return str(name) if isinstance(name, str | int) and str(name).strip() else str(number)


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
