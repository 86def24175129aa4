"""Names that must differ from one another."""

from __future__ import annotations


class Unique:
    """Gives each name once: the second of a name gets _2, and so on."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        """The name, or the name with a number where it is taken."""
        count = self._given[name] = self._given.get(name, 0) + 1
        return name if count == 1 else self(f"{name}_{count}")
