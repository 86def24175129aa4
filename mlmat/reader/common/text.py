"""From the bytes of a file to the texts of its data blocks."""

from __future__ import annotations

import re
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import NamedTuple

from mlmat.reader.common.verdict import NotACrystal, Refused

GZIP_MAGIC = b"\x1f\x8b"
# A text field swallows whatever looks like a header inside it; an unclosed one runs to the end of the file.
_HEADER = re.compile(r"^;.*?(?:^;|\Z)|^[ \t]*data_(\S*)", re.IGNORECASE | re.MULTILINE | re.DOTALL)


#: Characters that are looked at together.
_PIECE = 1 << 20


class Chunk(NamedTuple):
    """The exact text of one data block and the number of lines before it."""

    name: str
    text: str
    lines_before: int


def unpacked(data: bytes, max_bytes: int) -> bytes:
    """The data, decompressed where it is gzip, never more than `max_bytes` bytes of it."""
    if data.startswith(GZIP_MAGIC):
        data = _gunzip(data, max_bytes)
    if len(data) > max_bytes:
        raise Refused(f"too large: more than {max_bytes / 2**20:.6g} MiB")
    return data


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    room = max_bytes + 1
    while data.startswith(GZIP_MAGIC):
        stream = zlib.decompressobj(31)
        try:
            parts.append(stream.decompress(data, room))
        except zlib.error as error:
            raise NotACrystal(f"broken gzip data: {error}") from None
        room -= len(parts[-1])
        if room <= 0:
            raise Refused(f"too large: more than {max_bytes / 2**20:.6g} MiB after decompression")
        if not stream.eof:
            raise NotACrystal("broken gzip data: the file ends early")
        data = stream.unused_data
    return b"".join(parts)


def decoded(data: bytes) -> str:
    """The text: UTF-8, UTF-16 where a byte order mark says so, or else Latin-1."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            raise NotACrystal("broken UTF-16 text") from None
        return _without_nul(text)
    try:
        text = data.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return _without_nul(text)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise NotACrystal("NUL characters: a binary file, or UTF-16 without a byte order mark")
    return text


def words(text: str) -> int:
    """How many words there are between blanks, without making a list of them."""
    import numpy as np

    count = 0
    for start in range(0, len(text), _PIECE):
        piece = np.frombuffer(text[start : start + _PIECE].encode("utf-8", "replace"), np.uint8)
        blank = piece <= ord(" ")
        count += int(np.count_nonzero(blank[:-1] & ~blank[1:])) + (not blank[0])
    return count


def chunks(text: str) -> list[Chunk]:
    """The data blocks of a CIF, each with its exact text; what precedes the first belongs to the first."""
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    if text.lower().count("data_") < 2:
        return [Chunk("", text, 0)]
    headers = [m for m in _HEADER.finditer(text) if m.group(1) is not None]
    starts = [0, *(m.start() for m in headers[1:]), len(text)]
    names = [m.group(1) for m in headers] or [""]
    found, lines = [], 0
    for i, name in enumerate(names):
        part = text[starts[i] : starts[i + 1]]
        found.append(Chunk(name, part, lines))
        lines += part.count("\n")
    return found
