"""The reader of VASP's POSCAR and CONTCAR, of VASP 4 (elements in the comment or behind the atoms) and later.

Written from VASP's description of the file. ASE looks for missing elements in other files of the working directory, and
pymatgen makes them up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlmat.reader.common.block import SELECTIVE
from mlmat.reader.common.crystal import Content, Part, block, check_size, elements, to_the_end
from mlmat.reader.common.text import decoded
from mlmat.reader.common.verdict import NotACrystal, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from mlmat.reader.common.block import Block, Limits

FORMAT = "POSCAR (POSCAR, CONTCAR, .poscar, .vasp)"
PATTERNS = (
    "poscar", "contcar", "poscar[._-]*", "contcar[._-]*", "*[._-]poscar", "*[._-]contcar", "*.vasp",
)  # fmt: skip
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
_PARSER = f"mlmat.poscar {READER_VERSION}"
#: Longest line that is looked at, in characters.
_MAX_LINE = 200_000
_SYMBOL = re.compile(r"([A-Z][a-z]?)(?:$|[_/.\d+-])")
_NONZERO = re.compile(r"[1-9]")


@dataclass(slots=True)
class _Head:
    """The lines down to the numbers of atoms: cell in Å, factors of Cartesian coordinates, the next line."""

    comment: str
    cell: NDArray[np.float64]
    factors: NDArray[np.float64]
    symbols: list[str] | None
    counts: list[int]
    line: int


def accepts(data: bytes) -> bool:
    """Whether it begins with a comment, a factor, three vectors and numbers of atoms."""
    lines = data[:4096].decode("latin-1").split("\n")
    try:
        _head(lines)
    except Refused:
        return False
    return True


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The one structure of the file; its name is the comment."""
    return to_the_end(_blocks(data, limits), _PARSER)


def _blocks(data: bytes, limits: Limits) -> Iterator[Block]:
    text = decoded(data)
    if not text.strip():
        raise NotACrystal("empty")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    part = Part(lines[0].strip(), 0, text, _PARSER)
    yield block(part, partial(_content, lines, limits), limits)


def _content(lines: list[str], limits: Limits, warnings: list[str]) -> Content:
    head = _head(lines)
    n = sum(head.counts)
    check_size(n, limits)
    at = head.line
    selective = _line(lines, at)[:1] in ("S", "s")
    at += selective
    cartesian = _mode(lines, at)
    rows = [_line(lines, at + 1 + i) for i in range(n)]
    if selective and any(_is_fixed(row) for row in rows):
        warnings.append(SELECTIVE)
    positions = _numbers(rows, at + 1, "coordinates of an atom")
    symbols = _symbols(head, rows, warnings)
    if any(_NONZERO.search(line) for line in lines[at + 1 + n :]):
        warnings.append("velocities, and what else follows the atoms, are not kept")
    numbers, masses = elements(symbols, warnings)
    return Content(
        numbers=numbers,
        positions=positions * head.factors if cartesian else positions @ head.cell,
        cell=head.cell,
        masses=masses,
    )


def _is_fixed(row: str) -> bool:
    """Whether one of the three flags behind the coordinates of an atom is F, in one of Fortran's spellings."""
    return any(token.lstrip(".")[:1] in ("F", "f") for token in row.split()[3:6])


def _mode(lines: list[str], at: int) -> bool:
    """Whether coordinates are Cartesian."""
    mode = _line(lines, at)
    if not mode or not mode[0].isalpha():
        raise NotACrystal(f"line {at + 1}: expected Direct or Cartesian, found: {_short(mode)}")
    return mode[0] in "CcKk"


def _head(lines: list[str]) -> _Head:
    import numpy as np

    scale = _floats(_line(lines, 1))
    if not scale or len(scale) == 2:
        raise NotACrystal(f"line 2: expected a scaling factor, found: {_short(_line(lines, 1))}")
    vectors = _numbers([_line(lines, i) for i in (2, 3, 4)], 2, "cell vector")
    symbols = None if _counts(_line(lines, 5)) else [_symbol(token) for token in _line(lines, 5).split("!")[0].split()]
    at = 5 if symbols is None else 6
    counts = _counts(_line(lines, at))
    if not counts:
        raise NotACrystal(f"line {at + 1}: expected numbers of atoms, found: {_short(_line(lines, at))}")
    if symbols is not None and len(symbols) != len(counts):
        raise NotACrystal(f"lines 6 and 7: {len(symbols)} elements, but {len(counts)} numbers of atoms")
    factors = _factors(scale[:3], float(abs(np.linalg.det(vectors))))
    return _Head(_line(lines, 0), vectors * factors, factors, symbols, counts, at + 1)


def _factors(scale: list[float], volume: float) -> NDArray[np.float64]:
    """Factors of the Cartesian components; a negative number is the volume of the cell in Å³."""
    import numpy as np

    if len(scale) == 1 and scale[0] < 0:
        if not volume > 0:
            raise Refused("the cell makes no sense: it has no volume")
        scale = [(-scale[0] / volume) ** (1 / 3)]
    if not all(factor > 0 for factor in scale):
        raise Refused(f"line 2: the scaling factor makes no sense: {scale[0]:g}")
    return np.array(scale * 3 if len(scale) == 1 else scale)


def _symbols(head: _Head, rows: list[str], warnings: list[str]) -> list[str]:
    """The element of each atom; VASP 4 has none where they are expected."""
    if head.symbols is not None:
        return _repeated(head.symbols, head.counts)
    behind = [_behind(row) for row in rows]
    if all(behind):
        warnings.append("VASP 4: elements taken from behind the coordinates")
        return [symbol for symbol in behind if symbol]
    named = [_symbol(token) for token in head.comment.split()]
    if len(named) == len(head.counts) and all(map(_known, named)):
        warnings.append(f"VASP 4: elements taken from the comment: {' '.join(named)}")
        return _repeated(named, head.counts)
    raise Refused("VASP 4 format: which elements? Write their symbols in a line above the numbers of atoms")


def _repeated(symbols: list[str], counts: list[int]) -> list[str]:
    return [symbol for symbol, n in zip(symbols, counts, strict=True) for _ in range(n)]


def _behind(row: str) -> str | None:
    tokens = [token for token in row.split()[3:] if token not in ("T", "F")]
    symbol = _symbol(tokens[0]) if tokens else ""
    return symbol if _known(symbol) else None


def _symbol(token: str) -> str:
    """The element of names such as `Fe_pv` and `Si/a1b2`; other names as they are."""
    found = _SYMBOL.match(token)
    return found.group(1) if found else token


def _known(symbol: str) -> bool:
    from ase.data import atomic_numbers

    return symbol == "D" or atomic_numbers.get(symbol, 0) > 0


def _line(lines: list[str], i: int) -> str:
    if i >= len(lines):
        raise NotACrystal(f"the file ends before line {i + 1}")
    if len(lines[i]) > _MAX_LINE:
        raise NotACrystal(f"line {i + 1} is too long: {len(lines[i]):,} characters")
    return lines[i].strip()


def _short(line: str) -> str:
    return line[:40] or "an empty line"


def _counts(line: str) -> list[int]:
    """The numbers of atoms that a line begins with; none where it begins with something else."""
    found: list[int] = []
    for token in line.split():
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            break
        found.append(int(token))
    return found


def _floats(line: str) -> list[float]:
    """The numbers that a line begins with, in Python's or Fortran's way of writing."""
    found: list[float] = []
    for token in line.split():
        try:
            found.append(float(token.lower().replace("d", "e")))
        except ValueError:
            break
    return found


def _numbers(rows: list[str], first: int, what: str) -> NDArray[np.float64]:
    """Three numbers of each row, shape (n, 3); `first` is the line of the first row, from 0."""
    import numpy as np

    values = [_floats(" ".join(row.split()[:3])) for row in rows]
    short = next((i for i, v in enumerate(values) if len(v) < 3), None)
    if short is not None:
        raise NotACrystal(f"line {first + short + 1}: expected three numbers ({what}), found: {_short(rows[short])}")
    return np.array(values, float).reshape(-1, 3)
