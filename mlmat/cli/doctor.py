"""`mlmat doctor`: will it work here?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, output
from mlmat.output import tell

if TYPE_CHECKING:
    from mlmat.doctor import Line


@click.command(cls=Examples, example="mlmat doctor\nmlmat doctor --config slurm")
@click.option(
    "--config", metavar="NAME", help="Run one task on this configuration, too: a name or a file, as for screen."
)
@click.option("--patience", type=click.FloatRange(0, min_open=True), default=120, show_default=True, metavar="SECONDS",
              help="How long the first worker may take to answer; blocks may have to wait in a queue.")  # fmt: skip
@output
@database
def doctor(config: str | None, patience: float, db: Path, output: Path | None, form: str | None) -> None:
    """Say whether mlmat will work here: programs, locks, disk, memory, GPUs, models, versions, scheduler.

    Each line is ok, warn or fail, with the remedy. Nothing is changed; the store need not be there. The exit code is 1
    with any fail.
    """
    from mlmat.doctor import Place, examine

    found: list[Line] = []
    for line in examine(Place(db, config, patience)):
        found.append(line)
        if output is None and form is None:
            tell([f"{line.level:5} {line.what:10} {line.says}" + (f": {line.remedy}" if line.remedy else "")])
    if output is not None or form is not None:
        import pyarrow as pa

        from mlmat.output import write

        write(pa.Table.from_pylist([asdict(line) for line in found]), output, form)
    sys.exit(1 if any(line.level == "fail" for line in found) else 0)
