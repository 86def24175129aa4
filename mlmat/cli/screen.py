"""`mlmat screen`: compute what has no result yet."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from mlmat.cli._group import Examples
from mlmat.cli._options import database, open_store
from mlmat.errors import RunnerError, UsageError
from mlmat.output import tell

#: A screen and its workers step back for whoever asks the store something meanwhile.
NICE = 5


@click.command(cls=Examples, example='mlmat screen --runner mace --set relax=cell --where "nelements = 2" --limit 100')
@click.option("--runner", required=True, help="A name (`mlmat runners`), a module, or a file: ./my_runner.py[:Class]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the runner; may be repeated.")
@click.option(
    "--where",
    metavar="SQL",
    help="Only structures for which this holds: columns of `mlmat reductions structure` and `source`.",
)
@click.option("--limit", type=click.IntRange(0), help="At most so many structures.")
@click.option(
    "--config",
    default="local",
    show_default=True,
    help="threads, local, slurm, a file of settings for slurm (.toml), or one that defines a parsl Config (.py).",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="A structure that takes longer has failed, also inside C code (not with threads).",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="GB",
    help="Memory for each worker's computation (not with threads, nor on a GPU).",
)
@click.option("--retry-failed", is_flag=True, help="Take structures whose only results are failures, too.")
@click.option("--of", metavar="METHOD",
              help="Take structures that this method returned, or that came with its results.")  # fmt: skip
@click.option("--include-flagged", is_flag=True, help="Take flagged structures, too.")
@database
def screen(runner: str, settings: tuple[str, ...], config: str, db: Path, **selection: Any) -> None:
    """Compute every structure that has no result by this method yet, and record one row for each.

    Ctrl-C stops cleanly; the same command goes on where it stopped.
    """
    from mlmat.cli._text import screen_lines
    from mlmat.methods.method import ResolvedMethod
    from mlmat.progress import bar, say
    from mlmat.screen import screen as run

    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    store = open_store(db)
    plan = ResolvedMethod(runner, _pairs(settings), store.table_name)
    with bar("screen", "structure") as progress:
        summary = run(store, plan, config=config, progress=progress, say=say, **selection)
    tell(screen_lines(summary, plan.method["method"], plan.runner))
    if summary.ended and not summary.done:
        raise RunnerError(
            "no structure was finished in the time of this job, and the next job would begin with the same ones, the "
            "largest: give the jobs more time, or take the small ones first: --where 'nsites <= 20'"
        )
    _leave(130 if summary.outcome == "stopped" and not summary.ended else 0)


def _leave(code: int) -> None:
    """Exit, also where threads of a run that was given up still compute."""
    from mlmat.parsl_config import left_behind

    if left_behind:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    for text in settings:
        if "=" not in text:
            raise UsageError(f"--set {text}: write --set key=value")
    return dict(text.split("=", 1) for text in settings)
