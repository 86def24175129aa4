"""What several of the tests that break things begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.tools import CRYSTALS, finish


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the shipped crystals; tests work on copies of it."""
    db = tmp_path_factory.mktemp("ingested") / "s.duckdb"
    finish("ingest", CRYSTALS, "--db", db)
    return db
