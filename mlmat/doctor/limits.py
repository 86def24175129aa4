"""Cores and memory that this process may use, which may be less than the machine has."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat.doctor._line import Line, Place, size
from mlmat.processes import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes for each core below which workers with a potential may not fit.
TIGHT = 1_000_000_000
#: Open files that one driver with some hundred workers needs.
FILES = 1024


def check(place: Place) -> Iterator[Line]:
    """Cores by affinity and by the control group, memory likewise, open files."""
    own = Path("/proc/self/cgroup")
    groups = list(control_groups(own.read_text(), Path("/sys/fs/cgroup"))) if sys.platform == "linux" else []
    mine, there, quota = machine.cores(), os.cpu_count() or 1, cores_allowed(groups)
    says = f"{mine} of {there} cores may be used"
    if quota is not None and quota < mine - 0.1:
        says += f", but the control group gives time for {quota:.3g}"
        yield Line(
            "warn", "limits", says, f"start mlmat with `taskset -c 0-{max(0, round(quota) - 1)}`: one worker per core"
        )
    else:
        yield Line("ok", "limits", says)
    yield _memory(groups, mine)
    if (soft := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < FILES:
        yield Line("warn", "limits", f"only {soft} files may be open at once", "raise it: ulimit -n 4096")


def _memory(groups: list[Path], cores: int) -> Line:
    free, allowed = machine.memory(), memory_allowed(groups)
    says = f"{size(free)} of memory are available"
    if allowed is not None and allowed < free:
        says, free = f"{says}, but the control group allows {size(allowed)} more", allowed
    if free < TIGHT * cores:
        remedy = "fewer workers (taskset -c …), or --memory-limit, so that one that grows fails alone"
        return Line("warn", "limits", f"{says}, less than 1 GB for each core", remedy)
    return Line("ok", "limits", says)


def control_groups(text: str, root: Path) -> Iterator[Path]:
    """Folders of the control groups that a process is in, from /proc/self/cgroup; innermost first, both versions."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for base in [root / name for name in controllers.split(",")] if controllers else [root]:
            inner = base / path.lstrip("/")
            yield from (one for one in (inner, *inner.parents) if one.is_relative_to(base) and one.is_dir())


def cores_allowed(groups: list[Path]) -> float | None:
    """Cores' worth of time that the control groups give; None for any number."""
    found = []
    for group in groups:
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            found += [int(quota) / int(period)] if quota != "max" else []
        with suppress(OSError, ValueError):
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            found += [int(quota) / int(period)] if int(quota) > 0 else []
    return min(found, default=None)


def memory_allowed(groups: list[Path]) -> int | None:
    """Bytes that this process and those around it may still take; None where no control group says."""
    found = []
    for group in groups:
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(OSError, ValueError):
                found.append(
                    max(0, int((group / limit).read_text()) - int((group / used).read_text()) + _cached(group))
                )
    return min(found, default=None)


def _cached(group: Path) -> int:
    """Bytes of files that the kernel keeps for a group, and gives back when they are asked for."""
    text = (group / "memory.stat").read_text()
    return int(next((line.split()[1] for line in text.splitlines() if line.startswith("inactive_file ")), "0"))
