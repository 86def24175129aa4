"""`mlmat models`: what MACE can compute with."""

from __future__ import annotations

import math
import sys
from contextlib import suppress

import click

from mlmat.cli._group import Examples
from mlmat.output import tell

#: Columns whose error can be given.
QUANTITIES = ("formation_energy_per_atom", "e_above_hull")


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
        from mlmat.cli._text import model_lines
        from mlmat.potentials.models import listing

        tell(model_lines(listing()))


_EXAMPLE = """mlmat models add medium-mpa-0
mlmat models add finetuned.model --sha256 4c0f…
mlmat models add finetuned.model --scheme "MP raw GGA/GGA+U" --trained-on MPtrj,own
mlmat models add mine.model --scheme "PBE+U Dudarev 4 eV, PAW 54" --expected-error formation_energy_per_atom=0.03"""


@models.command(cls=Examples, example=_EXAMPLE)
@click.argument("model")
@click.option("--sha256", help="What the SHA-256 of the file must be; any other file is refused and removed.")
@click.option("--name", help="The name to register it under. Default: the file's.")
@click.option("--scheme", help="Energy scheme of the DFT it learned: MP2020, r2SCAN, … or any other text.")
@click.option("--trained-on", metavar="NAMES", help="Data sets and teachers that it learned from, separated by commas.")
@click.option(
    "--expected-error", "errors", multiple=True, metavar="QUANTITY=ERROR",
    help="Mean absolute error in eV/atom against DFT: formation_energy_per_atom=0.03 or e_above_hull=0.03.",
)  # fmt: skip
def add(
    model: str,
    sha256: str | None,
    name: str | None,
    scheme: str | None,
    trained_on: str | None,
    errors: tuple[str, ...],
) -> None:
    """Register a model: a FILE is copied into the cache, a NAME of a foundation model is downloaded.

    Loading a model later runs code that is inside the file (a pickle). Register only files whose origin you trust; what
    is not registered is never loaded.

    Hulls hold energies of one scheme only: say which one a model of your own learned (docs/stability.md). The
    scheme of the models that mlmat knows is known; where it is not given here, a terminal is asked.
    """
    from mlmat.potentials.models import add as register
    from mlmat.potentials.models import scheme_known

    expected = dict(_error(text) for text in errors)
    if not scheme and not scheme_known(model) and sys.stdin.isatty():
        scheme = click.prompt("Energy scheme of what it learned (MP2020, r2SCAN, …; empty: unknown)", default="")
    found = register(model, sha256, name, scheme=scheme, trained_on=trained_on, expected_errors=expected)
    known = found.energies()["scheme"]
    hint = f"unknown; say it with mlmat models add {model} --scheme NAME, or hulls cannot tell what fits it"
    use = f"use it with: mlmat screen --runner mace --set model={found.name}"
    tell([f"{found.name}: {found.path}", f"SHA-256 {found.sha256}", f"energy scheme: {known or hint}", use])


def _error(text: str) -> tuple[str, float]:
    """`formation_energy_per_atom=0.03` in its parts."""
    quantity, _, value = text.partition("=")
    with suppress(ValueError):
        if quantity in QUANTITIES and 0 < float(value) < math.inf:
            return quantity, float(value)
    raise click.UsageError(
        f"--expected-error {text}: give {' or '.join(QUANTITIES)} and eV/atom, as in {QUANTITIES[0]}=0.03"
    )
