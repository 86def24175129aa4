"""Where tasks run: named configurations, a user's own file, and what a kernel leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor

from mlmat import parsl_config
from mlmat.errors import UsageError
from mlmat.parsl_config import kernel, loaded_kernel, make_config, submit, worker_init, workers_of
from mlmat.parsl_config._environment import PACKAGE, searched

CONFIG = "from parsl.config import Config\nfrom parsl.executors import ThreadPoolExecutor\n"
MADE = "Config(executors=[ThreadPoolExecutor(max_threads=3)])"


def double(number: int) -> int:
    return 2 * number


def where() -> dict[str, str]:
    return dict(os.environ) | {"pid": str(os.getpid()), "python": sys.executable, "path": os.pathsep.join(sys.path)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "logs"


def test_a_task_on_threads(folder):
    before = set(threading.enumerate())
    with kernel("threads", folder) as started:
        assert submit(started, double, 21).result() == 42
        assert loaded_kernel() is None
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) == before
    assert list(Path().iterdir()) == []


@pytest.mark.slow
def test_a_task_on_htex_of_a_venv_that_was_not_activated(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.syspath_prepend(str(folder.parent / "with 'quotes' and $HOME"))
    Path(sys.path[0]).mkdir()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with kernel("local", folder) as started:
        assert submit(started, double, 21).result(timeout=60) == 42
        found = submit(started, where).result(timeout=60)
    assert found["python"].startswith(sys.prefix)
    assert int(found["pid"]) != os.getpid()
    assert sys.path[0] in found["path"].split(os.pathsep)
    assert {found[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"1"}
    deadline = time.monotonic() + 5
    while {child.pid for child in psutil.Process().children(recursive=True)} - before or psutil.pid_exists(
        int(found["pid"])
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list(Path().iterdir()) == []
    assert 0 < sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 200_000


def test_workers_times_threads_are_the_cores(folder):
    for name in ("threads", "local"):
        assert workers_of(make_config(name, folder)) == parsl_config.cores()
    assert "OMP_NUM_THREADS=1 " in make_config("local", folder).executors[0].provider.worker_init
    assert (
        workers_of(Config(executors=[ThreadPoolExecutor(max_threads=3), ThreadPoolExecutor("b", max_threads=4)])) == 7
    )


def test_what_a_shell_makes_of_worker_init(monkeypatch, tmp_path):
    odd = tmp_path / 'it\'s "odd" $HOME `id`'
    odd.mkdir()
    monkeypatch.setattr(sys, "path", [str(odd), *sys.path])
    script = worker_init(4) + '\nprintf "%s\\n" "$PYTHONPATH" "$PATH" "$OMP_NUM_THREADS"'
    paths, programs, threads = subprocess.run(
        ["/bin/bash", "-c", script], text=True, capture_output=True, check=True
    ).stdout.splitlines()
    assert paths.split(":")[0] == str(odd)
    assert PACKAGE in paths.split(":")
    assert programs.split(":")[0] == str(Path(sys.executable).parent)
    assert threads == "4"


def test_workers_search_nothing_of_another_python(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, "/no/such/folder"])
    paths = searched()
    assert not any("site-packages" in path or path.endswith("/python3.11") for path in paths)
    assert "/no/such/folder" not in paths


@pytest.mark.parametrize(
    "text", [f"config = {MADE}", f"def config():\n    return {MADE}", f"def config(folder):\n    return {MADE}"]
)
def test_a_file(folder, text):
    Path("mine.py").write_text(CONFIG + text)
    found = make_config("mine.py", folder)
    assert workers_of(found) == 3
    assert found.run_dir == str(folder)
    with kernel(Path("mine.py"), folder) as started:
        assert submit(started, double, 1).result() == 2
    assert [path.name for path in Path().iterdir()] == ["mine.py"]


def test_a_run_dir_of_the_users_own_stays(folder):
    Path("mine.py").write_text(CONFIG + "config = Config(run_dir='kept', executors=[ThreadPoolExecutor()])")
    assert make_config("mine.py", folder).run_dir == "kept"


def test_a_config_object(folder):
    with kernel(Config(executors=[ThreadPoolExecutor()]), folder) as started:
        assert submit(started, double, 1).result() == 2
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "define `config`"), ("config = 3", "define `config`"),
        ("def config():\n    return None", "define `config`"),
        ("1 / 0", "cannot be run: ZeroDivisionError"), ("import sys; sys.exit(1)", "cannot be run: SystemExit"),
        ("def config(:", "cannot be run: SyntaxError"), ("def config():\n    raise OSError('a\\nb')", "OSError: a b"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_configuration(folder, text, says):
    Path("mine.py").write_text(text)
    with pytest.raises(UsageError, match=says) as raised:
        make_config("mine.py", folder)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("config", ["cluster", "", None, 3, {"a": 1}])
def test_an_unknown_name(folder, config):
    with pytest.raises(UsageError, match=r"no configuration .*; there are threads, local, slurm, or give a file"):
        make_config(config, folder)


def test_a_file_that_is_not_there(folder):
    with pytest.raises(UsageError, match=r"gone\.py: there is no such configuration file"):
        make_config("gone.py", folder)
