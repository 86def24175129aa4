"""The summary of an import, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmat.cli._text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlmat.imports import Report

#: Kinds of warnings that are told.
KINDS = 5
_WORDS = {
    "imported": "imported",
    "replaced": "replaced what the store had under their ids",
    "unchanged": "in the store already, unchanged",
    "duplicate": "say the same as another row of the file",
    "refused": "refused",
}


def lines(report: Report, file: str, method: str, db: Path) -> Iterator[str]:
    """How many rows of a file became what, why some were refused, and what else is worth knowing."""
    total = sum(report.outcomes.values())
    yield f"{counted(total, 'row')} of {file} read into {db} as {method} in {report.seconds:.1f} s"
    for outcome, words in _WORDS.items():
        if count := report.outcomes[outcome]:
            yield f"  {count:8,} {words}"
    if report.taken:
        yield f"  energy scheme of {method}: {report.scheme or 'unknown (--scheme says it; hulls hold one scheme)'}"
    for name, count in report.moved.items():
        yield f"  {counted(count, 'row')} of another scheme {_are(count)} of method {name!r}"
    if report.silent and report.scheme:
        yield f"  {counted(report.silent, 'row')} {_says(report.silent)} nothing of a scheme, and may be of another one"
    if report.gone:
        yield f"  {counted(report.gone, 'result')} of an earlier import of it {_are(report.gone)} not in it any more"
    if report.structures:
        yield f"  {counted(report.structures, 'new structure')} came along (mlmat screen --of {method!r} computes them)"
    if report.unused:
        yield f"  columns that are not used: {', '.join(name or '(one without a name)' for name in report.unused):.200}"
    for warning, count in report.warnings.most_common(KINDS):
        yield f"  accepted, {counted(count, 'row')}: {warning}"
    if len(report.warnings) > KINDS:
        yield f"  accepted, {counted(len(report.warnings) - KINDS, 'other kind')} of warnings: mlmat reduce imports"
    yield from (f"refused: {line}" for line in report.refused)
    if report.problem:
        yield f"not read, or not to its end: {report.problem}"
    if report.outcomes["refused"] > len(report.refused) or report.outcomes["duplicate"]:
        yield "every row and why: mlmat reduce imports"


def _says(count: int) -> str:
    return "says" if count == 1 else "say"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
