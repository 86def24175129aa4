"""The pipeline for GitLab: it can be read, and names only what is there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = [path for path in sorted((ROOT / "ci").iterdir()) if path.is_file() and path.read_bytes()[:2] == b"#!"]


@pytest.fixture
def jobs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "ci"))
    import try_pipeline

    return try_pipeline.jobs(
        yaml.safe_load((ROOT / "ci/gitlab-ci.yml").read_text()), {"MLMAT_SBATCH": "--account=mine"}
    )


def test_every_job_is_for_runners_of_slurm_and_has_its_environment_first(jobs):
    stages = yaml.safe_load((ROOT / "ci/gitlab-ci.yml").read_text())["stages"]
    assert {job["stage"] for job in jobs.values()} == set(stages)
    for job in jobs.values():
        assert job["tags"] == ["slurm", "$MLMAT_NODE_TYPE"]
        assert job["before_script"][0] == "ci/job-environment"
        assert re.match(r"--account=mine --nodes=\d .*--time=", job["variables"]["SCHEDULER_PARAMETERS"])


def test_every_script_that_a_job_names_is_there(jobs):
    lines = [line for job in jobs.values() for line in [*job["before_script"], *job["script"]]]
    words = [word for line in lines for word in shlex.split(line) if re.match(r"(ci|examples)/", word)]
    assert {"ci/check", "ci/test", "ci/smoke-screen", "examples/pi.py"} <= set(words)
    for word in words:
        assert (ROOT / word).is_file(), word
        assert word.endswith(".py") or (ROOT / word).stat().st_mode & 0o111, word


def test_every_variable_that_a_job_uses_has_a_value(jobs):
    for job in jobs.values():
        used = {name for line in [*job["before_script"], *job["script"]] for name in re.findall(r"\$(\w+)", line)}
        assert used <= set(job["variables"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_bash_can_read_them(script):
    assert script.stat().st_mode & 0o111
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).stderr == b""


@pytest.mark.slow
def test_pi_from_many_tasks():
    command = [sys.executable, ROOT / "examples/pi.py", "--config", "threads", "--tasks", "20", "--throws", "20000"]
    said = subprocess.check_output(command, text=True, cwd=ROOT)
    assert float(said.split()[2]) == pytest.approx(3.14159, abs=0.02)
    assert "from 20 tasks on 1 node(s)" in said
    refused = subprocess.run([*command, "--nodes", "2"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert refused.stderr.strip() == "2 nodes were asked for"
    assert refused.returncode == 1
