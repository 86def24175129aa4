"""gzip, bzip2 and xz: small files at once, large ones as a stream; never more bytes than were allowed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from mlmat.container._member import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUFFIXES = (".gz", ".bz2", ".xz")
#: What broken compressed data raises.
BROKEN = (zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
#: A stream may always grow to the first, in bytes; beyond it to so many times its size on disk.
ALWAYS, RATIO = 1024**3, 200
#: Memory in bytes that xz may ask for.
_XZ_MEMORY = 1024**3


class _Kind(NamedTuple):
    name: str
    magic: bytes
    decompressor: Callable[[], Any]
    open: Callable[[IO[bytes]], Any]


_KINDS = (
    _Kind("gzip", b"\x1f\x8b", lambda: zlib.decompressobj(31), lambda file: gzip.GzipFile(fileobj=file)),
    _Kind("bzip2", b"BZh", bz2.BZ2Decompressor, bz2.BZ2File),
    _Kind("xz", b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), lzma.LZMAFile),
)


def bare_name(name: str) -> str:
    """A file name without the suffix of its compression."""
    suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def _kind_of(head: bytes) -> _Kind | None:
    return next((kind for kind in _KINDS if head.startswith(kind.magic)), None)


def unpacked(data: bytes, max_bytes: int) -> bytes:
    """The data, decompressed where it is compressed. Raises Refused above max_bytes bytes, and for broken data."""
    kind = _kind_of(data)
    return _unpack(kind, data, max_bytes) if kind else data


def _unpack(kind: _Kind, data: bytes, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    room = max_bytes + 1
    while data.startswith(kind.magic):
        stream = kind.decompressor()
        try:
            parts.append(stream.decompress(data, room))
        except (*BROKEN, OSError, ValueError) as error:
            raise Refused(f"broken {kind.name} data: {error}") from None
        room -= len(parts[-1])
        if room <= 0:
            raise Refused(f"too large: more than {max_bytes / 2**20:.6g} MiB after decompression", "rejected")
        if not stream.eof:
            raise Refused(f"broken {kind.name} data: the file ends early")
        data = stream.unused_data
    return b"".join(parts)


def opened(path: str) -> IO[bytes]:
    """A file as a stream, decompressed where it is compressed. Reading raises Refused when it grows without end."""
    file = Path(path).open("rb")  # noqa: SIM115 - the caller closes what wraps it
    kind = _kind_of(file.peek(8))
    if kind is None:
        return file
    size = Path(path).stat().st_size
    bounded = _Bounded(kind.open(file), max(ALWAYS, RATIO * size))
    return cast("IO[bytes]", io.BufferedReader(bounded, 1 << 16))


class _Bounded(io.RawIOBase):
    """A stream that ends with Refused after so many bytes."""

    def __init__(self, stream: IO[bytes], room: int) -> None:
        self._stream, self._room = stream, room

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read(len(view))
        except (*BROKEN, OSError) as error:
            raise Refused(f"broken compressed data: {error}") from None
        self._room -= len(data)
        if self._room < 0:
            raise Refused(bomb(), "rejected")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def bomb() -> str:
    """Why an archive that grows without end is not read on."""
    return f"it grows to more than {RATIO} times its size: the rest is not read"


def lines(path: str, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Number (from 1) and content of every line that is not blank; None for one longer than max_bytes bytes."""
    with closing(opened(path)) as stream:
        number = 0
        while line := stream.readline(max_bytes + 1):
            number += 1
            if len(line) > max_bytes:
                _skip(stream, line)
                yield number, None
            elif text := line.strip():
                yield number, text


def _skip(stream: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(1 << 20)
