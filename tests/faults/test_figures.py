"""What the fault suite counts becomes the table of docs/reliability.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults.tools import injected

FIGURES = Path(__file__).with_name("figures.py")


def test_the_table_sums_what_was_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    monkeypatch.setenv("MLMAT_FAULT_LOG", str(log))
    injected("disk full")
    injected("driver killed", 4)
    with pytest.raises(AssertionError, match="driver killed: 0 lost, 2 repeated, 1 stuck"):
        injected("driver killed", 3, repeated=2, stuck=1)
    done = subprocess.run([sys.executable, FIGURES, log, log], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-3:] == [
        "| disk full | 2 | 0 | 0 | 0 |",
        "| driver killed | 14 | 0 | 4 | 2 |",
        "| **all** | 16 | 0 | 4 | 2 |",
    ]
