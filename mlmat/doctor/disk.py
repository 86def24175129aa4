"""Room on the disks, and whether this user may write there."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from mlmat.doctor._line import Line, Place, existing, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes below which nothing can be done, and below which a large screen should not be started.
NOTHING, LITTLE = 50_000_000, 5_000_000_000
#: Bytes that are written to see whether they can be: a quota is told by nothing else.
TRIAL = 1_000_000


def check(place: Place) -> Iterator[Line]:
    """The store's folder, the folder for temporary files and the cache of models."""
    from mlmat.potentials.weights import cache_folder

    if not place.folder.is_dir():
        yield Line(
            "fail", "disk", f"{place.folder}: there is no such folder", "make it, or name another store with --db"
        )
        return
    yield _written(place)
    places = {"the store": place.folder, "temporary files": existing(_temporary()), "models": existing(cache_folder())}
    seen: dict[int, str] = {}
    for what, folder in places.items():
        device = folder.stat().st_dev
        if device not in seen:
            seen[device] = what
            yield _room(what, folder)


def _temporary() -> Path:
    from pathlib import Path

    return Path(os.environ.get("TMPDIR") or "/tmp")  # where the system puts them, and not what Python has tried out


def _written(place: Place) -> Line:
    try:
        with tempfile.NamedTemporaryFile(dir=place.folder, prefix=".mlmat-doctor-") as file:
            file.write(b"\0" * TRIAL)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        says = f"{place.folder} cannot be written ({error.strerror})"
        return Line(
            "fail", "disk", says, "see who owns it, make room or ask for quota, or name another store with --db"
        )
    beside = place.db.with_name(f"{place.db.name}.d")
    for path in (place.db, beside):
        if path.exists() and not os.access(path, os.W_OK):
            return Line("fail", "disk", f"{path} may not be written by this user", "see who owns it, or work on a copy")
    return Line("ok", "disk", f"{place.folder} can be written")


def _room(what: str, folder: Path) -> Line:
    free, files = shutil.disk_usage(folder).free, os.statvfs(folder)
    says = f"{size(free)} free for {what} ({folder})"
    if free < NOTHING:
        return Line("fail", "disk", says, "make room, or go where there is some")
    if files.f_files and files.f_favail < 1000:
        return Line("fail", "disk", f"{says}, but only {files.f_favail:,} more files", "remove files that nobody needs")
    if free < LITTLE:
        return Line("warn", "disk", says, "enough for a beginning; forces of large cells need about 100 bytes an atom")
    return Line("ok", "disk", says)
