"""The journal: what came back from workers, on disk before anybody is told, until the store has it.

One append-only file per driver, `FILE.d/journal/NAME.STORE.journal`, locked by its owner for life; STORE tells the
store that it belongs to: another one that was made in its place does not take it in. A record is a frame with its
length and checksum; one that was cut short or damaged is stepped over, and a copy of the file stays as FILE.damaged.
Nothing but `clear` ever takes a record away. Merging twice changes nothing (result_id).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from mlmat.errors import StoreError
from mlmat.store.access.hosts import Holder
from mlmat.store.access.messages import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mlmat.store.access.hosts import Lease, LeaseManager

_HEAD = struct.Struct("<4sII")
_MAGIC = b"MLJ1"
#: macOS has only the other one, and writes no more than that to its disk's own memory.
_SYNC = getattr(os, "fdatasync", os.fsync)


class Journal:
    """A journal that this process owns.

    Raises BlockingIOError when another living process owns it, StoreError when it cannot be made.
    """

    def __init__(self, folder: Path, name: str, hosts: LeaseManager | None = None) -> None:
        self.path = folder / f"{name}.journal"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd, self._claim = _own(self.path, hosts)
        except BlockingIOError:
            raise
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._size = _keep_damage(self._fd, self.path)

    def append(self, frame: bytes) -> None:
        """Keep a frame: on disk when this returns. Raises StoreError when it cannot be; what was there stays."""
        if not self._is_there():
            raise StoreError(f"{self.path}: the journal was deleted or moved under this run; start it again")
        record = _record(frame)
        try:
            _write_all(self._fd, record)
            _SYNC(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise unwritable(self.path, error) from error
        self._size += len(record)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def __len__(self) -> int:
        """Bytes that wait to be merged."""
        return self._size

    def frames(self) -> Iterator[bytes]:
        """The frames that wait to be merged."""
        return read(self._fd)

    def clear(self) -> None:
        """Forget the frames: the store has them."""
        os.ftruncate(self._fd, 0)
        self._size = 0

    def set_aside(self, frame: bytes) -> Path:
        """Keep in FILE.refused what the store would not take: nobody tries again, nothing is lost."""
        kept = self.path.with_suffix(".refused")
        with kept.open("ab") as file:
            file.write(_record(frame))
            file.flush()
            os.fsync(file.fileno())
        return kept

    def close(self) -> None:
        """Give the file up; an empty one is removed, one that was deleted with results in it is written again."""
        if self._size == 0 and self._is_there():
            self.path.unlink(missing_ok=True)
        elif self._size and not os.fstat(self._fd).st_nlink:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(_content(self._fd))
        os.close(self._fd)
        if self._claim is not None:
            self._claim.release(forget=not self._size)


def name_of(name: str, store: str | None) -> str:
    """The name of a file of a store's journal; every store takes one that names none."""
    return f"{name}.{store}" if store else name


def adopt(folder: Path, store: str | None, hosts: LeaseManager | None = None) -> list[Journal]:
    """Take over the journals of a store whose owner is dead; those of living owners are left alone."""
    found = []
    for path in sorted(_files(folder, store)):
        with suppress(BlockingIOError):
            found.append(Journal(folder, path.stem, hosts))
    return found


def waiting_names(folder: Path, store: str | None) -> list[str]:
    """Names of the journals of a store that hold something."""
    return [path.stem.partition(".")[0] for path in _files(folder, store) if _size(path)]


def waiting(folder: Path, store: str | None = None) -> tuple[int, int]:
    """Journals that hold something, of a store or of all, and how many bytes: what readers report."""
    sizes = [size for path in _files(folder, store) if (size := _size(path))]
    return len(sizes), sum(sizes)


def of_others(folder: Path, store: str) -> list[Path]:
    """Journals with results of another store, that lay here before."""
    own = set(_files(folder, store))
    return sorted(path for path in _files(folder, None) if path not in own and _size(path))


def _files(folder: Path, store: str | None) -> list[Path]:
    found = folder.glob("*.journal")
    return [path for path in found if store is None or path.stem.partition(".")[2] in ("", store)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # merged and removed since we looked
        return 0


def read(fd: int) -> Iterator[bytes]:
    """The whole frames of an open journal; damaged stretches are stepped over."""
    return (frame for _, frame in _scan(_content(fd)))


def _record(frame: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, len(frame), zlib.crc32(frame)) + frame


def _content(fd: int) -> bytes | mmap.mmap:
    """The file without reading it into memory: a store that is held for a night makes a long journal."""
    return mmap.mmap(fd, 0, access=mmap.ACCESS_READ) if os.fstat(fd).st_size else b""


def set_aside(folder: Path) -> list[Path]:
    """What could not be merged or was damaged, and is kept."""
    return sorted([*folder.glob("*.refused"), *folder.glob("*.damaged")])


def chunks(frames: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Frames in lists of about so many bytes."""
    part: list[bytes] = []
    total = 0
    for frame in frames:
        part.append(frame)
        total += len(frame)
        if total >= size:
            yield part
            part, total = [], 0
    if part:
        yield part


def _keep_damage(fd: int, path: Path) -> int:
    """Keep a copy of a journal that holds more than whole frames; its size in bytes."""
    data = _content(fd)
    if sum(_HEAD.size + len(frame) for _, frame in _scan(data)) < len(data):
        path.with_suffix(".damaged").write_bytes(data)
    return len(data)


def _scan(data: bytes | mmap.mmap) -> Iterator[tuple[int, bytes]]:
    at = data.find(_MAGIC)
    while at >= 0:
        frame = _frame_at(data, at)
        if frame is not None:
            yield at, frame
        at = data.find(_MAGIC, at + (_HEAD.size + len(frame) if frame is not None else 1))


def _frame_at(data: bytes | mmap.mmap, at: int) -> bytes | None:
    if len(data) - at < _HEAD.size:
        return None
    _, size, checksum = _HEAD.unpack_from(data, at)
    frame = data[at + _HEAD.size : at + _HEAD.size + size]
    return frame if len(frame) == size and zlib.crc32(frame) == checksum else None


def _own(path: Path, hosts: LeaseManager | None) -> tuple[int, Lease | None]:
    """Open and lock; again when the file was removed by whoever held it before."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        claim = None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            claim = _claimed(path, hosts)
            if os.fstat(fd).st_nlink:
                return fd, claim
        except OSError:
            os.close(fd)
            raise
        os.close(fd)
        if claim is not None:
            claim.release(forget=True)


def _claimed(path: Path, hosts: LeaseManager | None) -> Lease | None:
    """Lease a journal for this host, where there are others. Raises BlockingIOError when one of them owns it."""
    claim = hosts.take(path.name) if hosts else None
    if isinstance(claim, Holder):
        raise BlockingIOError(f"{path}: {claim} owns it")
    return claim


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
