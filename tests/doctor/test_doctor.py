"""What `mlmat doctor` finds, and that it finds what is really broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from doctor.environments import HERE, bare
from faults.rooms import Room

from mlmat.cli import main
from mlmat.doctor import Line, Place, examine, names
from mlmat.doctor.limits import control_groups, cores_allowed, memory_allowed
from mlmat.doctor.versions import unmet
from mlmat.potentials import models
from mlmat.store.access import mounts, trial

CRYSTALS = Path(__file__).parents[2] / "examples" / "crystals"


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def of(check: str, place: Place) -> list[Line]:
    return list(import_module(f"mlmat.doctor.{check}").check(place))


def run(*command: object, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": HERE, **more}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[[str | None], Room]]:
    made: list[Room] = []

    def make(size: str | None) -> Room:
        made.append(Room(tmp_path / "room", size))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("name", names())
def test_every_check_says_what_it_is_and_has_lines(name: str, tmp_path: Path) -> None:
    module = import_module(f"mlmat.doctor.{name}")
    assert module.__doc__
    assert module.check.__doc__
    lines = list(module.check(Place(tmp_path / "x.duckdb")))
    assert bool(lines) == (name != "workers")
    for line in lines:
        assert line.what == name
        assert line.remedy or line.level == "ok"
        assert "\n" not in line.says + line.remedy
    assert list(tmp_path.iterdir()) == []


def test_nothing_fails_here_and_nothing_is_left_behind(tmp_path: Path) -> None:
    done = doctor("--db", tmp_path / "x.duckdb")
    assert done.exit_code == 0, done.output
    assert {line.split()[0] for line in done.output.splitlines()} <= {"ok", "warn"}
    assert {line.split()[1] for line in done.output.splitlines()} == set(names()) - {"workers"}
    assert list(tmp_path.iterdir()) == []


def test_a_store_beside_is_not_touched(tmp_path: Path) -> None:
    db = tmp_path / "x.duckdb"
    assert CliRunner().invoke(main, ["ingest", str(CRYSTALS / "Si.cif"), "--db", str(db)]).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert doctor("--db", db).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_rows_for_programs(tmp_path: Path) -> None:
    rows = json.loads(doctor("--db", tmp_path / "x.duckdb", "--format", "json").output)
    assert {row["level"] for row in rows} <= {"ok", "warn"}
    assert set(rows[0]) == {"level", "what", "says", "remedy"}


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from mlmat.cli import main; main(standalone_mode=False)"
    code = (
        f"try:\n {code}\nexcept SystemExit: pass\nprint([m for m in ('torch', 'mace', 'pymatgen') if m in sys.modules])"
    )
    done = run(sys.executable, "-c", code, "doctor", "--db", tmp_path / "x.duckdb")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# -- the disk and the locks ----------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = doctor("--db", tmp_path / "no" / "x.duckdb", "--config", "threads")
    assert done.exit_code == 1
    assert "fail  disk       " + str(tmp_path / "no") in done.output
    assert "make it" in done.output
    assert "fail  workers" in done.output


def test_a_read_only_folder(room: Callable[[str | None], Room]) -> None:
    here = room(None)
    process = here.mlmat("doctor", "--db", here.path / "x.duckdb")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert f"fail  disk       {here.path} cannot be written (Read-only file system)" in out
    assert f"fail  locks      {here.path}: nothing can be written" in out


def test_a_small_disk_and_a_full_one(room: Callable[[str | None], Room]) -> None:
    here = room("8m")
    out, _ = here.mlmat("doctor", "--db", here.path / "x.duckdb").communicate(timeout=60)
    assert "fail  disk       8.4 MB free for the store" in out
    assert "ok    disk" in out
    here.fill()
    process = here.mlmat("doctor", "--db", here.path / "x.duckdb")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert f"{here.path} cannot be written (No space left on device)" in out
    assert "0.0 MB free for the store" in out


def test_a_network_file_system_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = mounts.file_system(os.path.realpath(tmp_path), Path("/proc/self/mountinfo").read_text())
    monkeypatch.setattr(mounts, "NETWORK", {here})
    (line,) = of("locks", Place(tmp_path / "x.duckdb"))
    assert line.level == "warn"
    assert f"network file system ({here})" in line.says
    assert "local disk" in line.remedy


def test_locks_that_keep_nobody_out_are_found(tmp_path: Path) -> None:
    """As a mount with `nolock` has them: the system says yes to everybody."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: nothing to make locks lie with")
    (tmp_path / "yes.c").write_text("int flock(int fd, int what) { return 0; }\n")
    library = tmp_path / "yes.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "yes.c"], check=True)
    done = run(sys.executable, "-m", "mlmat", "doctor", "--db", tmp_path / "x.duckdb", LD_PRELOAD=str(library))
    assert done.returncode == 1
    assert "fail  locks      the lock of mlmat does not work" in done.stdout
    assert "two processes had it at once" in done.stdout
    assert "the lock of DuckDB" not in done.stdout


def test_locks_that_hold(tmp_path: Path) -> None:
    assert trial.try_locks(tmp_path) == {"mlmat": "", "DuckDB": ""}
    assert list(tmp_path.iterdir()) == []


# -- programs, versions, models ------------------------------------------------------------------


def test_programs_that_are_missing(tmp_path: Path) -> None:
    python = bare(tmp_path / "venv")
    done = run(python, "-m", "mlmat", "doctor", "--db", tmp_path / "x.duckdb", PATH="/usr/bin:/bin")
    assert done.returncode == 1, done.stderr
    assert "fail  programs   process_worker_pool.py is neither beside" in done.stdout
    assert "pip install" in done.stdout
    elsewhere = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = run(python, "-m", "mlmat", "doctor", "--db", tmp_path / "x.duckdb", PATH=elsewhere)
    assert done.returncode == 0, done.stdout
    assert "does not belong to this Python" in done.stdout


def test_requirements() -> None:
    needed = ["ase<4,>=3.29", "duckdb>=999.1", "no-such-package>=2", "numpy", "polars>=99; extra == 'polars'"]
    needed += ["parsl<2026,>=2025", "click!=1; python_version > '3'", "cloudpickle < 4, >= 999"]
    assert [(name, needs) for name, needs, _ in unmet(needed)] == [
        ("duckdb", ">=999.1"),
        ("no-such-package", ">=2"),
        ("parsl", ">=2025,<2026"),
        ("cloudpickle", ">= 999,< 4"),
    ]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLMAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def registered(tmp_path: Path) -> models.Model:
    shipped = next(model for model in models.listing() if model.kind == "shipped")
    copy = Path(shutil.copy(str(shipped.path), tmp_path / "mine.npz"))
    return models.add(str(copy))


def test_models_as_registered(tmp_path: Path, cache: Path) -> None:
    name = registered(tmp_path).name
    (line,) = of("models", Place(tmp_path / "x.duckdb"))
    assert line.level == "ok"
    assert name in line.says
    assert str(cache) in line.says


def test_a_model_whose_bytes_have_changed(tmp_path: Path, cache: Path) -> None:
    path = registered(tmp_path).path
    assert path
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"no")
    failed, fine = of("models", Place(tmp_path / "x.duckdb"))
    assert (failed.level, fine.level) == ("fail", "ok")
    assert failed.says == f"{path} is not the file that was registered as mine"
    assert "mlmat models add" in failed.remedy
    assert "mine" not in fine.says.split(":")[0]


def test_a_model_whose_file_or_description_is_gone(tmp_path: Path, cache: Path) -> None:
    path = registered(tmp_path).path
    assert path
    path.unlink()
    assert [line.level for line in of("models", Place(tmp_path / "x.duckdb"))] == ["warn", "ok"]
    path.with_suffix(".json").write_text("{")
    (line,) = of("models", Place(tmp_path / "x.duckdb"))
    assert line.level == "fail"
    assert str(path.with_suffix(".json")) in line.says


# -- limits --------------------------------------------------------------------------------------


def test_cores_and_files_that_this_process_may_use(tmp_path: Path) -> None:
    one = min(os.sched_getaffinity(0))
    arguments = f"-m mlmat doctor --db {tmp_path}/x.duckdb"
    done = run("bash", "-c", f"ulimit -n 200; taskset -c {one} {sys.executable} {arguments}")
    assert f"ok    limits     1 of {os.cpu_count()} cores may be used" in done.stdout, done.stderr
    assert "warn  limits     only 200 files may be open at once" in done.stdout


def test_control_groups_of_both_versions(tmp_path: Path) -> None:
    two, inner = tmp_path / "two", tmp_path / "two" / "slice" / "job"
    inner.mkdir(parents=True)
    (two / "slice" / "cpu.max").write_text("150000 100000\n")
    (inner / "cpu.max").write_text("max 100000\n")
    for name, text in {
        "max": "4000000000",
        "current": "3000000000",
        "stat": "anon 1\ninactive_file 500000000\n",
    }.items():
        (inner / f"memory.{name}").write_text(text)
    (two / "slice" / "memory.max").write_text("max\n")
    groups = list(control_groups("0::/slice/job\n", two))
    assert groups == [inner, two / "slice", two]
    assert cores_allowed(groups) == 1.5
    assert memory_allowed(groups) == 1_500_000_000
    old = tmp_path / "one"
    for name, text in {
        "cpu/job/cpu.cfs_quota_us": "200000", "cpu/job/cpu.cfs_period_us": "100000",
        "memory/job/memory.limit_in_bytes": "1000", "memory/job/memory.usage_in_bytes": "400",
        "memory/job/memory.stat": "cache 3\n",
    }.items():  # fmt: skip
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text(text)
    groups = list(control_groups("4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/job\n", old))
    assert (cores_allowed(groups), memory_allowed(groups)) == (2.0, 600)
    assert (cores_allowed([]), memory_allowed([])) == (None, None)


def test_a_check_that_cannot_be_made_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlmat.doctor.limits

    def broken(place: Place) -> Iterator[Line]:
        raise OSError("no /proc here")
        yield

    monkeypatch.setattr(mlmat.doctor.limits, "check", broken)
    lines = {line.what: line for line in examine(Place(tmp_path / "x.duckdb"))}
    assert lines["limits"].level == "fail"
    assert "no /proc here" in lines["limits"].says
    assert lines["versions"].level == "ok"
