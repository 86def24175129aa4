"""A store for one job, which is gone afterwards, however the job ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "ci/with-store"
MAKES_FILES = 'touch "$MLMAT_DB" "$MLMAT_SCRATCH/log"; echo "$MLMAT_DB"; echo "$MLMAT_SCRATCH"; '


@pytest.fixture
def disks(tmp_path, monkeypatch):
    """The disk of this host and the one that the nodes see, with what lies there."""
    for name, variable in (("local", "TMPDIR"), ("shared", "MLMAT_SCRATCH")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return lambda: sorted(path.name for disk in ("local", "shared") for path in (tmp_path / disk).iterdir())


def start(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SCRIPT, "bash", "-c", script], stdin=-1, stdout=-1, stderr=-1, text=True, start_new_session=True
    )


def told(job: subprocess.Popen[str], lines: int = 2) -> list[Path]:
    """What a job that goes on says first."""
    return [Path(job.stdout.readline().strip()) for _ in range(lines)]


@pytest.mark.parametrize("code", [0, 7])
def test_the_code_is_the_commands_and_nothing_is_left(disks, tmp_path, code):
    job = start(MAKES_FILES + f'read line; test "$line" = hello && exit {code}; exit 99')
    out, _ = job.communicate("hello\n", timeout=20)
    assert job.returncode == code
    database, scratch = map(Path, out.split())
    assert database.parent.parent == tmp_path / "local"
    assert scratch.parent == tmp_path / "shared"
    assert disks() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_cancelled_job_stops_cleanly_and_leaves_nothing(disks, tmp_path, number):
    job = start(MAKES_FILES + f"trap 'touch {tmp_path}/stopped; exit 0' TERM; while :; do sleep 0.1; done")
    told(job)
    job.send_signal(number)
    assert job.wait(20) == 128 + number
    assert (tmp_path / "stopped").exists()
    assert disks() == []


def test_what_the_command_started_stops_cleanly_too(disks, tmp_path):
    inner = f"trap 'sleep 1; touch {tmp_path}/stopped; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    job = start(f'bash -c "{inner}"; exit 0')
    told(job, 1)
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 143
    assert (tmp_path / "stopped").exists()
    assert disks() == []


def test_in_a_job_of_slurm_the_signal_comes_once(disks, tmp_path, monkeypatch):
    """Slurm signals all processes of a job itself."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    job = start(f"trap 'echo x >> {tmp_path}/signals' TERM; echo $$; for i in $(seq 20); do sleep 0.1; done")
    (pid,) = told(job, 1)
    os.kill(int(str(pid)), signal.SIGTERM)
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == 143
    assert (tmp_path / "signals").read_text() == "x\n"
    assert disks() == []


def test_a_job_whose_command_does_not_stop_is_ended_with_all_that_it_started(disks, monkeypatch):
    monkeypatch.setenv("MLMAT_KILL_AFTER", "2")
    job = start("sleep 600 & echo $!; trap '' TERM; " + MAKES_FILES + "while :; do sleep 0.1; done")
    pid, *_ = told(job, 3)
    began = time.monotonic()
    os.killpg(job.pid, signal.SIGTERM)
    assert job.wait(40) == 143
    assert 2 < time.monotonic() - began < 10
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
    assert disks() == []


def test_what_a_killed_job_left_is_removed_by_the_next_one_but_nothing_of_the_living(disks, tmp_path):
    killed, living = start("echo $$; " + MAKES_FILES + "sleep 600"), start(MAKES_FILES + "read line")
    pid, *_ = map(str, told(killed, 3))
    told(living)
    killed.kill()
    killed.wait()
    old = tmp_path / "shared/mlmat-ci.another-host.1.1.abc"
    old.mkdir()
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    (tmp_path / "shared/mlmat-ci.another-host.1.1.new").mkdir()
    assert len(disks()) == 6
    job = start("true")
    assert job.communicate(timeout=20)[1].count("which a job left behind") == 2
    assert len(disks()) == 3
    living.communicate("\n", timeout=20)
    assert disks() == ["mlmat-ci.another-host.1.1.new"]
    os.killpg(int(pid), signal.SIGKILL)


def test_a_screen_finds_its_store(disks):
    root = SCRIPT.parents[1]
    command = f"{sys.executable} -m mlmat"
    script = f'{command} ingest {root}/examples/crystals/NaCl.cif && {command} sql "SELECT count(*) FROM structure"'
    out, said = start(script).communicate(timeout=60)
    assert "1" in out.split(), said
    assert disks() == []
