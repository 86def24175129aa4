"""Who, when, where, and with which versions."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import secrets
import shlex
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_lock, _last = threading.Lock(), 0
_versions_seen: dict[str, str | None] = {}
#: Packages whose versions stand in every run.
ALWAYS = ("mlmat", "ase", "numpy", "parsl", "duckdb", "gemmi", "spglib")


def new_id() -> str:
    """A UUIDv7 (RFC 9562): milliseconds, a counter within each, random bits; ids of a process sort by time."""
    global _last  # noqa: PLW0603 - the counter is the point
    with _lock:
        _last = max(time.time_ns() // 1_000_000 << 12, _last + 1)
        tick = _last
    value = tick >> 12 << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0x2 << 62 | secrets.randbits(62)
    return str(UUID(int=value))


def sort_after(other: str) -> None:
    """Let new ids sort after this one, too, whatever the clock says now; what is no UUIDv7 is passed over."""
    global _last  # noqa: PLW0603
    value = UUID(other)
    if value.version == 7:
        with _lock:
            _last = max(_last, value.int >> 80 << 12 | value.int >> 64 & 0xFFF)


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def host() -> str:
    """Name of this host."""
    return socket.gethostname()


def here() -> str:
    """This process: host and process id."""
    return f"{host()}:{os.getpid()}"


def sha256(path: str | Path) -> str:
    """SHA-256 of a file of any size, as hexadecimal digits. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version_of(package: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions(extra: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the packages that make the numbers; what is not installed is left out."""
    found = {name: version_of(name) for name in dict.fromkeys((*ALWAYS, *extra))}
    return {name: version for name, version in found.items() if version}


def different(expected: Mapping[str, str]) -> str:
    """How this process's packages differ from these versions, for people; nothing where they are the same."""
    known = {name: _versions_seen.setdefault(name, version_of(name)) for name in expected}
    others = {name: version for name, version in expected.items() if known[name] != version}
    return ", ".join(f"{name} is {known[name] or 'missing'}, not {version}" for name, version in others.items())


def new_run(command: str, arguments: str | None = None, packages: Iterable[str] = (), **columns: Any) -> dict[str, Any]:
    """A row of table `run` for what starts now."""
    return {
        "run_id": new_id(),
        "command": command,
        "arguments": clean(arguments if arguments is not None else shlex.join(sys.argv)),
        "started_at": now(),
        "user_name": user_name(),
        "host": host(),
        "pid": os.getpid(),
        "directory": directory(),
        "mlmat_version": version_of("mlmat"),
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(packages),
        **columns,
    }


def who(run: Mapping[str, Any]) -> str:
    """Who is at work, for those who have to wait: process, host, and since when."""
    return f"process {run['pid']} on {run['host']}, since {run['started_at']:%Y-%m-%d %H:%M} UTC"


def clean(text: str) -> str:
    """Text that can be stored: valid UTF-8, with bytes of file names that are none written as `\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def directory() -> str | None:
    """Working directory, or None where it was deleted under us."""
    try:
        return clean(str(Path.cwd()))
    except FileNotFoundError:
        return None


def user_name() -> str | None:
    """Login name, or None where the system has no name for the user (some containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
