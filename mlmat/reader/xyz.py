"""The reader of extended XYZ: each frame with a lattice becomes a `Block`, the comment line the rest.

Frames are cut here, so that one that is broken does not take the others along, and parsed by ASE.
"""

from __future__ import annotations

import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mlmat.reader.common.block import MOVE_MASK
from mlmat.reader.common.crystal import Content, Part, block, check_size, to_the_end
from mlmat.reader.common.text import decoded
from mlmat.reader.common.values import SHAPES, voigt
from mlmat.reader.common.verdict import NotACrystal, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms

    from mlmat.reader.common.block import Block, Limits

FORMAT = "extended XYZ (.xyz, .extxyz)"
PATTERNS = ("*.xyz", "*.extxyz")
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
#: Longest comment line that is parsed, in characters.
_MAX_COMMENT = 4 * 1024**2
_COUNT = re.compile(r"\s*\d{1,9}\s*$")
_COUNT_LINE = re.compile(rb"\s*\d{1,9}[ \t]*\r?\n")
_ATOM = re.compile(rb"[ \t]*[A-Za-z\d]+(?:[ \t]+\S+){3,}")
_LATTICE = re.compile(r"\bLattice\s*=")
#: Keys that ASE's parser wants to be 3x3; older files have six components.
_TENSOR = re.compile(r"\b(stress|virial)(?=\s*=)")


class _Frame(NamedTuple):
    lines: Sequence[str]
    atoms: int


def accepts(data: bytes) -> bool:
    """Whether it begins with a number of atoms, a comment, and an atom."""
    lines = data[:100_000].split(b"\n", 3)
    return len(lines) > 2 and _COUNT_LINE.match(lines[0] + b"\n") is not None and _ATOM.match(lines[2]) is not None


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The frames of a file, or of what comes before the first line that is no number of atoms."""
    return to_the_end(_blocks(data, limits), _parser())


def _blocks(data: bytes, limits: Limits) -> Iterator[Block]:
    for i, frame in enumerate(_frames(decoded(data))):
        part = Part(str(i), i, "\n".join(frame.lines) + "\n", _parser())
        yield block(part, partial(_content, frame, limits), limits)


def _frames(text: str) -> Iterator[_Frame]:
    lines = text.split("\n")
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    if not end:
        raise NotACrystal("empty")
    at = 0
    while at < end:
        if not lines[at].strip():
            at += 1
            continue
        if not _COUNT.match(lines[at]):
            raise NotACrystal(f"line {at + 1} is not a number of atoms: {lines[at].strip()[:40]}")
        atoms = int(lines[at])
        if at + 1 + atoms >= max(end, at + 2):
            raise NotACrystal(f"line {at + 1} says {atoms} atoms, but the file ends after {max(0, end - at - 2)}")
        after = at + 2 + atoms
        while after < end and lines[after].lstrip().startswith("VEC"):
            after += 1
        yield _Frame(lines[at:after], atoms)
        at = after


def _content(frame: _Frame, limits: Limits, warnings: list[str]) -> Content:
    check_size(frame.atoms, limits)
    comment = frame.lines[1]
    if len(comment) > _MAX_COMMENT:
        raise Refused(f"too large: a comment line of {len(comment):,} characters")
    if not _LATTICE.search(comment) and not frame.lines[-1].lstrip().startswith("VEC"):
        raise Refused("no cell: not a crystal (extended XYZ has a Lattice in the comment line)")
    atoms = _parse(frame, warnings)
    if atoms.constraints:
        warnings.append(MOVE_MASK)
    return Content(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=atoms.pbc,
        moments=atoms.arrays.get("initial_magmoms"),
        charges=atoms.arrays.get("initial_charges"),
        masses=atoms.arrays.get("masses", atoms.arrays.get("mass")),
        key_values={key: value for key, value in atoms.info.items() if key != "calculator"},
        results=_results(atoms),
    )


def _parse(frame: _Frame, warnings: list[str]) -> Atoms:
    from io import StringIO

    from ase.io.extxyz import read_xyz

    pairs = partial(_pairs, columns=len(frame.lines[2].split()), warnings=warnings)
    try:
        atoms: Atoms = next(read_xyz(StringIO("\n".join(frame.lines) + "\n"), 0, properties_parser=pairs))
    except KeyError as error:
        raise Refused(f"unknown element or key {error}") from None
    except (ValueError, OSError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise NotACrystal(f"not extended XYZ: {str(error).removeprefix('ase.io.extxyz: ')}") from None
    return atoms


def _pairs(line: str, columns: int, warnings: list[str]) -> dict[str, Any]:
    """The comment line by ASE's parser; a tensor of six components stays as it is.

    Refuses more columns than the first atom has: ASE would make room for whatever number a file names.
    """
    from ase.io.extxyz import key_val_str_to_dict

    try:
        found: dict[str, Any] = key_val_str_to_dict(line)
    except ValueError:
        found = key_val_str_to_dict(_TENSOR.sub(r"_six_\1", line))
        found = {key.removeprefix("_six_"): value for key, value in found.items()}
    if "stress" in found and getattr(found["stress"], "shape", ()) not in ((3, 3), (6,)):
        warnings.append(f"stress left out: {found.pop('stress')} is no tensor")
    listed = str(found.get("Properties", "")).split(":")[2::3]
    if not all(n.isdecimal() and len(n) < 9 for n in listed) or sum(map(int, listed)) > columns:
        raise NotACrystal(f"the comment line says {'+'.join(listed)} columns, the first atom has {columns}")
    return found


def _results(atoms: Atoms) -> dict[str, Any]:
    """What ASE moved into a calculator, forces under their other name, and a stress from the virial (eV)."""
    import numpy as np

    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    if "forces" not in results and "force" in atoms.arrays:
        results["forces"] = atoms.arrays["force"]
    virial = atoms.info.get("virial", atoms.info.get("virials"))
    if "stress" not in results and np.size(virial) == 9 and atoms.pbc.all() and atoms.cell.volume > 0:
        results["stress"] = -voigt(np.array(virial, float)) / atoms.cell.volume
    name = atoms.info.get("calculator")
    return {key: value for key, value in results.items() if key in SHAPES} | ({"calculator": name} if name else {})


@cache
def _parser() -> str:
    from importlib.metadata import version

    return f"mlmat.xyz {READER_VERSION} (ase {version('ase')})"
