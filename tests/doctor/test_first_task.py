"""`mlmat doctor --config`: a real block, and what is said of one that does not come or does not fit."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from doctor.environments import with_other_version

from mlmat.cli import main

pytestmark = pytest.mark.slow

FILE = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

def config(folder):
    provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, worker_init={init!r})
    htex = HighThroughputExecutor(label="mine", address="127.0.0.1", loopback_address="127.0.0.1", provider=provider,
                                  max_workers_per_node=1, heartbeat_period=2, heartbeat_threshold=10,
                                  block_error_handler=False)
    return Config(executors=[htex], initialize_logging=False, usage_tracking=0, strategy="simple", strategy_period=1)
"""


def mine(folder: Path, init: str) -> Path:
    """A user's configuration whose workers start with this line."""
    config = folder / "mine.py"
    config.write_text(FILE.format(init=init))
    return config


def doctor(folder: Path, config: object, *more: object) -> Result:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    arguments = ["doctor", "--db", folder / "x.duckdb", "--config", config, *more]
    done = CliRunner().invoke(main, [*map(str, arguments)])
    after = {child for child in psutil.Process().children(recursive=True) if child.pid not in before}
    assert not psutil.wait_procs(after, 15)[1]
    return done


def workers(done: Result) -> list[str]:
    return [line for line in done.output.splitlines() if line.split()[1] == "workers"]


def test_a_block_of_this_machine(tmp_path: Path) -> None:
    done = doctor(tmp_path, "local")
    assert done.exit_code == 0, done.output
    answered, same = workers(done)
    assert answered.startswith("ok    workers    ")
    assert "answered after" in answered
    assert "same Python and packages" in same
    assert list(tmp_path.iterdir()) == []


def test_threads(tmp_path: Path) -> None:
    done = doctor(tmp_path, "threads")
    assert done.exit_code == 0, done.output
    assert "a thread of this process answered" in workers(done)[0]


def test_an_environment_that_is_not_this_one(tmp_path: Path) -> None:
    python = with_other_version(tmp_path / "venv", "ase", "3.20.0")
    done = doctor(tmp_path, mine(tmp_path, f'unset OMP_NUM_THREADS; export PATH={python.parent}:"$PATH"'))
    assert done.exit_code == 1, done.output
    (wrong,) = [line for line in workers(done) if line.startswith("fail")]
    assert str(python.parent) in wrong
    assert "ase 3.20.0 there, 3." in wrong
    assert "torch" not in wrong
    assert "warn  workers    nothing limits the threads" in done.output


@pytest.mark.faults
def test_blocks_that_end_before_a_worker_answers(tmp_path: Path) -> None:
    done = doctor(tmp_path, mine(tmp_path, "echo 'module: command not found' >&2; exit 3"), "--patience", 60)
    assert done.exit_code == 1, done.output
    assert "blocks ended before a worker answered" in done.output
    assert "missing" in done.output
    assert "ends with: module: command not found" in done.output


def test_a_worker_that_does_not_come(tmp_path: Path) -> None:
    done = doctor(tmp_path, mine(tmp_path, "sleep 60"), "--patience", 9)
    assert done.exit_code == 1, done.output
    assert "no worker answered within 9 s, although its block runs (the address it was given: 127.0.0.1)" in done.output


@pytest.mark.parametrize(("text", "says"), [("config = 3", "define `config`"), ("1 / 0", "ZeroDivisionError")])
def test_a_file_that_makes_no_configuration(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    done = doctor(tmp_path, tmp_path / "mine.py")
    assert done.exit_code == 1
    assert says in workers(done)[0]
