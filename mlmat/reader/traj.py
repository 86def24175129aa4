"""The reader of ASE's trajectories: each frame becomes a `Block` with its results."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mlmat.reader.common.block import CONSTRAINTS
from mlmat.reader.common.crystal import Content, Part, block, to_the_end
from mlmat.reader.common.ulm import item, places, tag
from mlmat.reader.common.values import SHAPES
from mlmat.reader.common.verdict import NotACrystal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.reader.common.block import Block, Limits

FORMAT = "trajectory of ASE (.traj)"
PATTERNS = ("*.traj",)
#: Part of the parser's name in the store: raise it whenever the same text may come out differently.
READER_VERSION = 2
_PARSER = f"mlmat.traj {READER_VERSION}"
_TAG = b"ASE-Trajectory"


def accepts(data: bytes) -> bool:
    """Whether it begins like a trajectory."""
    return tag(data) == _TAG


def read(name: str, data: bytes, limits: Limits) -> Iterator[Block]:
    """The frames of a trajectory; one that is broken does not take the others along."""
    return to_the_end(_blocks(data, limits), _PARSER)


def _blocks(data: bytes, limits: Limits) -> Iterator[Block]:
    if not data:
        raise NotACrystal("empty")
    if not accepts(data):
        raise NotACrystal("not a trajectory of ASE 3.9 or newer")
    frames = places(data)
    if not frames:
        raise NotACrystal("a trajectory without frames")
    for i, place in enumerate(frames):
        yield block(Part(str(i), i, "", _PARSER), partial(_checked, data, place, frames[0]), limits)


def _checked(data: bytes, place: int, first: int, warnings: list[str]) -> Content:
    try:
        return _content(data, place, first, warnings)
    except KeyError as error:
        raise NotACrystal(f"a broken frame: it has no {str(error).strip(chr(39))}") from None
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise NotACrystal(f"a broken frame: {error}") from None


def _content(data: bytes, place: int, first: int, warnings: list[str]) -> Content:
    frame = item(data, place)
    header = frame if "numbers" in frame else item(data, first)  # what does not change stands in the first frame
    if header.get("constraints") not in (None, "[]", []):
        warnings.append(CONSTRAINTS)
    info = frame.get("info")
    return Content(
        numbers=header["numbers"],
        positions=frame["positions"],
        cell=frame["cell"],
        pbc=header["pbc"],
        moments=frame.get("magmoms"),
        charges=frame.get("charges"),
        masses=header.get("masses"),
        key_values=info if isinstance(info, dict) else {},
        results=_results(frame.get("calculator")),
    )


def _results(calculator: Any) -> dict[str, Any]:
    if not isinstance(calculator, dict):
        return {}
    return {**{name: calculator.get(name) for name in SHAPES}, "calculator": calculator.get("name")}
