"""A worker with other versions than the driver computes nothing: the numbers would not be those of the method."""

from __future__ import annotations

import sys

import pytest
from faults.tools import CRYSTALS, finish

from mlmat import arrow_frames, provenance
from mlmat.errors import RunnerError
from mlmat.methods.load import spec_of
from mlmat.methods.method import ResolvedMethod
from mlmat.screen import screen
from mlmat.store import open_store
from mlmat.worker.packing import BatchContext
from mlmat.worker.task import run_task

pytestmark = pytest.mark.slow


def test_a_task_says_what_is_different():
    versions = {**provenance.versions(), "numpy": "0.1", "no-such-package": "2"}
    context = BatchContext("run", "method", "mlmat.example_runner", "", driver="elsewhere:1", versions=versions)
    (packed,) = run_task(spec_of("mlmat.example_runner", {}), context, b"")
    said = arrow_frames.meta_of(packed)["other"]
    assert f"numpy is {provenance.version_of('numpy')}, not 0.1, no-such-package is missing, not 2" in said
    assert provenance.host() in said
    assert sys.prefix in said
    assert "ase" not in said


def test_a_screen_stops_and_says_so(tmp_path, monkeypatch):
    finish("ingest", CRYSTALS, "--db", tmp_path / "s.duckdb")
    store = open_store(tmp_path / "s.duckdb")
    real = provenance.version_of
    # What this process has, as a worker of another environment sees it.
    monkeypatch.setattr(provenance, "version_of", lambda name: "0.1" if name == "spglib" else real(name))
    with pytest.raises(RunnerError, match=r"spglib is .*, not 0\.1; give it the environment of this process"):
        screen(store, ResolvedMethod("mlmat.example_runner", {}, store.table_name), config="local")
    assert store.sql("SELECT count(*) AS n FROM result")["n"].tolist() == [0]
