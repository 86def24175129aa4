"""Folders that are full or read-only for real: file systems of their own, mounted where nobody else sees them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


class Room:
    """A small disk (size such as 2m), or with size None a folder that is bound read-only; and commands inside.

    A user namespace is enough for that; where the kernel gives none the test is skipped.
    """

    def __init__(self, path: Path, size: str | None) -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        tmpfs = f'mount -t tmpfs -o size={size} tmpfs "$0"'
        bound = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
        script = f"{bound if size is None else tmpfs} && echo ready && exec sleep 600"
        self.keeper = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", script, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.keeper.stdout
        if self.keeper.stdout.readline() != "ready\n":
            pytest.skip(f"no file system can be mounted here: {self.keeper.communicate()[1].strip()}")

    @property
    def inside(self) -> Path:
        """The folder as it is inside."""
        return Path(f"/proc/{self.keeper.pid}/root{self.path}")

    def brought_out(self, name: str, to: Path) -> Path:
        """A copy of a store inside, with what lies beside it: DuckDB finds no way in."""
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        for path in self.inside.glob(f"{name}*"):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, to / path.name)
        return to / name

    def start(self, *command: object) -> subprocess.Popen[str]:
        """Start a program inside."""
        enter = ["nsenter", "-t", str(self.keeper.pid), "-U", "-m", "--preserve-credentials"]
        pipe = subprocess.PIPE
        return subprocess.Popen([*enter, *map(str, command)], stdout=pipe, stderr=pipe, text=True, cwd="/")

    def mlmat(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command inside."""
        return self.start(sys.executable, "-m", "mlmat", *arguments)

    def grow(self, size: str) -> None:
        """Make the disk larger."""
        assert self.start("mount", "-o", f"remount,size={size}", self.path).wait() == 0

    def fill(self) -> None:
        """Leave no room on the disk."""
        self.start("dd", "if=/dev/zero", f"of={self.path}/filler", "bs=4k").wait()

    def empty(self) -> None:
        """Make room again."""
        assert self.start("rm", self.path / "filler").wait() == 0

    def close(self) -> None:
        """Give the file system up."""
        self.keeper.kill()
        self.keeper.communicate()
