"""A file that a process and its child share: what the child is at, and its last words when it crashes or hangs."""

from __future__ import annotations

import mmap
import struct
import tempfile
import time

_AT = struct.Struct("<qqd")


class Note:
    """What the child is at: the number of the first structure, how many run together, since when (monotonic, s).

    The parent makes it without a number of a file, the child with the one it was given.
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - for life
            self.file.write(bytes(_AT.size))
        else:
            self.file = open(fd, "r+b", buffering=0)  # noqa: PTH123, SIM115 - a number, not a path
            self.file.seek(_AT.size)
        self._at = mmap.mmap(self.file.fileno(), _AT.size)

    def begin(self, first: int, count: int) -> None:
        """These structures run from now on."""
        _AT.pack_into(self._at, 0, first, count, time.monotonic())

    def end(self) -> None:
        """Nothing runs."""
        self.begin(0, 0)

    def at(self) -> tuple[int, int, float]:
        """First structure, number of structures (0: none) and seconds since they began."""
        first, count, since = _AT.unpack_from(self._at)
        return first, count, time.monotonic() - since

    def text(self) -> str:
        """What was written behind it."""
        self.file.seek(_AT.size)
        text = self.file.read().decode(errors="replace")
        return text.partition("\nExtension modules:")[0]  # a list of all that is loaded
