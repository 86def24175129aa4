"""The interface as its users write against it: files, folders, stores, and scripts of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pandas as pd
import parsl
import psutil
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

import mlmat
from mlmat import parsl_config
from mlmat.errors import RunnerError, UsageError
from mlmat.ingest import ingest
from mlmat.reduction import Frame
from mlmat.runner import WrappedAtomsRunner, execute_runner
from mlmat.store import open_store


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a.cif (Cu), b.cif (Al) and one file that nobody can read."""
    monkeypatch.chdir(tmp_path)
    write("a.cif", bulk("Cu", cubic=True))
    write("b.cif", bulk("Al", cubic=True))
    Path("bad.cif").write_text("data_x\n_cell_length_a nonsense\nloop_\n")
    return tmp_path


class MyRunner(WrappedAtomsRunner):
    def run(self, atoms):
        atoms.calc = EMT()
        return {"formula": str(atoms.symbols), "energy": atoms.get_potential_energy()}


class WithModel(WrappedAtomsRunner):
    def __init__(self, files, model):
        super().__init__(files)
        self.model = model

    def run(self, atoms):
        atoms.rattle(0.01)
        return {"model": self.model, "rattled": atoms}


def test_open_file_yields_the_atoms_of_each(folder):
    (copper,) = WrappedAtomsRunner("a.cif").open_file()
    assert isinstance(copper, Atoms)
    assert [str(atoms.symbols) for atoms in WrappedAtomsRunner(["a.cif", Path("b.cif")]).open_file()] == ["Cu4", "Al4"]


def test_open_file_warns_of_what_it_cannot_read(folder):
    with pytest.warns(UserWarning, match=r"\.cif: ") as told:
        found = list(WrappedAtomsRunner(["bad.cif", "a.cif", "missing.cif"]).open_file())
    assert [str(atoms.symbols) for atoms in found] == ["Cu4"]
    assert [str(w.message).split(":")[0] for w in told] == ["bad.cif", "missing.cif"]


def test_folders_other_formats_and_atoms_in_the_list(folder):
    write("more.xyz", [bulk("Au"), bulk("Ag")])
    sources = WrappedAtomsRunner([bulk("Ni"), "more.xyz", folder / "a.cif", 7]).sources()
    labels = [(label, str(getattr(found, "symbols", "unreadable"))) for label, found in sources]
    wanted = [("atoms 0", "Ni"), ("more.xyz[0]", "Au"), ("more.xyz[1]", "Ag"), (str(folder / "a.cif"), "Cu4")]
    assert labels == [*wanted, ("7", "unreadable")]
    assert len(list(WrappedAtomsRunner(folder).sources())) == 5


def test_a_molecule_is_a_structure_of_a_runners_own_list(folder):
    from ase.build import molecule

    molecule("H2O").write("water.xyz")
    (found,) = WrappedAtomsRunner("water.xyz").open_file()
    assert str(found.symbols) == "OH2"


def test_a_file_a_list_and_a_table(folder):
    table = execute_runner(MyRunner("a.cif"), Frame()).result()
    assert isinstance(table, pd.DataFrame)
    assert table.formula.tolist() == ["Cu4"]
    table = execute_runner(MyRunner(["a.cif", "bad.cif", "b.cif", "missing.cif"]), Frame()).result()
    assert table.file.tolist() == ["a.cif", "bad.cif", "b.cif", "missing.cif"]
    assert table.status.tolist() == ["ok", "failed", "ok", "failed"]
    assert table.error_message[3] == "No such file or directory"
    assert table.formula[[0, 2]].tolist() == ["Cu4", "Al4"]


def test_a_runner_with_parameters_and_a_structure_in_its_row(folder):
    (row,) = execute_runner(WithModel("a.cif", "m1"), Rows()).result()
    assert row["model"] == "m1"
    assert isinstance(row["rattled"], Atoms)
    assert row["rattled"] != bulk("Cu", cubic=True)


class Rows:
    def reduce(self, rows):
        return rows


def test_the_users_own_reduction_and_its_failure(folder):
    class Sum:
        def reduce(self, rows):
            return sum(row["energy"] for row in rows)

    class Broken:
        def reduce(self, rows):
            raise KeyError("no such column")

    assert isinstance(execute_runner(MyRunner("a.cif"), Sum()).result(), float)
    with pytest.raises(KeyError, match="no such column"):
        execute_runner(MyRunner("a.cif"), Broken()).result()


def test_an_open_file_of_the_users_own_is_used():
    class Generated(MyRunner):
        def open_file(self):
            yield bulk("Cu")
            yield bulk("Al")

    assert execute_runner(Generated(), Frame()).result().formula.tolist() == ["Cu", "Al"]


def test_an_error_while_listing_arrives_at_the_future():
    def files():
        yield bulk("Cu")
        raise RuntimeError("the list is broken")

    with pytest.raises(RuntimeError, match="the list is broken"):
        execute_runner(MyRunner(files()), Frame()).result()


def test_a_runner_that_cannot_travel_is_one_line():
    runner = MyRunner("a.cif")
    runner.lock = threading.Lock()
    with pytest.raises(RunnerError, match=r"MyRunner cannot travel to a worker: .*lock.*setup\(\)"):
        execute_runner(runner, Frame())


def test_what_has_no_run_says_so():
    (row,) = execute_runner(WrappedAtomsRunner(bulk("Cu")), Rows()).result()
    assert row["error_class"] == "NotImplementedError"


def test_a_store_is_a_source(folder):
    store = open_store("x.duckdb", create=True)
    ingest(store, ["a.cif", "b.cif"])
    runner = MyRunner(mlmat.open("x.duckdb"))
    ids = [atoms.info["structure_id"] for atoms in runner.open_file()]
    table = execute_runner(runner, Frame()).result()
    assert table.file.tolist() == ids
    assert sorted(table.formula) == ["Al4", "Cu4"]
    assert store.sql("SELECT count(*) AS n FROM structure").n[0] == 2


def test_an_unknown_configuration_is_one_line():
    with pytest.raises(UsageError, match="no configuration 'cluster'"):
        execute_runner(MyRunner([]), Frame(), config="cluster").result()


def test_a_kernel_of_its_own_leaves_nothing_behind(folder):
    before = set(threading.enumerate())
    for _ in range(2):
        assert execute_runner(MyRunner(["a.cif", "b.cif"]), Frame()).result().status.tolist() == ["ok", "ok"]
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) == before
    assert sorted(path.name for path in folder.iterdir()) == ["a.cif", "b.cif", "bad.cif"]
    assert parsl_config.loaded_kernel() is None


def test_a_kernel_that_is_loaded_is_used_and_left_alone(folder):
    kernel = parsl.load(parsl_config.make_config("threads", folder / "logs"))
    try:
        execute_runner(MyRunner(["a.cif", "b.cif"]), Frame()).result()
        assert kernel.task_count == 2
        assert not kernel.cleanup_called
        assert parsl.python_app(abs)(-3).result() == 3
    finally:
        kernel.cleanup()
        parsl.clear()


# -- scripts: classes in __main__, real processes ------------------------------------------------

SCRIPT = """
import os, sys
import numpy as np
from dataclasses import dataclass
from ase.build import bulk
from ase.calculators.emt import EMT
import neighbour
from mlmat.runner import WrappedAtomsRunner, execute_runner

SCALE = 2.0

@dataclass
class Note:
    text: str

def scaled(value):
    return SCALE * np.float64(value)

class Base(WrappedAtomsRunner):
    def __init__(self, files, model):
        super().__init__(files)
        self.model = model

    def run(self, atoms):
        atoms.calc = EMT()
        return {"energy": atoms.get_potential_energy()}

class Mine(Base):
    def run(self, atoms):
        if "Au" in atoms.symbols:
            raise ValueError("no gold")
        row = super().run(atoms)
        return row | {"twice": scaled(row["energy"]), "note": Note(self.model), "met": neighbour.greet()}

class Sums:
    def reduce(self, rows):
        good = [row for row in rows if row["status"] == "ok"]
        assert all(isinstance(row["note"], Note) and row["note"].text == "m1" for row in good)
        assert all(abs(row["twice"] - 2 * row["energy"]) < 1e-12 for row in good)
        return len(good), len(rows), {row["met"] for row in good}

crystals = [bulk("Cu"), bulk("Au"), bulk("Al"), "missing.cif"]
print(execute_runner(Mine(crystals, "m1"), Sums(), config=os.environ["CONFIG"]).result())
"""
SAID = "(2, 4, {'hello'})"


@pytest.fixture
def script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "neighbour.py").write_text("def greet():\n    return 'hello'\n")
    return Running(tmp_path)


class Running:
    """A Python of its own in a folder, which can be searched for what it left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex

    def start(self, *arguments: str, config: str = "threads", text: str | None = None) -> subprocess.Popen:
        # PATH without the venv: it was not activated.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": "/usr/bin:/bin", "MARK": self.mark}
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=self.folder, env=env | {"CONFIG": config}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        if text is not None:
            process.stdin.write(text)
            process.stdin.close()
            process.stdin = None
        return process

    def run(self, *arguments: str, **options) -> str:
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        return out.strip()

    def left(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def all_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.left():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


@pytest.mark.slow
@pytest.mark.parametrize("config", ["threads", "local"])
def test_a_script_without_a_main_guard(script, config):
    assert script.run("script.py", config=config) == SAID
    assert script.all_gone(2)
    assert {p.name for p in script.folder.iterdir()} - {"__pycache__"} == {"script.py", "neighbour.py"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text", "config"),
    [
        (["-"], SCRIPT, "threads"),
        (["-c", SCRIPT], None, "threads"),
        (
            ["-c", "exec(compile(open('script.py').read(), '<cell 1>', 'exec'), {'__name__': '__main__'})"],
            None,
            "threads",
        ),
        (["-c", "exec(compile(open('script.py').read(), '<cell 1>', 'exec'), {})"], None, "threads"),
    ],
    ids=["stdin", "-c", "cell", "cell without a name"],
)
def test_code_that_is_no_module(script, arguments, text, config):
    assert script.run(*arguments, text=text, config=config) == SAID
    assert script.all_gone(2)


SLOW = """
import os, time
from ase.build import bulk
from mlmat.reduction import Frame
from mlmat.runner import WrappedAtomsRunner, execute_runner

class Slow(WrappedAtomsRunner):
    def run(self, atoms):
        print("at work", flush=True)
        open("started", "w").close()
        time.sleep(0.5)
        return {}

future = execute_runner(Slow([bulk("Cu")] * 500), Frame(), config=os.environ["CONFIG"])
"""


def at_work(script, ending: str, config: str) -> subprocess.Popen:
    """A script whose runs sleep for minutes in all, once they do."""
    process = script.start("-c", SLOW + ending, config=config)
    deadline = time.monotonic() + 60
    while not (script.folder / "started").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("config", ["threads", "local"])
def test_ctrl_c_ends_a_script_that_waits(script, config):
    process = at_work(script, "future.result()", config)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode != 0
    assert err.strip().endswith("KeyboardInterrupt")
    assert script.all_gone(5)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", "time.sleep(1.5)"])
def test_a_script_that_ends_without_waiting_says_so_and_ends(script, ending):
    process = script.start("-c", SLOW + ending)
    _, err = process.communicate(timeout=20)
    assert err.strip() == "mlmat: the program ended before execute_runner had; wait for it with .result()"
    assert script.all_gone(5)


@pytest.mark.slow
def test_workers_do_not_outlive_a_script_that_is_killed(script):
    process = at_work(script, "future.result()", "local")
    process.kill()
    process.communicate(timeout=20)
    assert script.all_gone(30)
