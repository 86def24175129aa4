"""Which method each row of a file belongs to: one method has energies of one scheme."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Places:
    """The method that a file is imported as, and those that take rows of other schemes: `NAME SCHEME`."""

    def __init__(self, main: Mapping[str, Any], known: str | None, made: Callable[[str], dict[str, Any]]) -> None:
        """main: row of its method; known: its scheme, where it has one; made: the row of a method of a name."""
        self.main = main
        self.scheme = known
        self.methods: dict[str, Mapping[str, Any]] = {}
        self.moved: Counter[str] = Counter()
        self.silent = 0
        self._made = made

    def place(self, batch: Sequence[dict[str, Any]], given: str | None) -> None:
        """Give each row its method and its scheme; given: the scheme of the whole file, where somebody says so."""
        told = [row.pop("fits", []) for row in batch]
        fits = [([given] if given else found) if row["outcome"] == "imported" else []
                for row, found in zip(batch, told, strict=True)]  # fmt: skip
        if self.scheme is None:
            self.scheme = _chosen(fits)
        for row, schemes in zip(batch, fits, strict=True):
            row["scheme"], method = self._of(schemes)
            row["method_id"] = method["method_id"]
            if row["outcome"] == "imported":
                self.methods[method["method_id"]] = method
                self.silent += row["scheme"] is None

    def _of(self, schemes: list[str]) -> tuple[str | None, Mapping[str, Any]]:
        if not schemes or self.scheme in schemes:
            return (self.scheme if schemes else None), self.main
        name = next((s for s in schemes if f"{self.main['method']} {s}" in self.moved), schemes[0])
        label = f"{self.main['method']} {name}"
        self.moved[label] += 1
        return name, self._made(label)


def _chosen(fits: Sequence[list[str]]) -> str | None:
    """Of the schemes that the first row may be of, that of most rows."""
    first = next((schemes for schemes in fits if schemes), [])
    counts = Counter(scheme for schemes in fits for scheme in schemes)
    return max(first, key=lambda scheme: counts[scheme], default=None)
