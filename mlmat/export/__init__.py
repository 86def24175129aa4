"""Structures and results out of the store, in the formats of other programs: the directory is the registry.

A format is a module of this package without a leading underscore. It has `SUFFIXES`, endings of the target in lower
case ("" for a folder), and `write(rows, path) -> int`, which writes every row of an iterable of `Row`s to a new file or
folder and returns their number. It may have `unfit(row)`: the reason why a row has no place in the format, or None.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from mlmat.errors import MlmatError, UsageError
from mlmat.export import _target
from mlmat.export._rows import Row, Rows
from mlmat.export._select import NO_METHOD, ExportSelection, chosen_method, columns, select

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmat.store import Store

__all__ = ["NO_METHOD", "Export", "ExportSelection", "Format", "Row", "Rows", "export", "format_for", "formats"]


class Format(Protocol):
    """What a module of this package offers."""

    SUFFIXES: tuple[str, ...]

    def write(self, rows: Rows, path: Path) -> int:
        """Write the rows to a path where nothing is yet; how many were written."""
        ...


@dataclass(frozen=True, slots=True)
class Export:
    """What was written: the number of structures, the method of their results, and how many were left out and why."""

    written: int
    method: str | None
    left_out: dict[str, int]


@cache
def formats() -> tuple[Format, ...]:
    """Every format, in alphabetical order of its module."""
    names = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
    return tuple(cast("Format", import_module(f"{__name__}.{name}")) for name in names)


def format_for(target: str) -> Format:
    """The format of a target: by its suffix; a folder where it has none, ends in / or is one. Raises UsageError."""
    path = Path(target)
    suffix = "" if target.endswith("/") or path.is_dir() else path.suffix.lower()
    for form in formats():
        if suffix in form.SUFFIXES:
            return form
    known = " ".join(sorted(s for form in formats() for s in form.SUFFIXES if s))
    raise UsageError(f"{target}: no format has the suffix {suffix}; there are {known}, and NAME/ for a folder of CIFs")


def export(
    store: Store,
    target: str,
    wish: ExportSelection | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[int], Callable[[int], object]] | None = None,
) -> Export:
    """Write structures with their results to a file or folder, whole or not at all.

    Energies in eV, forces in eV/Å, stresses in eV/Å³ (Voigt order, ASE's sign), lengths in Å. progress is told the
    total and gives what is told the count of each part. Raises UsageError, QueryError; MlmatError where there is
    nothing to write.
    """
    wish, path, form = wish or ExportSelection(), Path(target), format_for(target)
    _target.check(path, folder="" in form.SUFFIXES, overwrite=overwrite)
    method = chosen_method(store, wish)
    known = columns(store)
    chosen = select(store, wish, method, known)
    if chosen.num_rows == 0:
        raise MlmatError(f"nothing to write to {target}: " + _nothing(wish, method.name if method else None))
    rows = Rows(store, chosen, method, known, progress(chosen.num_rows) if progress else None)
    rows.unfit = getattr(form, "unfit", rows.unfit)
    with _target.placed(path) as partial:
        count = form.write(rows, partial)
        if not count:
            reasons = "; ".join(rows.left_out)
            raise MlmatError(f"nothing to write to {target}: none of {len(rows):,} structures fits ({reasons})")
    return Export(count, method.name if method else None, rows.left_out)


def _nothing(wish: ExportSelection, method: str | None) -> str:
    if wish.query:
        return "--query returns no rows"
    what = f"structure with a result of {method}" if method else "structure"
    condition = f" and fits --where {wish.where!r}" if wish.where else ""
    return f"no {what} is in the store{condition}"
