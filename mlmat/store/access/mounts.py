"""Which file system a path lies on, and whether DuckDB's locks can be relied upon there."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

#: The mounts of this process, as the kernel knows them.
TABLE = Path("/proc/self/mountinfo")
#: Types of file systems that several hosts share, as /proc/self/mountinfo calls them.
NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs3"),
    *("nfs4", "ncpfs", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs", "fuse.ceph", "fuse.cvmfs"),
    *("fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
}


def file_system(path: str, mountinfo: str) -> str:
    """Type of the file system that an absolute path lies on, by the text of /proc/self/mountinfo; empty if unknown.

    Of two mounts on one place the later one counts.
    """
    longest, found = -1, ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        if len(parts := fields.split(" ")) < 5 or not rest:
            continue
        point = _unescaped(parts[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            longest, found = len(point), rest.split(" ")[0]
    return found


def _unescaped(text: str) -> str:
    r"""A mount point as it is: the kernel writes a space as \040."""
    plain = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8) & 0xFF]), os.fsencode(text))
    return os.fsdecode(plain)


def network(path: Path) -> str | None:
    """Type of the network file system that a path lies on; None on a local disk, or where nobody knows."""
    with suppress(OSError):
        kind = file_system(os.path.realpath(path), _table())
        return kind if kind in NETWORK else None
    return None


def _table() -> str:
    """The mounts as the kernel writes them; where it does not, psutil's in that form."""
    if TABLE.exists():
        return os.fsdecode(TABLE.read_bytes())
    import psutil

    points = [(part.mountpoint.replace(" ", "\\040"), part.fstype) for part in psutil.disk_partitions(all=True)]
    return "".join(f"0 0 0:0 / {point} - {kind} -\n" for point, kind in points)


def network_warning(path: Path) -> str | None:
    """What to say to somebody who writes into a store on a network file system; None on a local disk."""
    if (kind := network(path)) is None:
        return None
    return (
        f"{path}: the store lies on a network file system ({kind}), where file locks may fail and two writers "
        "may damage it; keep it on a local disk of the host that runs mlmat, and copy it away when done"
    )
