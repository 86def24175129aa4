"""`mlmat runners`: what can compute."""

from __future__ import annotations

import click

from mlmat.console import Examples
from mlmat.output import tell


@click.command(cls=Examples, example="mlmat runners")
def runners() -> None:
    """List the runners and their settings."""
    from mlmat.report import runner_lines
    from mlmat.runner._load import available

    tell(runner_lines(available()))
