"""Stores to export from."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlmat.project import Project as Store


@pytest.fixture(scope="session")
def new_store(empty_store_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """A function that gives an empty store in a folder of its own, as often as it is called."""
    folder, count = tmp_path_factory.mktemp("stores"), itertools.count()

    def make() -> Store:
        place = folder / str(next(count))
        place.mkdir()
        return Store(shutil.copy(empty_store_file, place / "store.duckdb"))

    return make
