"""Files of lines: one after another, none longer than allowed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from mlmat.container._compressed import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


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
