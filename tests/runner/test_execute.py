"""`execute_runner` on threads and on HTEX: what a run may do, and what becomes of the others."""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from pathlib import Path

import parsl
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from mlmat import parsl_config
from mlmat.errors import RunnerError
from mlmat.parsl_config._environment import find_parsl_programs
from mlmat.runner import WrappedAtomsRunner, execute_runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["threads", "local"])
def where(request, tmp_path_factory):
    """A named configuration that is loaded, as a user of parsl would."""
    find_parsl_programs()
    kernel = parsl.load(parsl_config.make_config(request.param, tmp_path_factory.mktemp(request.param)))
    yield request.param
    kernel.cleanup()
    parsl.clear()


class Rows:
    def reduce(self, rows):
        return list(rows)


def rows_of(runner) -> list[dict]:
    return execute_runner(runner, Rows()).result(timeout=120)


class Emt(WrappedAtomsRunner):
    def run(self, atoms):
        atoms.calc = EMT()
        return {"energy": atoms.get_potential_energy()}


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.sockets = socket.socket()


class NotUnpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(one)


class Abandon(BaseException):
    pass


class Weird:
    def keys(self):
        raise LookupError("no keys today")


def _raise(error):
    raise error


MISCHIEF = {
    "Ag": lambda atoms: {"energy": 1.0, "atoms": atoms},
    "Al": lambda _: _raise(ValueError("the\nmessage")),
    "Au": lambda _: _raise(Unpicklable("one", "two")),
    "Cr": lambda _: _raise(NotUnpicklable("one", "two")),
    "Cu": lambda _: sys.exit(3),
    "Fe": lambda _: socket.socket(),
    "Ir": lambda _: (i for i in range(3)),
    "Mo": lambda _: 1.5,
    "Ni": lambda _: None,
    "Pb": lambda _: _raise(Abandon()),
    "Pd": lambda _: Weird(),
    "Pt": lambda _: {"f": lambda x: x + 1},
    "Rh": lambda _: {},
}
FAILURES = {
    "Al": "ValueError", "Au": "Unpicklable", "Cr": "NotUnpicklable", "Cu": "SystemExit", "Fe": "TypeError",
    "Ir": "TypeError", "Pb": "Abandon", "Pd": "LookupError",
}  # fmt: skip


class Mischief(WrappedAtomsRunner):
    def run(self, atoms):
        return MISCHIEF[atoms.get_chemical_symbols()[0]](atoms)


def test_a_run_that_goes_wrong_is_a_failed_row_and_harms_no_other(where):
    rows = rows_of(Mischief([bulk(symbol) for symbol in MISCHIEF]))
    found = dict(zip(MISCHIEF, rows, strict=True))
    assert {s: r["error_class"] for s, r in found.items() if r["status"] == "failed"} == FAILURES
    assert found["Al"]["error_message"] == "the message"
    assert "in <lambda>" in found["Al"]["traceback"]
    assert found["Ag"]["energy"] == 1.0
    assert found["Ag"]["atoms"] == bulk("Ag")
    assert found["Al"]["energy"] is None
    assert found["Mo"]["value"] == 1.5
    assert found["Pt"]["f"](1) == 2
    assert found["Rh"]["status"] == found["Ni"]["status"] == "ok"
    assert len({tuple(row) for row in rows}) == 1  # all rows have all columns


def test_results_are_those_of_a_plain_loop_and_in_order(where):
    crystals = [bulk("Cu", a=3.4 + 0.002 * i) for i in range(300)]
    rows = rows_of(Emt(crystals))
    assert [row["file"] for row in rows] == [f"atoms {i}" for i in range(300)]
    for atoms, row in zip(crystals, rows, strict=True):
        atoms.calc = EMT()
        assert row["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-12)


def test_no_files_no_rows(where):
    assert rows_of(Emt([])) == []
    assert rows_of(Emt()) == []


class Darts(WrappedAtomsRunner):
    """Monte Carlo: how many of `throws` random points of the unit square lie in the quarter circle."""

    def __init__(self, files, throws):
        super().__init__(files)
        self.throws = throws

    def run(self, atoms):
        dice = random.Random(atoms.info["seed"])
        return {"inside": sum(dice.random() ** 2 + dice.random() ** 2 < 1 for _ in range(self.throws))}


class Pi:
    def __init__(self, throws):
        self.throws = throws

    def reduce(self, rows):
        return 4 * sum(row["inside"] for row in rows) / (self.throws * len(rows))


def test_pi_by_monte_carlo(where):
    tasks, throws = 100, 2_000
    seeds = [Atoms(info={"seed": seed}) for seed in range(tasks)]
    assert execute_runner(Darts(seeds, throws), Pi(throws)).result(timeout=120) == pytest.approx(3.14159, abs=0.02)


class WritesFiles(Calculator):
    """A calculator as codes of old are wrapped: input and output are files in its directory."""

    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        folder = Path(self.directory)
        if any(folder.iterdir()):
            raise RuntimeError("somebody else is in here")
        (folder / "input").write_text(str(len(atoms)))
        time.sleep(0.01)
        if "Au" in atoms.symbols:
            raise RuntimeError("the code has crashed")
        (folder / "output").write_text((folder / "input").read_text())
        self.results = {"energy": float((folder / "output").read_text())}


class FileRunner(WrappedAtomsRunner):
    def run(self, atoms):
        atoms.calc = WritesFiles(directory=self.workdir)
        return {"energy": atoms.get_potential_energy(), "scratch": str(self.workdir), "own": True}


def test_scratch_is_each_runs_own_and_kept_only_on_failure(where):
    crystals = [bulk("Au" if i == 7 else "Cu").repeat((1 + i % 3, 1, 1)) for i in range(40)]
    rows = rows_of(FileRunner(crystals))
    used = [row["scratch"] for row in rows if row["status"] == "ok"]
    assert len(set(used)) == 39
    assert not any(Path(path).exists() for path in used)
    (failed,) = (row for row in rows if row["status"] == "failed")
    kept = Path(failed["workdir"])
    assert failed["error_message"] == "the code has crashed"
    assert (kept / "input").read_text() == "2"
    assert list(kept.parent.iterdir()) == [kept]
    (kept / "input").unlink()
    kept.rmdir()
    kept.parent.rmdir()


def test_nothing_is_left_where_nothing_failed(where):
    rows = rows_of(FileRunner([bulk("Cu")] * 20))
    assert {row["status"] for row in rows} == {"ok"}
    assert not Path(rows[0]["scratch"]).parent.exists()


class CountsSetups(WrappedAtomsRunner):
    def __init__(self, files, folder):
        super().__init__(files)
        self.folder = folder

    def setup(self):
        (Path(self.folder) / f"{os.getpid()}-{time.perf_counter_ns()}").touch()

    def run(self, atoms):
        time.sleep(0.01)
        return {"pid": os.getpid()}


def test_setup_runs_once_on_each_worker(where, tmp_path):
    rows = rows_of(CountsSetups([bulk("Cu")] * 60, str(tmp_path)))
    setups = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    workers = parsl_config.cores()
    assert 1 <= len(setups) <= workers
    if where == "local":
        assert sorted(setups) == sorted({str(row["pid"]) for row in rows})
        assert str(os.getpid()) not in setups


class CannotStart(WrappedAtomsRunner):
    def setup(self):
        raise OSError("the model file\nis gone")

    def run(self, atoms):
        raise AssertionError("never called")


def test_a_setup_that_fails_stops_the_work_with_one_line(where):
    with pytest.raises(RunnerError, match=r"could not start on .*: OSError: the model file is gone$"):
        rows_of(CannotStart([bulk("Cu")] * 2_000))


class Dies(WrappedAtomsRunner):
    def run(self, atoms):
        if "Au" in atoms.symbols:
            os.kill(os.getpid(), 9)
        return {"ok": True, "much": bytes(500_000)}


def test_workers_that_die_take_only_their_structures(where):
    if where == "threads":
        pytest.skip("in threads it would take the tests with it")
    rows = rows_of(Dies([bulk(symbol) for symbol in ("Au", "Cu", "Cu", "Au", "Cu", "Au", "Cu", "Cu", "Au", "Cu")]))
    assert [row["ok"] for row in rows] == [None, True, True, None, True, None, True, True, None, True]
    assert {row["error_class"] for row in rows if row["status"] == "failed"} == {"WorkerLost"}


def test_the_loaded_kernel_is_used_and_left_alone(where):
    kernel = parsl.dfk()
    before = kernel.task_count
    rows_of(Emt([bulk("Cu")] * 3))
    assert kernel.task_count == before + 3
    assert not kernel.cleanup_called
    assert parsl.python_app(double)(21).result(timeout=60) == 42


def double(x):
    return 2 * x


def test_workers_see_one_thread_for_each_library(where):
    if where == "threads":
        pytest.skip("threads share this process")
    (row,) = rows_of(Environment([bulk("Cu")]))
    assert row["OMP_NUM_THREADS"] == row["MKL_NUM_THREADS"] == row["OPENBLAS_NUM_THREADS"] == "1"


class Environment(WrappedAtomsRunner):
    def run(self, atoms):
        return {name: value for name, value in os.environ.items() if name.endswith("_THREADS")}
