"""Python environments that are not as they should be, made for real: programs missing, another version of a package."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import mlmat

#: The package under test comes first, as it does for this process.
HERE = str(Path(mlmat.__file__).parent.parent)


def bare(folder: Path) -> Path:
    """A Python that finds every package of this one, and has none of its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    inside = [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    target = subprocess.run([python, *inside[1:]], capture_output=True, text=True, check=True).stdout.strip()
    (Path(target) / "others.pth").write_text(f"{HERE}\n{sysconfig.get_path('purelib')}\n")
    return python


def with_other_version(folder: Path, package: str, version: str) -> Path:
    """A Python with parsl's programs, whose metadata tell another version of a package."""
    python = bare(folder)
    target = next((folder / "lib").glob("python*")) / "site-packages" / f"{package}-{version}.dist-info"
    target.mkdir()
    (target / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    program = Path(sys.executable).parent / "process_worker_pool.py"
    text = program.read_text().partition("\n")[2]
    (python.parent / program.name).write_text(f"#!{python}\n{text}")
    (python.parent / program.name).chmod(0o755)
    return python


def without(*names: str) -> dict[str, str]:
    """This process's environment without some variables."""
    return {name: value for name, value in os.environ.items() if name not in names}
