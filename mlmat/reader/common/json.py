"""JSON with the exact text of its parts: one document, or JSON Lines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlmat.reader.common.text import decoded
from mlmat.reader.common.verdict import NotACrystal, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[\s,:]*")
#: Memory in bytes that the values of one text may take, and what a list, an object and a value take of it at least.
_MEMORY, _LIST, _OBJECT, _VALUE = 2 * 1024**3, 72, 200, 40
#: Suffixes of files that hold a document in each line.
LINES = (".jsonl", ".ndjson")


class Node(NamedTuple):
    """A value, the key or position it stands under, and where in `whole` it is written."""

    key: str
    value: Any
    whole: str
    start: int
    end: int

    @property
    def text(self) -> str:
        """The exact text of the value."""
        return self.whole[self.start : self.end]

    def children(self) -> Iterator[Node]:
        """The members of an object or array."""
        at, named, i = _skip(self.whole, self.start + 1), isinstance(self.value, dict), 0
        while at < self.end - 1:
            key: Any = i
            if named:
                key, at = _DECODER.raw_decode(self.whole, at)
            start = _skip(self.whole, at)
            value, end = _DECODER.raw_decode(self.whole, start)
            value = value if named else self.value[i]  # one copy in memory is enough
            yield Node(str(key), value, self.whole, start, end)
            at, i = _skip(self.whole, end), i + 1

    def child(self, key: str) -> Node | None:
        """The member of an object with this key."""
        return next((node for node in self.children() if node.key == key), None)


def documents(name: str, data: bytes) -> Iterator[Node | NotACrystal]:
    """The documents of a file, numbered as keys; a line that is no JSON is an error in its place.

    Raises NotACrystal where the file as a whole is no JSON.
    """
    text = decoded(data)
    _check_memory(text)
    start = _skip(text, 0)
    if start == len(text):
        raise NotACrystal("empty")
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if not name.lower().endswith(LINES):
            raise NotACrystal(f"not JSON: {_message(error)}") from None
    else:
        if not text[end:].strip():
            yield Node("0", value, text, start, end)
            return
        if "\n" not in text[start:]:
            raise NotACrystal("not JSON: something follows the first value")
    yield from _lines(text)


def _check_memory(text: str) -> None:
    """Refuse a text whose values would fill the memory: brackets alone take 25 times as much as they do as text."""
    needed = _LIST * text.count("[") + _OBJECT * text.count("{") + _VALUE * text.count(",")
    if needed > _MEMORY:
        raise Refused(f"too large: its values would take {needed / 2**30:.2g} GiB of memory")


def _lines(text: str) -> Iterator[Node | NotACrystal]:
    for i, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield NotACrystal(f"line {i + 1} is not JSON: {_message(error)}")
        else:
            start = len(line) - len(line.lstrip())
            yield Node(str(i), value, line, start, len(line.rstrip()))


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else "nested too deeply"


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
