"""Import and load models without the lines that they print."""

from __future__ import annotations

import contextlib
import importlib
import io
import threading
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_AT_A_TIME = threading.RLock()  # both contexts below swap a global and put it back


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What is printed and warned of meanwhile stays unsaid."""
    with _ONE_AT_A_TIME, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def quiet_import(name: str) -> Any:
    """Import a module of a model's package and return it, quietly."""
    with quiet():
        return importlib.import_module(name)
