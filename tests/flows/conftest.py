"""A store to screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.tools import CRYSTALS, SLOW, finish

from mlmat.store import Store, open_store

DEADLY = """
import ctypes, os
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version = "deadly", "1"
    def run(self, atoms):
        formula = atoms.get_chemical_formula()
        if formula == "Si8":
            os.kill(os.getpid(), 9)
        if formula == "Mg4O4":
            ctypes.string_at(0)
        return {"energy": 1.0}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with the 71 shipped crystals, and runner files beside it."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "deadly.py").write_text(DEADLY)
    db = tmp_path / "s.duckdb"
    finish("ingest", CRYSTALS, "--db", db)
    return open_store(db)
