"""Zip archives: each file in them is a member; compressed members are decompressed one at a time, in memory."""

from __future__ import annotations

import stat
import struct
from typing import TYPE_CHECKING, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from mlmat.container._archive import NESTED, nested, too_large, unsafe
from mlmat.container._compressed import ALWAYS, BROKEN, RATIO, bomb
from mlmat.container._member import Member, Options, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zipfile import ZipExtFile

FORMAT = "zip archive"
PATTERNS = ("*.zip",)
#: A member may always grow to so many bytes, whatever its size in the archive.
SMALL = 16 * 1024 * 1024
_ENCRYPTED = 0x1
#: Packed bytes that are unpacked together, whatever the directory says: deflate has a bound of its own, the others do
#: not, and 50 bytes of bzip2 can be 45 MB.
_STEP, _SMALL_STEP = 4096, 64


def count(path: str, options: Options) -> int:
    """How many members will be read."""
    with _opened(path) as archive:
        return sum(1 for info in archive.infolist() if not info.is_dir() and options.wanted(info.filename))


def members(path: str, options: Options) -> Iterator[Member]:
    """The files of the archive in the order of its directory. Raises Refused."""
    with _opened(path) as archive:
        infos = archive.infolist()
        room = max(ALWAYS, RATIO * sum(info.compress_size for info in infos))
        for info in infos:
            if info.is_dir():
                continue
            member = _member(archive, info, options)
            room -= len(member.data)
            if room < 0:
                raise Refused(bomb(), "rejected")
            yield member


def _opened(path: str) -> ZipFile:
    try:
        return ZipFile(path)
    except (BadZipFile, struct.error, ValueError, NotImplementedError) as error:
        raise Refused(f"broken zip archive: {error}") from None


def _member(archive: ZipFile, info: ZipInfo, options: Options) -> Member:
    name = info.filename
    if problem := unsafe(name) or _not_a_file(info):
        return Member(name, error=problem, outcome="rejected")
    if not options.wanted(name):
        return Member(name, error=NESTED, outcome="rejected") if nested(name) else Member(name, other=True)
    if problem := too_large(info.file_size, options.max_bytes) or _swollen(info):
        return Member(name, error=problem, outcome="rejected")
    if info.flag_bits & _ENCRYPTED:
        return Member(name, error="encrypted: unpack it with its password first")
    return _read(archive, info)


def _not_a_file(info: ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return None if kind in (0, stat.S_IFREG) else "a link or device: such a member is not read"


def _swollen(info: ZipInfo) -> str | None:
    if info.file_size <= max(SMALL, RATIO * info.compress_size):
        return None
    return f"it grows to {info.file_size / max(info.compress_size, 1):.0f} times its size: such a member is not read"


def _read(archive: ZipFile, info: ZipInfo) -> Member:
    try:
        # zipfile gives no more bytes than the directory says, and checks the sum at the end; but asked for everything
        # it would unpack everything before it cuts off what is too much.
        with cast("ZipExtFile", archive.open(info)) as file:
            step = file.MIN_READ_SIZE = _STEP if info.compress_type in (ZIP_STORED, ZIP_DEFLATED) else _SMALL_STEP
            return Member(info.filename, b"".join(iter(lambda: file.read(step), b"")), info.filename)
    except (BadZipFile, *BROKEN, ValueError, struct.error, RuntimeError) as error:
        return Member(info.filename, error=f"broken in the archive: {error}")
    except OSError as error:
        return Member(info.filename, error=f"could not be read: {error}", final=False)
