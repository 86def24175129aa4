"""The mark by which an ingest knows what an export added: names that are not key-value pairs of the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Name of the pair.
MARK = "mlmat_own"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an exported structure says of its result: method, energy (eV), and names of the values that belong to it."""

    method_id: str
    energy: float | None
    names: frozenset[str]


def mark(about: Iterable[str], computed: Iterable[str]) -> str:
    """The text of the mark: names that describe a structure or method, and after / those that a result brought."""
    return " ".join([*dict.fromkeys(about), "/", *sorted(computed)])


def apart(pairs: Mapping[str, Any]) -> tuple[dict[str, Any], Exported | None]:
    """Pairs of a file without what an export added to them, and the result that it belongs to, if any."""
    if MARK not in pairs:
        return dict(pairs), None
    # CIF and OPTIMADE have names in lower case only.
    first, _, second = str(pairs[MARK]).lower().partition("/")
    about, computed = {MARK, *first.split()}, second.split()
    kept = {name: value for name, value in pairs.items() if name.lower() not in about}
    method_id = str(pairs.get("method_id", "")).removeprefix("_")  # an id of digits got it, to stay a text
    energy = _number(pairs.get("energy"))
    return kept, Exported(method_id, energy, frozenset(computed)) if method_id else None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
