"""Import mace without the lines it prints."""

from __future__ import annotations

import contextlib
import importlib
import io
import threading
import warnings
from typing import Any

_ONE_AT_A_TIME = threading.Lock()  # both contexts below swap a global and put it back


def quiet_import(name: str) -> Any:
    """Import a module of mace and return it; what it prints and warns of meanwhile stays unsaid.

    mace comes first: it switches off torch's weights-only loading, which e3nn's own import needs.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        importlib.import_module("mace")
        return importlib.import_module(name)
