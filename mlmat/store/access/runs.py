"""What the driver of each run tells: a small file, `FILE.d/runs/RUN.json`, written anew every few seconds.

Who watches a run needs nothing else, and who comes in the morning finds how it ended. Whether a driver lives is not in
the file: the lock of its method says it, or the claim of its host.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.store.access import drivers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlmat.store.access.hosts import LeaseManager

#: Runs that are remembered.
KEEP = 100
#: Seconds after which the word of a driver on another host is old: its lock may not be seen here.
FRESH = 60.0

Record = dict[str, Any]


def place(folder: Path, run_id: str) -> Path:
    """The file of a run."""
    return folder / "runs" / f"{run_id}.json"


def write(path: Path, record: Record) -> None:
    """Put a record in the place of the one before, in whole or not at all. Raises OSError."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(record, default=str))
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove the oldest records beyond those that are kept; of runs that left something, never."""
    for path in sorted((folder / "runs").glob("*.json"))[:-KEEP]:
        record = _read(path)
        if record is None or record.get("clean"):
            with suppress(OSError):
                path.unlink()


def states(folder: Path, hosts: LeaseManager | None) -> list[Record]:
    """The records, newest first, each with `alive`: whether its driver is at work, here or on another host."""
    found = (_state(folder, path, hosts) for path in sorted((folder / "runs").glob("*.json"), reverse=True))
    return [record for record in found if record is not None]


def _state(folder: Path, path: Path, hosts: LeaseManager | None) -> Record | None:
    record = _read(path)
    if record is None:
        return None
    if record.get("outcome") is None and not _is_driven(folder, record, hosts):
        # It may have ended between the two looks: then it has said so.
        record = _read(path) or record
        return {**record, "alive": False}
    return {**record, "alive": record.get("outcome") is None}


def _is_driven(folder: Path, record: Record, hosts: LeaseManager | None) -> bool:
    if record["host"] != provenance.host():
        claimed = {one.who for one in hosts.living("method-")} if hosts else set()
        if record["who"] in claimed or time.time() - record["updated"] < FRESH:
            return True
    return drivers.is_driving(folder, record["method_id"], record["who"])


def _read(path: Path) -> Record | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return (
        found if isinstance(found, dict) and {"run_id", "who", "host", "method_id", "updated"} <= set(found) else None
    )


def with_orphans(records: list[Record]) -> Iterator[Record]:
    """Of records those whose driver is gone and did not end all that it had started."""
    return (record for record in records if not record["alive"] and not record.get("clean"))
