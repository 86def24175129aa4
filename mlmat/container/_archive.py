"""What archives share: which members are refused by their name or kind."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

#: Names of archives: one inside another is not opened.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".db", ".7z", ".rar")
NESTED = "an archive inside an archive is not opened: unpack it first"


def nested(name: str) -> bool:
    """Whether a member is an archive itself."""
    return name.lower().endswith(ARCHIVES)


def unsafe(name: str) -> str | None:
    """Why a member of this name is refused, or None. Nothing is written to disk, but nobody honest packs such names."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if not name or "\0" in name:
        return "a member without a usable name"
    if posix.is_absolute() or windows.drive or windows.root:
        return "an absolute path: such a member is not read"
    if ".." in posix.parts or ".." in windows.parts:
        return "a path that leads out of the archive: such a member is not read"
    return None


def too_large(size: int, max_bytes: int) -> str | None:
    """Why a member of so many bytes is refused, or None."""
    if size <= max_bytes:
        return None
    return f"too large: {size / 2**20:.6g} MiB, the limit is {max_bytes / 2**20:.6g} MiB"
