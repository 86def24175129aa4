"""ULM, the container of ASE's trajectories: items in JSON, with arrays beside them.

A magic word (8 bytes), a tag (16) and three integers (version, number of items, place of their places); at each of
these places stand the length of a JSON text and the text. A key that ends with a dot stands for an array, of which
there are shape, type and place, or for an object of the same kind. All integers have 64 bits. (ASE's reader makes
objects and arrays of any size from what a file says.)
"""

from __future__ import annotations

import json
from struct import Struct
from typing import Any, Literal

from mlmat.reader.common.verdict import NotACrystal

#: Order of the bytes of a number.
Order = Literal["<", ">"]
_MAGIC = (b"- of Ulm", b"AFFormat")
_HEADER, _SIZE = Struct("<8s16s3q"), Struct("<q")
#: Longest JSON text of an item, in bytes: the large parts of a frame are arrays.
_TEXT = 16 * 1024**2


def tag(data: bytes) -> bytes:
    """What an ULM file holds, in the words of its writer; nothing where it is none."""
    return data[8:24].rstrip() if data.startswith(_MAGIC) else b""


def places(data: bytes) -> list[int]:
    """Where the items are. Raises NotACrystal."""
    if len(data) < _HEADER.size:
        raise NotACrystal("broken trajectory: it ends before its header says")
    _, _, _, count, at = _HEADER.unpack_from(data)
    if not (0 <= count <= len(data) // 8 and 0 <= at <= len(data) - 8 * count):
        raise NotACrystal("broken trajectory: it ends before its header says")
    return [place for (place,) in _SIZE.iter_unpack(data[at : at + 8 * count])]


def item(data: bytes, place: int) -> dict[str, Any]:
    """The item at a place, arrays as views of the data. Raises NotACrystal, ValueError, RecursionError."""
    size = _SIZE.unpack_from(data, place)[0] if 0 <= place <= len(data) - 8 else -1
    if not 0 <= size <= min(_TEXT, len(data) - place - 8):
        raise NotACrystal("a broken frame: it lies outside of the file")
    found = json.loads(data[place + 8 : place + 8 + size])
    if not isinstance(found, dict):
        raise NotACrystal("a broken frame: no object")
    order: Order = "<" if found.pop("_little_endian", True) else ">"
    return _resolved(found, data, order)


def _resolved(found: dict[str, Any], data: bytes, order: Order) -> dict[str, Any]:
    return {
        key.removesuffix("."): _array(value["ndarray"], data, order)
        if key.endswith(".") and isinstance(value, dict) and "ndarray" in value
        else _resolved(value, data, order)
        if key.endswith(".") and isinstance(value, dict)
        else value
        for key, value in found.items()
    }


def _array(said: Any, data: bytes, order: Order) -> Any:
    import numpy as np

    shape, kind, place = said
    dtype = np.dtype(str(kind)).newbyteorder(order)
    count = 1
    for size in shape:
        count *= int(size)
    if dtype.kind not in "biufc" or min(shape, default=0) < 0 or not 0 <= place <= len(data) - count * dtype.itemsize:
        raise NotACrystal("a broken frame: an array lies outside of the file")
    return np.frombuffer(data, dtype, count, place).reshape(shape) if count else np.zeros(shape, dtype)
