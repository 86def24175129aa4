"""`mlmat config`: the settings of a cluster, written, shown and tried."""

from __future__ import annotations

from pathlib import Path

import click

from mlmat.cli._group import Examples
from mlmat.errors import UsageError
from mlmat.output import tell


@click.group()
def config() -> None:
    """Write, show and check the settings of `mlmat screen --config slurm`.

    \b
    Example:
      mlmat config init
      mlmat config check
    """


@config.command(cls=Examples, example="mlmat config init\nmlmat config init gpu.toml")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(file: Path | None, force: bool) -> None:
    """Write a file of settings with what this cluster has. Default: slurm.toml in your own settings' folder."""
    from mlmat.scheduler import settings as slurm_settings
    from mlmat.scheduler import settings_file

    file = file or slurm_settings.users()
    if file.suffix != ".toml":
        raise UsageError(f"{file}: a file of settings ends in .toml")
    if file.exists() and not force:
        raise UsageError(f"{file} is there already: edit it, or replace it with --force")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(settings_file.text_of(settings_file.proposed()), encoding="utf-8")
    named = "" if file in (slurm_settings.users(), Path(slurm_settings.NAME)) else f" --config {file}"
    tell([f"{file} written; fill in what is yours (account, walltime, max_blocks), then: mlmat config check{named}"])


@config.command(cls=Examples, example="mlmat config show")
@click.option("--config", "name", default="slurm", show_default=True, help="slurm, or a .toml file.")
def show(name: str) -> None:
    """Show where the settings come from, what they are, and the head of the jobs that they make."""
    from mlmat.parsl_config import slurm
    from mlmat.scheduler import settings_file

    file, settings = slurm.chosen(name)
    tell([f"# from {file or 'nowhere: these are the defaults'}"])
    tell([*settings_file.text_of(settings).splitlines(), "", "# the job of a block begins with:"])
    tell(slurm.script(settings).splitlines())


@config.command(cls=Examples, example="mlmat config check\nmlmat config check --config gpu.toml")
@click.option("--config", "name", default="slurm", show_default=True, help="slurm, or a .toml file.")
def check(name: str) -> None:
    """Ask Slurm whether it would take a job with these settings; nothing is started."""
    from mlmat.cli._text import counted
    from mlmat.parsl_config import slurm
    from mlmat.scheduler import settings_file

    file, settings = slurm.chosen(name)
    tell(
        [
            f"settings: {file or 'none found, the defaults'}",
            *map(settings_file.described, slurm.partitions_of(settings)),
        ]
    )
    said = slurm.tried(settings)
    size = f"{counted(settings.nodes_per_block, 'node')} with {counted(settings.workers_per_node, 'worker')} each"
    tell([f"ok: {said}", f"{counted(settings.max_blocks, 'block')} at most, of {size}"])
    tell([f"next: mlmat doctor --config {name}"])
