"""The command line: read options, call one function, print. One module here is one command."""

from __future__ import annotations

import click

from mlmat.cli._group import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="mlmat")
def main(debug: bool) -> None:
    """A folder of crystal structures in, a ranked table out.

    \b
    mlmat ingest structures/        read structures into the store
    mlmat screen --runner mace      compute what has no result yet
    mlmat reduce ranking            the table
    """
