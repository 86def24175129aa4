"""Names and values as other programs take them: numbers stay numbers, and text is never read as one."""

from __future__ import annotations

import re
from typing import Any

_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_CODE = re.compile(r"[+-]?(0\d.*|\d{16,})")
_TRUTHS = frozenset({"t", "f", "true", "false"})


def is_key(name: str) -> bool:
    """Whether a name is letters, digits and _, as keys of ASE have to be."""
    return _KEY.fullmatch(name) is not None


def plain_text(text: str) -> str:
    """One line of text that ASE reads back as text: an id of digits only would become a number, so it gets a _."""
    line = " ".join(text.split())
    return f"_{line}" if _reads_as_something_else(line) else line


def _reads_as_something_else(line: str) -> bool:
    words = re.findall(r"[^\s,]+", line)
    return line.startswith("_JSON ") or (bool(words) and all(_is_number(w) or w.lower() in _TRUTHS for w in words))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def typed(value: Any) -> Any:
    """What a text in the store was before it was text: a number, a truth value, else the text.

    Digits that a number would not give back (007, an id of twenty digits) stay text.
    """
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if _CODE.fullmatch(value):
        return value
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        return number if abs(number) < float("inf") else value
    return value


class Unique:
    """Gives each name once: the second of a name gets _2, and so on."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        """The name, or the name with a number where it is taken."""
        count = self._given[name] = self._given.get(name, 0) + 1
        return name if count == 1 else self(f"{name}_{count}")
