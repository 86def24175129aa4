"""A signal to the whole group of processes, from a terminal or from who cancels a job, is the driver's to answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

DRIVER = """
import os, signal, sys, time
from pathlib import Path
from mlmat.parsl_config import kernel, submit

def double(number):
    return 2 * number

if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: print("asked", number))
    with kernel("local", Path(sys.argv[1])) as started:
        print(submit(started, double, 1).result(60))
        os.killpg(0, getattr(signal, sys.argv[2]))
        time.sleep(1)
        print(submit(started, double, 21).result(30))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_the_interchange_does_not_die_of_it(tmp_path, name):
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, tmp_path / "driver.py", tmp_path / "logs", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, start_new_session=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "2"
    assert "asked" in done.stdout
    assert done.stdout.split()[-1] == "42"
