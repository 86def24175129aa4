"""Options that several commands have, and how a command opens the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlmat.store import Store


def database(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--db`: the store."""
    return click.option(
        "--db", envvar="MLMAT_DB", default="mlmat.duckdb", show_default=True, show_envvar=True,
        type=click.Path(path_type=Path), help="The store.",
    )(command)  # fmt: skip


def output(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-o` and `--format`: where rows go, and as what."""
    formats = click.Choice(["table", "csv", "json", "parquet"])
    command = click.option("--format", "form", type=formats, help="Default: by the suffix of -o, else a table.")(
        command
    )
    return click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to a file.")(command)


def open_store(db: Path, *, create: bool = False) -> Store:
    """The store of a command; who waits for somebody is told so."""
    from mlmat import store
    from mlmat.progress import say

    return store.open_store(db, create=create, say=say)
