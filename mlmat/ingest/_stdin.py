"""Standard input as one file."""

from __future__ import annotations

import hashlib
from typing import IO

from mlmat.container import container_for
from mlmat.errors import ReadError
from mlmat.ingest._find import STDIN
from mlmat.ingest._read import Part
from mlmat.reader import Limits, reader_for

_ZIP, _SQLITE = b"PK\3\4", b"SQLite format 3\0"


def from_stdin(stream: IO[bytes], name: str | None, limits: Limits) -> Part:
    """What comes in, as a member of `-`: called by the name given, else by its content. Raises ReadError."""
    data = stream.read(limits.max_bytes + 1)
    if len(data) > limits.max_bytes:
        raise ReadError(f"-: more than {limits.max_bytes / 2**20:.6g} MiB on standard input; give it as a file")
    container = name and container_for(name) and not reader_for(name)
    if container or data.startswith((_ZIP, _SQLITE)):
        raise ReadError("-: an archive or database cannot be read from standard input; give it as a file")
    member = name or hashlib.sha256(data).hexdigest()[:12]
    return Part(STDIN, 0, member, len(data), name or "", data, mtime_ns=0)
