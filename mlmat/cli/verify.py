"""`mlmat verify`: is what the store says still true?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store, output
from mlmat.output import tell

if TYPE_CHECKING:
    from mlmat.verify import Check


@click.command(cls=Examples, example="mlmat verify --method mace --sample 100")
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Results of each method that are computed again; 0 for none.",
)
@click.option("--all", "every", is_flag=True, help="Compute all results again.")
@click.option("--method", metavar="METHOD", help="Compute results of this method only.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    help="Allowed difference of two numbers (eV, eV/Å, …). Default: 1e-8, and 1e-3 for float32.",
)
@output
@database
def verify(
    sample: int,
    every: bool,
    method: str | None,
    tolerance: float | None,
    db: Path,
    output: Path | None,
    form: str | None,
) -> None:
    """Check the store: results computed again, ids, hashes of files, rows that point nowhere, what was left behind.

    Nothing is changed. The exit code is 1 when something is wrong.
    """
    from mlmat.cli._text import check_line
    from mlmat.progress import say
    from mlmat.verify import verify as checks

    found = []
    for check in checks(open_store(db), sample=None if every else sample, method=method, tolerance=tolerance, say=say):
        found.append(check)
        if output is None and form is None:
            tell([check_line(check)])
    if output is not None or form is not None:
        _write(found, output, form)
    sys.exit(1 if any(check.level == "wrong" for check in found) else 0)


def _write(found: list[Check], output: Path | None, form: str | None) -> None:
    from dataclasses import asdict

    import pyarrow as pa

    from mlmat.output import write

    write(pa.Table.from_pylist([asdict(check) for check in found]), output, form)
