"""The wheel carries its SQL and works where no checkout is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this checkout, unpacked as pip does it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder / "site"),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    return folder


def test_wheel_has_every_sql_file(installed: Path) -> None:
    (wheel,) = installed.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {f"mlmat/schemas/{file.relative_to(ROOT / 'schemas')}" for file in (ROOT / "schemas").rglob("*.sql")}
    page = ROOT / "mlmat" / "page"
    files |= {str(file.relative_to(ROOT)) for folder in ("files", "vendor") for file in (page / folder).iterdir()}
    assert files <= names
    assert not any(name.startswith(("tests", "schemas", "examples")) for name in names)


def test_wheel_works_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed / "site")}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(installed) in python("-c", "import mlmat; print(mlmat.__file__)")
    python("-m", "mlmat", "ingest", str(ROOT / "examples" / "crystals" / "Al_fcc.cif"))
    python("-m", "mlmat", "screen", "--runner", "mlmat.example_runner", "--config", "threads")
    assert python("-m", "mlmat", "reduce", "ranking").splitlines()[1].startswith("Al ")
