"""An executor that takes no tasks ends the screen with one line: no structure has failed for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

from mlmat.cli import main
from mlmat.errors import RunnerError
from mlmat.ingest import ingest
from mlmat.methods.method import ResolvedMethod
from mlmat.screen import screen
from mlmat.store import Store

MPI = """
from parsl.config import Config
from parsl.executors import MPIExecutor
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

config = Config(executors=[MPIExecutor(
    label="mpi", max_workers_per_block=1, mpi_launcher="mpiexec", address="127.0.0.1",
    provider=LocalProvider(init_blocks=0, max_blocks=1, launcher=SimpleLauncher()),
)])
"""
REFUSES = """
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor


class Refuses(ThreadPoolExecutor):
    taken = 0

    def submit(self, func, resource_specification, *args, **kwargs):
        self.taken += 1
        if self.taken > 1:
            raise ValueError("no account given")
        return super().submit(func, resource_specification, *args, **kwargs)


config = Config(executors=[Refuses(max_threads=1)])
"""


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    for name in ("Al", "Cu", "Ni"):
        write(tmp_path / f"{name}.vasp", bulk(name, "fcc", a=3.9))
    ingest(store, sorted(tmp_path.glob("*.vasp")))
    return store


def test_mpi_without_a_resource_specification_is_no_failure_of_structures(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "mpi.py").write_text(MPI)
    arguments = ["screen", "--runner", "mlmat.example_runner", "--config", str(tmp_path / "mpi.py")]
    said = CliRunner().invoke(main, [*arguments, "--db", str(filled.path)])
    assert said.exit_code == 1
    (line,) = [line for line in said.output.splitlines() if "Resource" in line]
    assert "takes no tasks as it is configured (InvalidResourceSpecification" in line
    assert "Traceback" not in said.output
    assert len(filled.sql("FROM result")) == 0
    assert filled.sql("SELECT outcome FROM run WHERE command = 'screen'")["outcome"].tolist() == ["failed"]
    plan = ResolvedMethod("mlmat.example_runner", {}, Store.table_name)
    assert screen(filled, plan, config="threads").done == 3


def test_whatever_an_executor_raises_at_submission_is_said_and_results_before_it_stay(
    filled: Store, tmp_path: Path
) -> None:
    (tmp_path / "refuses.py").write_text(REFUSES)
    plan = ResolvedMethod("mlmat.example_runner", {}, Store.table_name)
    with pytest.raises(RunnerError, match="ValueError: no account given"):
        screen(filled, plan, config=str(tmp_path / "refuses.py"))
    assert "failed" not in set(filled.sql("FROM result")["status"])
