"""Scratch directories of runs at work side by side."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlmat.runner import WrappedAtomsRunner


def test_a_directory_can_be_made_while_others_remove_the_last_of_theirs(tmp_path: Path) -> None:
    def use(_: int) -> None:
        runner = WrappedAtomsRunner()
        for _ in range(500):
            runner.begin_scratch(tmp_path / "runs")
            assert runner.workdir.is_dir()
            runner.end_scratch(keep=False)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
    finally:
        sys.setswitchinterval(before)
    assert list(tmp_path.iterdir()) == []
