"""The reader of ASE's trajectories: each frame becomes a `Block` with its results.

The container is read by ASE (ULM, which holds JSON and arrays, nothing that runs); frames are taken from it directly.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from mlmat.reader._crystal import Content, Part, block, to_the_end
from mlmat.reader._values import SHAPES
from mlmat.reader._verdict import NotACrystal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader._block import Block, Limits

FORMAT = "trajectory of ASE (.traj)"
PATTERNS = ("*.traj",)
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 1
_TAG = b"ASE-Trajectory"
_MAGIC = (b"- of Ulm", b"AFFormat")
#: Bytes of the header: magic, tag, version, number of frames, place of their offsets.
_HEADER = 48


def accepts(data: bytes) -> bool:
    """Whether it begins like a trajectory."""
    return data.startswith(_MAGIC) and data[8:24].startswith(_TAG)


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The frames of a trajectory; one that is broken does not take the others along."""
    return to_the_end(_blocks(data, limits), _parser())


def _blocks(data: bytes, limits: Limits) -> Iterator[Block]:
    frames = _frames(data)
    for i in range(len(frames)):
        yield block(Part(str(i), i, "", _parser()), partial(_checked, frames, i), limits)


def _frames(data: bytes) -> Any:
    """ASE's reader of the container."""
    from io import BytesIO

    from ase.io.ulm import Reader

    if not data:
        raise NotACrystal("empty")
    if not accepts(data):
        raise NotACrystal("not a trajectory of ASE 3.9 or newer")
    number = int.from_bytes(data[32:40], "little")
    if len(data) < _HEADER or number > len(data) // 8:
        raise NotACrystal("broken trajectory: it ends before its header says")
    try:
        frames = Reader(BytesIO(data))
        count = len(frames)
    except Exception as error:
        raise NotACrystal(f"broken trajectory: {error}") from None
    if not count:
        raise NotACrystal("a trajectory without frames")
    return frames


def _checked(frames: Any, i: int, warnings: list[str]) -> Content:
    try:
        return _content(frames, i, warnings)
    except AttributeError as error:
        raise NotACrystal(f"a broken frame: it has no {error}") from None
    except Exception as error:
        raise NotACrystal(f"a broken frame: {error}") from None


def _content(frames: Any, i: int, warnings: list[str]) -> Content:
    frame = frames[i]
    header = frame if "numbers" in frame else frames[0]
    if header.get("constraints") not in (None, "[]", []):
        warnings.append("constraints are not kept")
    info = frame.get("info")
    return Content(
        numbers=header.numbers,
        positions=frame.positions,
        cell=frame.cell,
        pbc=header.pbc,
        moments=frame.get("magmoms"),
        charges=frame.get("charges"),
        masses=header.get("masses"),
        key_values=info if isinstance(info, dict) else {},
        results=_results(frame.get("calculator")),
    )


def _results(calculator: Any) -> dict[str, Any]:
    if calculator is None:
        return {}
    return {**{name: calculator.get(name) for name in SHAPES}, "calculator": calculator.get("name")}


@cache
def _parser() -> str:
    from importlib.metadata import version

    return f"mlmat.traj {READER_VERSION} (ase {version('ase')})"
