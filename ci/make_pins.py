"""Write the files of exact versions in ci/environment, one for each Python and kind of node (make pins).

What a file pins already stays, so that a second run changes nothing; `--upgrade` takes the newest of everything but
torch. The file of the oldest Python leads: the others take its versions wherever these exist for them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
PINS = ROOT / "ci/environment"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LEADS = PINS / "linux-cpu-py311.txt"
#: What mlmat is computed with. Another one is a decision, not an upgrade: numbers and pickled models depend on it.
TORCH = "2.13.0"
#: What the CPU build of this torch needs. The index tells of the CUDA build only, which needs gigabytes more.
CPU_TORCH = f"""[[dependency-metadata]]
name = "torch"
version = "{TORCH}"
requires-dist = ["filelock", "fsspec>=0.8.5", "jinja2", "networkx>=2.5.1", "setuptools>=77.0.3", "sympy>=1.13.3",
    "typing-extensions>=4.10.0"]
"""
#: Beside mlmat and its extras: torch, and what an editable installation without isolation builds with.
WANTED = f"torch=={TORCH}\nhatchling>=1.27\neditables\n"
EXTRAS = ("chgnet", "dev", "polars")
#: Without wheels, but of Python alone: pip builds them anywhere. Everything else must have wheels.
SOURCES = ("bibtexparser", "nvidia-ml-py3", "python-hostlist")


def name(line: str) -> str:
    """The package of a line of pins, as the index spells it."""
    return re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()


def pinned(file: Path) -> dict[str, str]:
    """Package -> line."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {name(line): line for line in lines if "==" in line}


def compiled(python: str, kind: str, prefer: dict[str, str]) -> str:
    """Exact versions for a Python of Linux on x86-64, those of `prefer` where they will do."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, settings, out = (Path(folder) / name for name in ("wanted.in", "uv.toml", "pins.txt"))
        wanted.write_text(WANTED)
        settings.write_text(CPU_TORCH if kind == "cpu" else "")
        out.write_text("".join(f"{line}\n" for line in prefer.values()))
        command = ["uv", "--quiet", "--config-file", settings, "pip", "compile", ROOT / "pyproject.toml", wanted]
        command += [f"--extra={extra}" for extra in EXTRAS]
        command += ["--only-binary=:all:", *(f"--no-binary={package}" for package in SOURCES)]
        command += [f"--python-version={python}", "--python-platform=x86_64-manylinux_2_28"]
        subprocess.run([*command, "--no-header", "--no-annotate", f"--output-file={out}"], check=True)
        return out.read_text()


def write(python: str, kind: str, upgrade: bool) -> None:
    """Write the file of a Python and a kind of node."""
    file = PINS / f"linux-{kind}-py{python.replace('.', '')}.txt"
    leads = file == LEADS
    prefer = {} if upgrade else pinned(file)
    prefer |= {} if leads else pinned(LEADS)
    text = compiled(python, kind, prefer)
    file.write_text(f"# Python {python}, Linux, {kind.upper()}. Written by `make pins`.\n{text}")
    print(f"{file.relative_to(ROOT)}: {len(pinned(file))} packages")


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="the newest versions, but of torch")
    upgrade = parser.parse_args().upgrade
    try:
        for python, kind in product(PYTHONS, ("cpu", "cuda")):
            write(python, kind, upgrade)
    except FileNotFoundError:
        sys.exit("make_pins: there is no uv; `make pins` installs it")
    except subprocess.CalledProcessError as error:
        sys.exit(f"make_pins: uv found no versions that fit (exit code {error.returncode}); its reasons are above")


if __name__ == "__main__":
    main()
