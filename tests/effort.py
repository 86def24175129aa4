"""How much of a test is run: `make test` takes a sample of large sets, `make test-slow` all of them."""

from __future__ import annotations

import os
import warnings
from typing import NoReturn

import pytest

#: Everything, at full size.
ALL = os.environ.get("MLMAT_TEST_ALL") == "1"


def examples(count: int) -> int:
    """Examples of a property-based test: all of them, or a sixth."""
    return count if ALL else max(3, count // 6)


def absent(name: str, what: str) -> NoReturn:
    """Skip what cannot be tested on this machine, loudly; with MLMAT_TEST_NAME=must it fails."""
    if os.environ.get(f"MLMAT_TEST_{name}") == "must":
        pytest.fail(what)
    warnings.warn(what, stacklevel=2)
    pytest.skip(what)
