"""The environment that jobs share: real processes that build it at once, die over it, and use it for a long time."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from faults.tools import chance, injected

SCRIPT = Path(__file__).parents[2] / "ci/shared-environment"
#: A builder that is quick, and notes that it built. It waits while there is a file `wait`.
BUILD = """#!/bin/sh
set -e
echo "$2" >> "{folder}/built"
"$1" -m venv --without-pip "$2"
while [ -e "{folder}/wait" ]; do sleep 0.1; done
"""
MONTH = 31 * 24 * 3600


class Jobs:
    """Jobs that ask for one environment, each a process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shared, self.pins = folder, folder / "shared", folder / "pins.txt"
        self.pins.write_text("tiny==1.0\n")
        (folder / "build").write_text(BUILD.format(folder=folder))
        (folder / "build").chmod(0o755)

    def start(self, *options: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """One job; it uses the environment as long as this process lives."""
        command = [SCRIPT, "--folder", self.shared, "--node-type", "cpu", "--for", os.getpid(), *options]
        command += ["--pins", self.pins, "--build", self.folder / "build"]
        environment = {**os.environ, "PYTHON": sys.executable}
        environment.pop("SLURM_JOB_ID", None)
        return subprocess.Popen(
            [*before, *map(str, command)], stdout=-1, stderr=-1, text=True, env=environment, start_new_session=True
        )

    def ask(self, *options: object) -> Path:
        """The environment that a job gets, which must work."""
        return answer(self.start(*options))

    def built(self) -> list[str]:
        """Environments whose building began."""
        return (self.folder / "built").read_text().split()

    def at_work(self) -> subprocess.Popen[str]:
        """A job that builds and does not come to an end."""
        (self.folder / "wait").touch()
        count = len(self.built()) if (self.folder / "built").exists() else 0
        job = self.start()
        wait_for(lambda: (self.folder / "built").exists() and len(self.built()) > count)
        wait_for(lambda: Path(self.built()[-1], "bin/python").exists())
        return job


def answer(job: subprocess.Popen[str]) -> Path:
    out, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    environment = Path(out.strip())
    found = subprocess.check_output([environment / "bin/python", "-c", "import sys; print(sys.prefix)"], text=True)
    assert found.strip() == str(environment)
    return environment


def wait_for(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


def test_many_jobs_at_once_build_one_environment(jobs):
    together = [jobs.start() for _ in range(6)]
    (environment,) = {answer(job) for job in together}
    assert jobs.built() == [str(environment)]
    assert sorted(path.name for path in jobs.shared.iterdir()) == [environment.name.partition(".")[0], environment.name]
    assert jobs.ask() == environment
    assert len(jobs.built()) == 1


def test_other_pins_and_another_node_type_are_other_environments(jobs):
    first, gpu = jobs.ask(), jobs.ask("--node-type", "gpu")
    jobs.pins.write_text("tiny==1.1\n")
    assert len({first, gpu, jobs.ask()}) == 3
    job = jobs.start("--node-type", "a/b")
    assert "'a/b': a node type is a word" in job.communicate()[1]
    assert job.returncode == 1


def test_a_builder_that_was_killed_is_replaced_at_once(jobs):
    killed = jobs.at_work()
    waiting = jobs.start()
    time.sleep(0.5)
    assert waiting.poll() is None
    half = jobs.built()[0]
    os.killpg(killed.pid, signal.SIGKILL)
    (jobs.folder / "wait").unlink()
    environment = answer(waiting)
    assert jobs.built() == [half, str(environment)]
    assert not Path(half).exists()
    assert not list(jobs.shared.glob("*.lock.*"))


def test_a_builder_that_is_cancelled_leaves_nothing(jobs):
    job = jobs.at_work()
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(20) == 128 + signal.SIGTERM
    assert list(jobs.shared.iterdir()) == []


def test_a_build_that_fails_says_so_and_the_next_job_tries_again(jobs):
    (jobs.folder / "build").write_text(f"#!/bin/sh\nmkdir -p $2/bin; test -e {jobs.folder}/mended || exit 7\n")
    job = jobs.start()
    assert "ended with exit code 7" in job.communicate()[1]
    assert job.returncode == 1
    assert list(jobs.shared.iterdir()) == []
    (jobs.folder / "build").write_text(BUILD.format(folder=jobs.folder))
    assert jobs.ask().is_dir()


def of_another_host() -> tuple[str, ...]:
    """What makes a command a process whose number means nothing here: a namespace of its own."""
    unshare = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces of processes here")
    return unshare


def test_of_a_builder_on_another_host_the_signs_of_life_count(jobs):
    elsewhere = of_another_host()
    killed = jobs.at_work()
    waiting = jobs.start("--lost-after", 3, before=elsewhere)
    time.sleep(4)  # longer than that, but the builder gives its signs
    assert waiting.poll() is None
    half = jobs.built()[0]
    os.killpg(killed.pid, signal.SIGKILL)
    (jobs.folder / "wait").unlink()
    began = time.monotonic()
    environment = answer(waiting)
    assert 1 < time.monotonic() - began < 20
    assert jobs.built() == [half, str(environment)]
    prune(jobs)
    assert Path(half).exists()  # for all that is known there, its builder may be slow
    for sign in (Path(half), Path(half, ".beat")):
        age(sign, 2 * 3600)
    prune(jobs)
    assert not Path(half).exists()
    assert environment.is_dir()


def test_a_builder_that_was_taken_for_dead_uses_what_the_other_one_built(jobs):
    slow = jobs.at_work()
    os.killpg(slow.pid, signal.SIGSTOP)
    (jobs.folder / "wait").unlink()
    environment = jobs.ask("--lost-after", 2)
    os.killpg(slow.pid, signal.SIGCONT)
    out, said = slow.communicate(timeout=60)
    assert out.strip() == str(environment), said
    assert jobs.ask() == environment
    assert [path for path in jobs.shared.iterdir() if path.is_dir() and not path.is_symlink()] == [environment]


def test_an_environment_without_its_python_is_built_again(jobs):
    first = jobs.ask()
    (first / "bin/python").unlink()
    second = jobs.ask()
    assert second != first
    assert jobs.ask() == second


def test_what_nobody_used_for_long_is_forgotten_and_then_removed(jobs):
    user = subprocess.Popen(["sleep", "600"])
    try:
        used, unused, recent = (
            jobs.ask("--node-type", "used", "--for", user.pid),
            jobs.ask("--node-type", "unused", "--for", ended()),
            jobs.ask("--node-type", "recent", "--for", ended()),
        )
        age(used / ".used", MONTH)
        age(unused / ".used", MONTH)
        forgotten = prune(jobs)
        assert unused.is_dir()  # somebody may have read the link just before
        assert f"forgot {unused.name.partition('.')[0]}" in forgotten
        assert "used-" not in forgotten.replace("unused-", "")
        for sign in (unused, unused / ".used", unused / ".beat"):
            age(sign, 2 * 3600)
        assert f"removed {unused.name}" in prune(jobs)
        assert [used.is_dir(), unused.is_dir(), recent.is_dir()] == [True, False, True]
        assert jobs.ask("--node-type", "unused").is_dir()
    finally:
        user.kill()
        user.wait()
    age(used / ".used", MONTH)
    assert f"forgot {used.name.partition('.')[0]}" in prune(jobs)


def test_a_forgotten_environment_stays_while_somebody_uses_it(jobs):
    environment = jobs.ask()
    (environment.parent / environment.name.partition(".")[0]).unlink()
    for sign in (environment, environment / ".used", environment / ".beat"):
        age(sign, MONTH)
    prune(jobs)
    assert environment.is_dir()


def test_what_is_being_built_is_not_pruned(jobs):
    job = jobs.at_work()
    (half,) = jobs.built()
    assert prune(jobs) == ""
    assert Path(half).is_dir()
    (jobs.folder / "wait").unlink()
    assert str(answer(job)) == half


def test_what_a_builder_finished_before_it_died_is_kept(jobs, monkeypatch):
    """It was killed before it took its lock away, while another job waited."""
    environment = jobs.ask()
    name, _, token = environment.name.partition(".")
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import shared_environment
    from processes import Who

    dead = Who("localhost", shared_environment.Who.of(1).place, ended(), "1", token=token)
    lock = jobs.shared / f"{name}.lock.1"
    lock.symlink_to(json.dumps(asdict(dead)))
    with shared_environment.builder(jobs.shared, name, shared_environment.Watch(jobs.shared, name, 9)) as me:
        assert me
    assert not lock.is_symlink()
    assert jobs.ask("--for", ended()) == environment
    lock.symlink_to(json.dumps(asdict(dead)))
    shutil.rmtree(environment / ".uses")
    age(environment / ".used", MONTH)
    assert f"forgot {name}" in prune(jobs)
    assert not lock.is_symlink()


def prune(jobs: Jobs) -> str:
    job = jobs.start("--prune")
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 0, said
    return said


def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_pins_are_installed(tmp_path, monkeypatch):
    """With the real builder and a package of its own, from a folder: as where there is no network."""
    write_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PYTHON", sys.executable)
    (tmp_path / "pins.txt").write_text("tiny==1.0\n")
    options = ["--folder", tmp_path / "shared", "--pins", tmp_path / "pins.txt"]
    both = [subprocess.Popen([SCRIPT, *options], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    (environment,) = {answer(job) for job in both}
    code = "import tiny; print(tiny.size)"
    assert subprocess.check_output([environment / "bin/python", "-c", code], text=True) == "1\n"


def write_wheel(folder: Path) -> None:
    folder.mkdir()
    about = "tiny-1.0.dist-info"
    files = {
        "tiny.py": "size = 1\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={digest(text)},{len(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{about}/RECORD": f"{record}{about}/RECORD,,\n"}.items():
            wheel.writestr(name, text)


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.mark.faults
def test_however_many_die_the_others_get_one_that_works(jobs):
    """Jobs that ask at once and are killed at any moment, some of them on other hosts; a new environment each round."""
    dice, elsewhere = chance("shared environment"), of_another_host()
    for round_number in range(15):
        jobs.pins.write_text(f"tiny=={round_number}\n")
        asking = [jobs.start("--lost-after", 4, before=elsewhere if number % 3 == 2 else ()) for number in range(5)]
        for job in dice.sample(asking, 3):
            time.sleep(dice.uniform(0, 0.25))
            if job.poll() is None:
                os.killpg(job.pid, dice.choice([signal.SIGKILL, signal.SIGTERM]))
        answers = {job.communicate(timeout=60)[0].strip() for job in asking} - {""}
        assert len(answers) == 1
        assert str(jobs.ask()) in answers
        injected("job killed while it asks for the shared environment", 3)
