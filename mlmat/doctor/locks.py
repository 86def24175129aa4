"""The file locks of the store's file system, tried out, and what kind of file system it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlmat.doctor._line import Line, Place

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(place: Place) -> Iterator[Line]:
    """Two processes try DuckDB's lock and mlmat's own; a network file system is warned of whatever they find."""
    from mlmat.store.access.mounts import NETWORK, TABLE, file_system
    from mlmat.store.access.trial import try_locks

    remedy = "keep the store on a local disk of the host that runs mlmat, and copy it away when done"
    if not place.folder.is_dir():
        return  # the check of the disk has said so
    kind = file_system(os.path.realpath(place.folder), os.fsdecode(TABLE.read_bytes()))
    try:
        found = try_locks(place.folder)
    except OSError as error:
        yield Line("fail", "locks", f"{place.folder}: nothing can be written to try them ({error.strerror})", remedy)
        return
    for lock, wrong in found.items():
        if wrong:
            yield Line("fail", "locks", f"the lock of {lock} does not work in {place.folder} ({kind}): {wrong}", remedy)
    if kind in NETWORK:
        says = f"{place.folder} is a network file system ({kind}), where locks may fail: one host at a time may use it"
        yield Line("warn", "locks", says, remedy)
    elif not any(found.values()):
        yield Line("ok", "locks", f"held between two processes, given up by one that was killed ({kind or 'unknown'})")
