"""A worker's child that crashes, hangs or eats its memory: one structure pays, and the row says how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ase.build import bulk

from mlmat import arrow_frames
from mlmat.materials.structure import structure_id
from mlmat.methods.load import RunnerSpec, spec_of
from mlmat.worker import sandbox
from mlmat.worker.packing import BatchContext
from mlmat.worker.sandbox import end_child
from mlmat.worker.task import run_task

CRYSTALS = [bulk("Cu"), bulk("Al"), bulk("Au"), bulk("Ni")]
IDS = [structure_id(atoms) for atoms in CRYSTALS]
RUNNER = """
import ctypes, os, signal, subprocess, sys, time
from mlmat.runner import WrappedAtomsRunner

class Runner(WrappedAtomsRunner):
    name, version, columns = "mine", "1", {"energy": "DOUBLE -- eV"}

    def __init__(self, files=(), deed="", log="", slow=0.0):
        super().__init__(files)
        self.deed, self.log, self.slow = deed, log, slow

    def run(self, atoms):
        if self.log:
            with open(self.log, "a") as log:
                log.write(str(atoms.symbols) + " ")
        time.sleep(self.slow)
        if str(atoms.symbols) == "Au":
            exec(self.deed)
        return {"energy": float(atoms.numbers[0])}

class Together(Runner):
    def run_batch(self, batch):
        return [self.run(atoms) for atoms in batch]

class Starts(Runner):
    def setup(self):
        exec(self.deed)

class Once(Runner):
    def setup(self):
        if os.path.exists(self.log):
            raise OSError("no licence any more")
        self.log = ""
"""
#: Sleeps in C code and never lets go of the interpreter.
HANG = "ctypes.PyDLL(None).sleep(1000)"
CRASH = "ctypes.string_at(0)"


@pytest.fixture
def runners(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(RUNNER)
    return path


@pytest.fixture(autouse=True)
def _no_child_stays():
    yield
    end_child()


def spec(runners: Path, deed: str, kind: str = "Runner", **settings: object) -> RunnerSpec:
    return spec_of(f"{runners}:{kind}", {"deed": deed, **settings})


def geometry() -> bytes:
    import pyarrow as pa

    from mlmat.materials.structure import to_row

    return arrow_frames.to_ipc(pa.Table.from_pylist([to_row(atoms) for atoms in CRYSTALS]))


def results(found: RunnerSpec, tmp_path: Path, **limits: float) -> dict[str, dict]:
    context = BatchContext("run", "method", "mine", str(tmp_path / "scratch"), driver="another", **limits)
    rows: list[dict] = []
    for packed in run_task(found, context, geometry()):
        meta, tables = arrow_frames.meta_of(packed), arrow_frames.unpack(packed)
        rows += tables["result"].to_pylist() if tables else []
        rows += [{"structure_id": one, "status": "lost", **meta} for one in meta.get("lost", ())]
    assert sorted(row["structure_id"] for row in rows) == sorted(IDS)
    return {str(CRYSTALS[IDS.index(row["structure_id"])].symbols): row for row in rows}


def assert_only_gold_failed(rows: dict[str, dict], error_class: str, message: str) -> None:
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"Cu", "Al", "Ni"}
    assert [rows[name]["energy"] for name in ("Cu", "Al", "Ni")] == [29.0, 13.0, 28.0]
    assert rows["Au"]["error_class"] == error_class
    assert message in rows["Au"]["error_message"]


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        (CRASH, "it ended its process (SIGSEGV)"),
        ("os.kill(os.getpid(), 9)", "it ended its process (SIGKILL; out of memory?)"),
        ("os._exit(0)", "it ended its process (exit code 0)"),
    ],
)
def test_a_structure_that_ends_its_process_is_lost_alone(runners, tmp_path, deed, how):
    rows = results(spec(runners, deed), tmp_path)
    assert [rows[name].get("energy") for name in ("Cu", "Al", "Ni")] == [29.0, 13.0, 28.0]
    assert (rows["Au"]["status"], rows["Au"]["how"]) == ("lost", how)


def test_what_runs_together_is_lost_together(runners, tmp_path):
    assert {row["status"] for row in results(spec(runners, CRASH, "Together"), tmp_path).values()} == {"lost"}


def test_what_is_said_of_a_crash_is_where_it_was(runners, tmp_path):
    rows = results(spec(runners, CRASH), tmp_path)
    assert "Segmentation fault" in rows["Au"]["traceback"]
    assert "mine.py" in rows["Au"]["traceback"]


@pytest.mark.parametrize("kind", ["Runner", "Together"])
def test_a_time_limit_holds_in_c_code(runners, tmp_path, kind):
    start = time.monotonic()
    rows = results(spec(runners, HANG, kind), tmp_path, time_limit=3)
    assert_only_gold_failed(rows, "TimeLimit", "took longer than 3 s")
    assert 3 <= rows["Au"]["seconds"] < 20
    assert "mine.py" in rows["Au"]["traceback"]
    assert time.monotonic() - start < 60


def test_a_time_limit_is_for_each_structure(runners, tmp_path):
    rows = results(spec(runners, "", slow=0.6), tmp_path, time_limit=2)
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_a_memory_limit_makes_a_row(runners, tmp_path):
    rows = results(spec(runners, "bytearray(4 << 30)"), tmp_path, memory_limit=2_000_000_000)
    assert_only_gold_failed(rows, "MemoryError", "needs more than 2 GB of memory (--memory-limit)")


def test_what_was_sent_before_a_crash_is_not_computed_again(runners, tmp_path):
    log = tmp_path / "log"
    results(spec(runners, CRASH, log=str(log), slow=1.1), tmp_path)
    ran = log.read_text().split()
    assert sorted(ran) == ["Al", "Au", "Cu", "Ni"]


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (CRASH, "the runner ended its process (SIGSEGV) while it was set up"),
        ("raise ValueError('no licence')", "ValueError: no licence"),
    ],
)
def test_a_runner_that_cannot_be_set_up_says_why(runners, tmp_path, deed, why):
    context = BatchContext("run", "method", "mine", str(tmp_path), driver="another")
    (packed,) = run_task(spec(runners, deed, "Starts"), context, geometry())
    assert why in arrow_frames.meta_of(packed)["broken"]


def test_an_idle_child_that_was_killed_is_replaced(runners, tmp_path):
    found = spec(runners, "")
    results(found, tmp_path)
    child = sandbox._local.child
    child.popen.kill()
    child.popen.wait()
    assert {row["status"] for row in results(found, tmp_path).values()} == {"ok"}


def test_what_was_computed_before_the_runner_could_not_start_again_is_kept(runners, tmp_path):
    deed = f"open({str(tmp_path / 'struck')!r}, 'w').close(); {CRASH}"
    once = spec(runners, deed, "Once", log=str(tmp_path / "struck"), slow=1.1)
    context = BatchContext("run", "method", "mine", str(tmp_path), driver="another")
    frames = [
        (arrow_frames.meta_of(packed), arrow_frames.unpack(packed)) for packed in run_task(once, context, geometry())
    ]
    ok = [row["structure_id"] for _, tables in frames if tables for row in tables["result"].to_pylist()]
    lost = [one for meta, _ in frames for one in meta.get("lost", ())]
    (rest,) = [meta["rest"] for meta, _ in frames if "broken" in meta]
    assert (ok, lost, rest) == (IDS[:2], IDS[2:3], IDS[3:])


def test_a_program_that_a_runner_starts_ends_with_its_time(runners, tmp_path):
    deed = "subprocess.run([sys.executable, '-c', 'import time; time.sleep(987)'])"
    rows = results(spec(runners, deed), tmp_path, time_limit=1)
    assert_only_gold_failed(rows, "TimeLimit", "took longer")
    assert not [p for p in psutil.process_iter(["cmdline"]) if "sleep(987)" in " ".join(p.info["cmdline"] or ())]


def alive(marker: str) -> list[int]:
    def has(process: psutil.Process) -> bool:
        try:
            return marker in process.environ().get("MLMAT_MARKER", "") and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    return [process.pid for process in psutil.process_iter() if has(process)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_does_not_outlive_its_worker(runners, tmp_path, how):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from test_sandbox import spec, results, HANG\n"
        "results(spec(Path(sys.argv[2]), HANG), Path(sys.argv[3]))"
    )
    marker = f"{os.getpid()}-{how.name}"
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(runners), str(tmp_path)],
        env={**os.environ, "MLMAT_MARKER": marker},
    )
    deadline = time.monotonic() + 30
    while len(alive(marker)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    assert len(alive(marker)) == 2
    worker.send_signal(how)
    worker.wait(10)
    while alive(marker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(marker)
