"""`mlmat runners`: what can compute."""

from __future__ import annotations

import click

from mlmat.cli._group import Examples
from mlmat.output import tell


@click.command(cls=Examples, example="mlmat runners")
def runners() -> None:
    """List the runners and their settings."""
    from mlmat.cli._text import runner_lines
    from mlmat.methods.load import available

    tell(runner_lines(available()))
