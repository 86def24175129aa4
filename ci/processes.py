"""Who is at work: a process on one of several hosts, or a job of Slurm. Is it still there?"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Who:
    """A process: its number means something on its host, since its boot, in its namespace."""

    host: str
    place: str
    pid: int
    born: str
    slurm_job: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(6))

    @classmethod
    def of(cls, pid: int) -> Who:
        """The process of this number on this host."""
        return cls(socket.gethostname(), here(), pid, born(pid), os.environ.get("SLURM_JOB_ID", ""))

    def is_gone(self) -> bool | None:
        """None for a process of another host, of which nothing is known here."""
        return not self.born or born(self.pid) != self.born if self.place == here() else None

    def job_is_over(self) -> bool | None:
        """Whether the Slurm job that it is part of has ended; None without a job, or without Slurm."""
        jobs = slurm_jobs() if self.slurm_job else None
        return None if jobs is None else self.slurm_job not in jobs


def here() -> str:
    """Where numbers of processes are comparable."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"


def born(pid: int) -> str:
    """When a process began, in ticks since boot; empty when it is gone. Numbers come again."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


@cache
def slurm_jobs() -> frozenset[str] | None:
    """Ids of the jobs that Slurm has; None when it cannot be asked."""
    command = ["squeue", "--noheader", "--format=%A"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return frozenset(asked.stdout.split())
