"""The CIF reader: each data block of a file becomes a `Block` with its outcome.

Syntax and space-group settings come from gemmi; a block whose syntax fails does not take its neighbours along.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from mlmat.reader.common.block import Block, Limits, Outcome
from mlmat.reader.common.text import GZIP_MAGIC, Chunk, chunks, decoded, unpacked, words
from mlmat.reader.common.verdict import NotACrystal, Refused, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import gemmi

FORMAT = "CIF (.cif, .mcif)"
PATTERNS = tuple(f"*.{kind}{packed}" for kind in ("cif", "mcif", "mmcif") for packed in ("", ".gz"))
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
#: Characters from which on a block is looked at before it is parsed, and how many values it may have then.
_LARGE, _MAX_VALUES = 8 * 1024**2, 15_000_000
_DATA = re.compile(rb"(?:^|[\r\n])[ \t]*data_", re.IGNORECASE)
_PLACE = re.compile(r"^string:(\d+)(?::\d+\(\d+\))?(?: in data_\S*)?:?\s*")


def accepts(data: bytes) -> bool:
    """Whether a data block begins in the first part of it."""
    return data.startswith(GZIP_MAGIC) or _DATA.search(data, 0, 65_536) is not None


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The blocks of a CIF, or one block without text where the file as a whole cannot be read."""
    try:
        parts = chunks(decoded(unpacked(data, limits.max_bytes)))
    except Refused as refused:
        yield _block(Chunk("", "", 0), 0, refused.outcome, str(refused))
        return
    index = 0
    for part in parts:
        for block in _read_chunk(part, index, limits):
            yield block
            index += 1


def _read_chunk(chunk: Chunk, index: int, limits: Limits) -> list[Block]:
    try:
        found = _parse(chunk)
        return [_read_block(chunk._replace(name=b.name), index + i, b, limits) for i, b in enumerate(found)]
    except Refused as refused:
        return [_block(chunk, index, refused.outcome, str(refused))]


def _parse(chunk: Chunk) -> list[gemmi.cif.Block]:
    import gemmi

    if not chunk.text.strip():
        raise NotACrystal("empty: no data block")
    if len(chunk.text) > _LARGE and (values := words(chunk.text)) > _MAX_VALUES:  # each takes 100 bytes of memory
        raise Refused(f"too large: a block of {values:,} values")
    try:
        found = list(gemmi.cif.read_string(chunk.text, check_level=0))
    except (ValueError, RuntimeError, UnicodeError) as error:
        raise NotACrystal(_syntax_error(str(error), chunk.lines_before)) from None
    if not found:
        raise NotACrystal("no data block")
    return found


def _syntax_error(message: str, lines_before: int) -> str:
    """gemmi's message with the line counted from the start of the file."""
    place = _PLACE.match(message)
    text = message[place.end() :] if place else message.removeprefix("string:").strip()
    return f"line {int(place.group(1)) + lines_before}: {text}" if place else text


def _read_block(chunk: Chunk, index: int, block: gemmi.cif.Block, limits: Limits) -> Block:
    from mlmat.reader._cif.items import Items
    from mlmat.reader._cif.judge import judge
    from mlmat.reader._cif.own import PREFIX
    from mlmat.reader.common.composition import parse_formula
    from mlmat.reader.common.values import scalars

    warnings: list[str] = []
    formula = None
    try:
        items = Items(block, chunk.lines_before, warnings)
        formula = items.first(("_chemical_formula_sum",))
        verdict = judge(items, parse_formula(formula), limits, warnings)
    except Refused as refused:
        return _block(chunk, index, refused.outcome, str(refused), warnings, declared_formula=formula)
    except Exception as error:  # a reader must not take the batch along
        text = f"unexpected {type(error).__name__}: {error}"
        return _block(chunk, index, "unreadable", text, warnings, declared_formula=formula)
    said = items.beginning(PREFIX)
    own = scalars(said, warnings) if said else {}
    return _block(
        chunk,
        index,
        verdict.outcome,
        verdict.reason,
        warnings,
        atoms=verdict.atoms,
        formula=verdict.formula,
        declared_formula=formula,
        key_values=own,
    )


def _block(
    chunk: Chunk,
    index: int,
    outcome: Outcome,
    reason: str | None,
    warnings: list[str] | None = None,
    *,
    atoms: object = None,
    formula: str | None = None,
    declared_formula: str | None = None,
    key_values: Mapping[str, str | int | float | bool] | None = None,
) -> Block:
    return Block(
        name=one_line(chunk.name),
        index=index,
        text=chunk.text,
        outcome=outcome,
        reason=one_line(reason) if reason else None,
        warnings=tuple(map(one_line, warnings or ())),
        atoms=atoms,
        formula=formula,
        declared_formula=one_line(declared_formula) if declared_formula else None,
        parser=_parser(),
        key_values=key_values or {},
    )


@cache
def _parser() -> str:
    from importlib.metadata import version

    return f"mlmat.cif {READER_VERSION} (gemmi {version('gemmi')})"
