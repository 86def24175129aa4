"""From one file, or one member of a container, to rows of table `source`: what the reading processes do."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat.container import Refused, bare_name, unpacked
from mlmat.errors import ReadError
from mlmat.export_marks import apart
from mlmat.ingest._results import results_of
from mlmat.materials import electrons
from mlmat.provenance import clean
from mlmat.reader import Block, Limits, read
from mlmat.reader.common.values import scalars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.container import Refusal
    from mlmat.processes.isolation import Crashed

#: Longest text of a block that is kept in the store, in characters.
MAX_CONTENT = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a container, or standard input, on its way to a reader.

    name: None for the container as a whole, when it cannot be read; number: its place, from 0; size: of the container
    in bytes; mtime_ns: None while the container is not read to its end; sha256: where it is known already; column: of
    the table that it is a row of.
    """

    path: str
    number: int
    name: str | None
    size: int
    file: str = ""
    data: bytes = b""
    key_values: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    outcome: Refusal = "unreadable"
    mtime_ns: int | None = None
    sha256: str = ""
    column: str | None = None


def read_item(item: str | Part, limits: Limits) -> list[dict[str, Any]]:
    """Every block of a file or of a member as a row, as `read_file` gives them."""
    return read_file(item, limits) if isinstance(item, str) else list(_read_part(item, limits))


def read_file(path: str, limits: Limits) -> list[dict[str, Any]]:
    """Every block of a file as a row of table `source`, its structure's row under `structure` (runs in a process)."""
    about = about_file(path)
    try:
        data = _content(path, limits)
    except (OSError, ReadError) as error:
        return [row_of(about, Block("", 0, "", "unreadable", describe(error)))]
    about |= _identity(data) | {"file_size": len(data)}
    return [row_of(about, block) for block in _blocks(path, data, limits)]


def _read_part(part: Part, limits: Limits) -> Iterator[dict[str, Any]]:
    about = about_part(part)
    blocks = (
        [Block("", 0, "", part.outcome, part.error)]
        if part.error is not None
        else _blocks(part.file, part.data, limits)
    )
    for block in blocks:
        yield row_of(about, block, part.key_values, part.column)


def _blocks(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    try:
        data = unpacked(data, limits.max_bytes)
    except Refused as refused:
        yield Block("", 0, "", refused.outcome, str(refused))
        return
    yield from read(os.path.basename(bare_name(name)), data, limits)


def about_file(path: str) -> dict[str, Any]:
    """What stands of a file in each of its rows; its hash is added once it was opened."""
    try:
        found = os.stat(path)
        size, mtime = found.st_size, found.st_mtime_ns
    except OSError:
        size, mtime = 0, 0
    return {"path": clean(path), "member": None, "file_sha256": "", "file_size": size, "file_mtime_ns": mtime}


def about_part(part: Part) -> dict[str, Any]:
    """The same of a member."""
    identity = {"file_sha256": part.sha256} if part.error is not None else _identity(part.data)
    name = clean(part.name) if part.name is not None else None
    about = {"path": clean(part.path), "member": name, "file_size": part.size, "file_mtime_ns": part.mtime_ns}
    return about | identity


def _identity(data: bytes) -> dict[str, Any]:
    return {"file_sha256": hashlib.sha256(data).hexdigest()}


def _content(path: str, limits: Limits) -> bytes:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ReadError("a folder that cannot be read" if stat.S_ISDIR(found.st_mode) else "not a regular file")
    if found.st_size > limits.max_bytes:
        raise ReadError(f"too large: {found.st_size / 1e6:.0f} MB, the limit is {limits.max_bytes / 1e6:.0f} MB")
    with open(path, "rb") as file:
        data = file.read(found.st_size + 1)
        if len(data) > found.st_size:  # it may grow while it is read, and those of the system have no size
            data += file.read(limits.max_bytes + 1 - len(data))
    if len(data) > limits.max_bytes:
        raise ReadError(f"too large: it grew beyond the limit of {limits.max_bytes / 1e6:.0f} MB while it was read")
    return data


def describe(error: Exception) -> str:
    """Why a file could not be opened, in a few words."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def column_of(name: str) -> str:
    """What `parser` says, at its end, of a row of a table: the same row of another column is another reading."""
    return f"column {clean(name)}"


def row_of(
    about: dict[str, Any], block: Block, beside: Mapping[str, Any] | None = None, column: str | None = None
) -> dict[str, Any]:
    """The row of a block; beside: key-value pairs that the container has for it; column: of the table it is from."""
    results, problems = results_of(block) if block.atoms is not None else ({}, [])
    pairs, exported = apart(beside or {})
    pairs = scalars(pairs, problems)
    of_block, of_it = apart(block.key_values)
    structure = _structure(block, pairs | of_block, problems)
    outcome, reason = _outcome(block, structure)
    if len(block.text) > MAX_CONTENT:
        problems.append(f"the text of the block is not kept: {len(block.text):,} characters")
    return {
        **about,
        "block": clean(block.name),
        "block_index": block.index,
        "outcome": outcome,
        "reason": clean(reason) if reason else None,
        "warnings": [clean(warning) for warning in (*block.warnings, *problems)],
        "structure_id": structure["structure_id"] if structure else None,
        "chemical_formula": block.formula,
        "declared_formula": clean(block.declared_formula) if block.declared_formula else None,
        "parser": ", ".join(filter(None, [block.parser, column_of(column) if column is not None else ""])),
        "block_sha256": hashlib.sha256(block.text.encode("utf-8", "replace")).hexdigest(),
        "content": clean(block.text) if len(block.text) <= MAX_CONTENT else None,
        "key_values": _pairs(pairs | of_block),
        "exported": of_it or exported,
        "structure": structure,
        "results": results,
    }


def _structure(block: Block, pairs: Mapping[str, Any], problems: list[str]) -> dict[str, Any] | None:
    """The row of table `structure`, with the total charge and multiplicity that key-value pairs say."""
    from mlmat.materials.structure import to_row

    if block.atoms is None:
        return None
    electrons.put(block.atoms.info, electrons.state_of(pairs, problems))
    return to_row(block.atoms)


def _outcome(block: Block, structure: Mapping[str, Any] | None) -> tuple[str, str | None]:
    """What becomes of a block, and why: what could be stored is flagged where no real crystal looks like it."""
    if block.outcome == "stored" and structure and structure["implausible"]:
        return "flagged", structure["implausible"]
    return block.outcome, block.reason


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Key-value pairs as text: numbers with all their digits, true and false as SQL writes them."""
    pairs = {clean(str(key)): _text(value) for key, value in values.items() if value is not None}
    return list(pairs.items()) or None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else clean(str(value))


def lost_row(item: str | Part, lost: Crashed) -> dict[str, Any]:
    """The row of an item that took its process along; its hash says whether it is still the same the next time."""
    block = Block("", 0, "", "unreadable", f"reading it {lost.reason}")
    if isinstance(item, Part):
        return row_of(about_part(item), block, item.key_values, item.column)
    about = about_file(item)
    with suppress(OSError, ReadError):
        about |= _identity(_content(item, Limits()))
    return row_of(about, block)
