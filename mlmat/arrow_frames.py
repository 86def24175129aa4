"""Rows on their way from a worker to the journal to the store: several Arrow tables in one block of bytes.

A frame is what a worker returns, what the journal keeps and what the store merges; nobody converts it in between.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

_HEAD = struct.Struct("<I")


def pack(tables: Mapping[str, pa.Table], **meta: Any) -> bytes:
    """Tables by name, and a little JSON about them, as bytes."""
    parts = {name: to_ipc(table) for name, table in tables.items()}
    head = json.dumps({"meta": meta, "tables": {name: len(part) for name, part in parts.items()}}).encode()
    return b"".join([_HEAD.pack(len(head)), head, *parts.values()])


def meta_of(frame: bytes) -> dict[str, Any]:
    """The JSON that was packed beside the tables."""
    return dict(_head(frame)[0]["meta"])


def unpack(frame: bytes) -> dict[str, pa.Table]:
    """The tables of a frame."""
    head, at = _head(frame)
    tables = {}
    for name, size in head["tables"].items():
        tables[name] = from_ipc(frame[at : at + size])
        at += size
    return tables


def _head(frame: bytes) -> tuple[dict[str, Any], int]:
    (size,) = _HEAD.unpack_from(frame)
    at = _HEAD.size + size
    return json.loads(frame[_HEAD.size : at]), at


def to_ipc(table: pa.Table) -> bytes:
    """One table as an Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(data: bytes) -> pa.Table:
    """The table of an Arrow IPC stream."""
    import pyarrow as pa

    return pa.ipc.open_stream(data).read_all()
