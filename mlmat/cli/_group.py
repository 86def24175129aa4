"""What every command has: errors in one line with an exit code, an example at the end of its help."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from mlmat.errors import MlmatError


class Commands(click.Group):
    """The commands are the modules of `mlmat/cli`: NAME.py holds the command NAME, with `_` for `-`.

    Errors for people: one line, exit code 1 or 2; the traceback under --debug.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in alphabetical order."""
        return sorted(file.stem.replace("_", "-") for file in Path(__file__).parent.glob("[!_]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"mlmat.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and translate what it raises."""
        try:
            return super().invoke(ctx)
        except MlmatError as error:
            _fail(ctx, error, error.exit_code)
        except BrokenPipeError:
            # The reader of our output (head, less) has seen enough.
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            _fail(ctx, error, 1)


def _fail(ctx: click.Context, error: Exception, code: int) -> None:
    if ctx.params.get("debug"):
        raise error
    from mlmat.output import shown

    click.echo(f"mlmat: {shown(' '.join(str(error).split()))}", err=True)
    sys.exit(code)


class Examples(click.Command):
    """A command whose help ends with an example, kept as it was written."""

    def __init__(self, *arguments: Any, example: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        if self.example:
            with formatter.section("Example"):
                for line in self.example.splitlines():
                    formatter.write(f"  {line}\n")
