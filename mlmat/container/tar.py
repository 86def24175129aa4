"""Tar archives, compressed or not: read from front to back, once, never unpacked to disk."""

from __future__ import annotations

import tarfile
from contextlib import closing
from typing import TYPE_CHECKING, Self

from mlmat.container._archive import NESTED, nested, too_large, unsafe
from mlmat.container._compressed import opened
from mlmat.container._member import Member, Options, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "tar archive"
PATTERNS = ("*.tar", "*.tar.gz", "*.tgz", "*.tar.bz2", "*.tbz2", "*.tar.xz", "*.txz")
#: Headers that hold names and other properties of the next member, and how long one may be, in bytes.
_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_LONGEST = 1024**2


def members(path: str, options: Options) -> Iterator[Member]:
    """The files of the archive in their order. Raises Refused where it breaks off."""
    with closing(opened(path)) as stream:
        try:
            yield from _members(stream, options)
        except tarfile.TarError as error:
            raise Refused(f"broken tar archive: {error}") from None


def _members(stream: object, options: Options) -> Iterator[Member]:
    class Header(tarfile.TarInfo):
        """A header that remembers how the archive ended: tarfile takes garbage for the end without a word."""

        ended: tarfile.HeaderError | None = None

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            try:
                header = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError as error:
                Header.ended = error
                raise
            if header.type in _EXTENDED and not 0 <= header.size <= _LONGEST:  # tarfile takes it into memory
                raise Refused(f"broken tar archive: a header of {header.size} bytes; the rest is not read", "rejected")
            return header

    with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header) as archive:  # type: ignore[call-overload]
        for header in archive:
            # tarfile keeps every header: a million of them are a gigabyte.
            archive.members = []
            if not header.isdir():
                yield _member(archive, header, options)
    if type(Header.ended).__name__ != "EOFHeaderError":  # a public name, but not in the stubs
        raise Refused("broken tar archive: it ends without its end mark; what came before was read")


def _member(archive: tarfile.TarFile, header: tarfile.TarInfo, options: Options) -> Member:
    name = header.name.removeprefix("./")
    if problem := unsafe(name):
        return Member(name, error=problem, outcome="rejected")
    if not header.isreg():
        return Member(name, error="a link or device: such a member is not read", outcome="rejected")
    if header.issparse():  # its holes take no space in the archive, but become bytes here
        return Member(name, error="a sparse file: such a member is not read", outcome="rejected")
    if not options.wanted(name):
        return Member(name, error=NESTED, outcome="rejected") if nested(name) else Member(name, other=True)
    if problem := too_large(header.size, options.max_bytes):
        return Member(name, error=problem, outcome="rejected")
    file = archive.extractfile(header)
    return Member(name, file.read() if file else b"", name)
