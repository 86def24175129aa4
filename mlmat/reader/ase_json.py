"""The reader of ASE's JSON databases: each row becomes a `Block`; also a single row by itself.

Arrays may stand there as plain lists or as `{"__ndarray__": [shape, type, numbers]}`. Nothing else is decoded: no
objects are made from what a file says.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmat.reader.common.block import CONSTRAINTS
from mlmat.reader.common.crystal import Content, Part, block, to_the_end
from mlmat.reader.common.json import Node, documents
from mlmat.reader.common.values import SHAPES
from mlmat.reader.common.verdict import NotACrystal, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader.common.block import Block, Limits

FORMAT = "JSON of ase.db (.json)"
PATTERNS = ("*.json",)
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
_PARSER = f"mlmat.ase_json {READER_VERSION}"
_SIGN = re.compile(rb'"nextid"\s*:')
_ROW = re.compile(rb'"numbers"\s*:'), re.compile(rb'"positions"\s*:')


def accepts(data: bytes) -> bool:
    """Whether it is an object with ASE's words in it."""
    if data[:100].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return False
    return _SIGN.search(data) is not None or all(sign.search(data) for sign in _ROW)


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The rows of a database in its order; names are row ids."""
    return to_the_end(_blocks(name, data, limits), _PARSER)


def _blocks(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    document = next(documents(name, data))
    if isinstance(document, NotACrystal):
        raise document
    for i, node in enumerate(_rows(document)):
        yield block(Part(node.key, i, node.text, _PARSER), partial(_content, node.value), limits)


def _rows(document: Node) -> list[Node]:
    value = document.value
    if not isinstance(value, dict):
        raise NotACrystal("not the JSON of an ASE database: no object")
    if "numbers" in value:
        return [document]
    found = {node.key: node for node in document.children() if node.key.isdecimal() and isinstance(node.value, dict)}
    ids = _plain(value.get("ids"))
    order = [str(i) for i in ids] if isinstance(ids, list) else sorted(found, key=int)
    if not found:
        raise NotACrystal("not the JSON of an ASE database: no rows in it")
    missing = [i for i in order if i not in found]
    if missing:
        raise NotACrystal(f"broken ASE database: it lists row {some(missing)}, which is not there")
    return [found[i] for i in order]


def _content(row: dict[str, Any], warnings: list[str]) -> Content:
    if "numbers" not in row or "positions" not in row:
        raise NotACrystal("a row without numbers or positions")
    numbers = _plain(row["numbers"])
    if not isinstance(numbers, list):
        raise NotACrystal("the atomic numbers are no list")
    if row.get("constraints"):
        warnings.append(CONSTRAINTS)
    pairs = row.get("key_value_pairs")
    return Content(
        numbers=numbers,
        positions=_plain(row["positions"]),
        cell=_plain(row.get("cell")),
        pbc=_plain(row.get("pbc", [False] * 3)),
        moments=_plain(row.get("initial_magmoms")),
        charges=_plain(row.get("initial_charges")),
        masses=_plain(row.get("masses")),
        key_values=pairs if isinstance(pairs, dict) else {},
        results={name: _plain(row[name]) for name in (*SHAPES, "calculator") if name in row},
    )


def _plain(value: Any) -> Any:
    """Lists in place of ASE's way to write arrays; cells may be objects."""
    import numpy as np

    if not isinstance(value, dict):
        return value
    if "__ndarray__" in value:
        try:
            shape, _, numbers = value["__ndarray__"]
            return np.array(numbers).reshape(shape).tolist()
        except (TypeError, ValueError) as error:
            raise NotACrystal(f"a broken array: {error}") from None
    return _plain(value.get("array", value.get("cell")))
