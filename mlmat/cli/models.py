"""`mlmat models`: what MACE can compute with."""

from __future__ import annotations

import click

from mlmat.console import Examples
from mlmat.output import tell


@click.group(invoke_without_command=True)
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the models that runners can use: name, size, training data, licence, cached here or not.

    \b
    Example:
      mlmat models
      mlmat models add my-finetuned.model
    """
    if ctx.invoked_subcommand is None:
        from mlmat.report import model_lines
        from mlmat.runner._models import listing

        tell(model_lines(listing()))


@models.command(cls=Examples, example="mlmat models add medium-mpa-0\nmlmat models add finetuned.model --sha256 4c0f…")
@click.argument("model")
@click.option("--sha256", help="What the SHA-256 of the file must be; any other file is refused and removed.")
@click.option("--name", help="The name to register it under. Default: the file's.")
def add(model: str, sha256: str | None, name: str | None) -> None:
    """Register a model: a FILE is copied into the cache, a NAME of a foundation model is downloaded.

    Loading a model later runs code that is inside the file (a pickle). Register only files whose origin you trust; what
    is not registered is never loaded.
    """
    from mlmat.runner._models import add as register

    found = register(model, sha256, name)
    use = f"use it with: mlmat screen --runner mace --set model={found.name}"
    tell([f"{found.name}: {found.path}", f"SHA-256 {found.sha256}", use])
