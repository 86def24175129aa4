"""Try the pipeline without GitLab: each job of ci/gitlab-ci.yml as a job of Slurm, in a checkout of its own.

    .venv/bin/python ci/try_pipeline.py --folder /shared/disk/trial "smoke screen" "monte carlo"

SLURM_CONF says which cluster; without sbatch settings of your own it is the one of this host. Stages come one after the
other, the jobs of a stage two at a time, as with a runner that hands its jobs to Slurm.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
PIPELINE = ROOT / "ci/gitlab-ci.yml"
#: Keys of the file that are no jobs.
OTHERS = {"stages", "variables", "default", "include", "workflow"}
#: What a job must not have from whoever tries the pipeline.
OURS = {"PYTHONPATH", "VIRTUAL_ENV", "MLMAT_DB"}


def jobs(pipeline: dict[str, Any], given: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The jobs of a pipeline by name, with what they extend, and the variables of all. What is given comes first."""
    found = {}
    for name in (name for name in pipeline if name not in OTHERS and not name.startswith(".")):
        found[name] = merged({"variables": pipeline.get("variables", {})}, whole(pipeline, name))
        variables = {key: str(value) for key, value in {**found[name]["variables"], **given}.items()}
        expanded = {key: Template(value).safe_substitute(variables) for key, value in variables.items()}
        found[name]["variables"] = expanded
    return found


def whole(pipeline: dict[str, Any], name: str) -> dict[str, Any]:
    """A job with what it extends."""
    job = pipeline[name]
    return merged(whole(pipeline, job["extends"]), job) if "extends" in job else job


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two mappings, the second one first in doubt; mappings in them likewise, as GitLab does."""
    both = {key: merged(first[key], second[key]) for key in first if isinstance(second.get(key), dict)}
    return {**first, **second, **both}


def script(job: dict[str, Any]) -> str:
    """A job as one bash script, run in its checkout."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in {**job["variables"], "CI": "true"}.items()]
    return "\n".join(["#!/bin/bash", "set -eo pipefail", *lines, *job.get("before_script", []), *job["script"], ""])


def submit(name: str, job: dict[str, Any], folder: Path, commit: str) -> bool:
    """Hand a job to Slurm and wait for its end; whether it succeeded."""
    word, began = name.replace(" ", "-"), time.monotonic()
    checkout, log = folder / word, folder / f"{word}.log"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(checkout)], check=True)
    subprocess.run(["git", "-C", str(checkout), "checkout", "--quiet", "--detach", commit], check=True)
    asked = job["variables"].get("SCHEDULER_PARAMETERS", "")
    command = ["sbatch", "--wait", "--parsable", f"--job-name=mlmat-ci-{os.getpid()}", f"--output={log}"]
    command += [f"--chdir={checkout}", *shlex.split(asked)]
    environment = {key: value for key, value in os.environ.items() if key not in OURS}
    done = subprocess.run(command, input=script(job), text=True, capture_output=True, env=environment, check=False)
    verdict = "ok" if done.returncode == 0 else f"failed ({done.returncode})"
    print(f"{name}: {verdict} after {time.monotonic() - began:.0f} s, {log}", flush=True)
    if done.returncode:
        lines = log.read_text().splitlines()[-20:] if log.exists() else []
        print("\n".join(f"    {line}" for line in [*done.stderr.splitlines(), *lines]), flush=True)
    return done.returncode == 0


def main() -> None:
    """Run the pipeline, or the named jobs of it; exit code 1 when a job fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("jobs", nargs="*", help="names of jobs (all)")
    parser.add_argument("--folder", type=Path, required=True, help="for checkouts and logs; all nodes see it")
    parser.add_argument("--at-once", type=int, default=2, help="jobs of a stage at a time (2)")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="variables of the pipeline")
    options = parser.parse_args()
    pipeline = yaml.safe_load(PIPELINE.read_text())
    found = jobs(pipeline, dict(one.split("=", 1) for one in options.set))
    if unknown := set(options.jobs) - set(found):
        parser.error(f"no job {', '.join(unknown)}; there are {', '.join(found)}")
    options.folder.mkdir(parents=True)
    commit = subprocess.check_output(["git", "-C", str(ROOT), "rev-parse", "HEAD"], text=True).strip()
    try:
        for stage in pipeline["stages"]:
            chosen = [name for name in options.jobs or found if found[name]["stage"] == stage]
            with ThreadPoolExecutor(options.at_once) as pool:
                ended = [pool.submit(submit, n, found[n], options.folder.absolute(), commit) for n in chosen]
            if not all(one.result() for one in ended):
                sys.exit(1)
    except KeyboardInterrupt:
        subprocess.run(["scancel", f"--name=mlmat-ci-{os.getpid()}"], check=False)
        raise


if __name__ == "__main__":
    main()
