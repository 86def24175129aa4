"""The files of exact versions, and which Python is taken for them."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mlmat.doctor.versions import unmet

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "ci/environment").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned(file: Path) -> dict[str, str]:
    return dict(line.split("==") for line in file.read_text().splitlines() if not line.startswith("#"))


def find(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{path}:/usr/bin:/bin" if path else "/usr/bin:/bin"}
    command = [ROOT / "ci/find-python", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def fake(folder: Path, name: str, version: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho {version}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_pins_are_whole_and_within_bounds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has = pinned(file)
    monkeypatch.setattr("mlmat.provenance.version_of", has.get)
    assert not list(unmet(PROJECT["dependencies"]))
    assert {"hatchling", "editables", "setuptools", "pytest", "mypy", "ruff"} <= set(has)
    assert has["torch"] == pinned(FILES[0])["torch"]
    assert ("triton" in has) == ("cuda" in file.stem)
    assert any(name.startswith("nvidia-cu") for name in has) == ("cuda" in file.stem)


def test_versions_are_the_same_in_all_files() -> None:
    seen = {item for file in FILES for item in pinned(file).items()}
    assert len(seen) == len(dict(seen))


def test_every_python_of_the_classifiers_has_pins() -> None:
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert versions
    names = {file.name for file in FILES}
    assert {
        f"linux-{kind}-py{version.replace('.', '')}.txt" for version in versions for kind in ("cpu", "cuda")
    } <= names


def test_the_python_that_is_named_is_taken() -> None:
    assert find(sys.executable).stdout.strip() == sys.executable


def test_a_python_is_found(tmp_path: Path) -> None:
    fake(tmp_path, "python3.11", "")  # a shim, which runs nothing
    fake(tmp_path, "python3.12", "3.12")
    assert find(path=tmp_path).stdout == "python3.12\n"


@pytest.mark.parametrize(("version", "says"), [("3.10", "has version 3.10"), (None, "is not there or does not run")])
def test_a_python_without_pins_is_refused_in_one_line(tmp_path: Path, version: str | None, says: str) -> None:
    if version:
        fake(tmp_path, "python", version)
    done = find(str(tmp_path / "python"))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert says in line
    assert "versions are pinned for Python 3.11 3.12" in line
