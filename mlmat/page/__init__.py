"""A store as one HTML file that opens without network: what was screened, the ranking, hulls, structures, provenance.

`_contents` asks the store for a dictionary of plain values, `_document` puts it into a page. What the page does with it
is in `files/`; the libraries that draw are in `vendor/`. `figure` draws one hull.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmat.errors import UsageError
from mlmat.output import check_file, placed
from mlmat.page import _contents, _document

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.store import Store

__all__ = ["Written", "write", "write_report"]


@dataclass(frozen=True, slots=True)
class Written:
    """What a page holds: rows of how many results, structures that can be shown, its size in bytes."""

    rows: int
    of_rows: int
    structures: int
    bytes: int

    def __str__(self) -> str:
        rows = f"{self.rows:,}" + (f" of {self.of_rows:,}" if self.of_rows > self.rows else "")
        return f"{rows} results, {self.structures:,} structures, {self.bytes / 1e6:.1f} MB"


def write_report(
    store: Store, target: Path, *, system: str | None = None, method: str | None = None, title: str | None = None
) -> str:
    """The page of a store; with system (A-B, A-B-C) one hull as a figure. A line that says what was written.

    Raises UsageError, StoreError.
    """
    if system is not None:
        from mlmat.page import figure

        return figure.write(store, target, system, method=method, title=title)
    if method is not None:
        raise UsageError("--method goes with --system; the page has all methods")
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {target}: a report is .html; --system A-B draws a hull as .png, .svg or .pdf")
    return f"{target}: {write(store, target, title=title)}"


def write(store: Store, target: Path, *, title: str | None = None, rows: int = _contents.ROWS) -> Written:
    """Write the page of a store; rows: results at most, the most stable first.

    Raises UsageError, StoreError.
    """
    check_file(target)
    contents = _contents.of(store, title or store.path.stem, rows)
    text = _document.page(contents)
    with placed(target) as partial:
        partial.write_text(text, encoding="utf-8")
    return Written(contents["size"], contents["counts"]["results"], len(contents["structures"]), len(text.encode()))
