"""Labels of points in a figure, where they cover neither one another nor a point; files/labels.js does it for the page.

Lengths in pixels of the figure, but for the places of the points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Point = tuple[float, float]

_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8))
#: How far a label is from its point, in typographic points: a line leads to those that are farther than the second.
_DISTANCES = (6.0, 12.0, 22.0, 36.0)
_SIZE = 9.5
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Label:
    """A text and the place of its point in the axes' own units."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """Middle and half extents; the way from the point and how many distances."""

    x: float
    y: float
    w: float
    h: float
    way: Point = (0.0, 0.0)
    far: int = 0

    def meets(self, other: Box) -> bool:
        """Whether they overlap."""
        return abs(self.x - other.x) < self.w + other.w and abs(self.y - other.y) < self.h + other.h

    def holds(self, x: float, y: float) -> bool:
        """Whether a point is inside."""
        return abs(self.x - x) < self.w and abs(self.y - y) < self.h

    def crossed_by(self, line: tuple[Point, Point]) -> bool:
        """Whether a line goes through it."""
        (x, y), (u, v) = line
        return any(self.holds(x + (u - x) * k / _STEPS, y + (v - y) * k / _STEPS) for k in range(_STEPS + 1))


@dataclass(frozen=True, slots=True)
class Around:
    """What labels keep off: points that none may cover; lines and dots, rather not; the middle of the figure."""

    solid: Sequence[Point]
    lines: Sequence[tuple[Point, Point]]
    dots: Sequence[Point]
    away: Point

    def drawn(self, pixel: Callable[[Any], Any]) -> Around:
        """The same in pixels."""

        def at(point: Point) -> Point:
            x, y = pixel(point)
            return float(x), float(y)

        lines = [(at(a), at(b)) for a, b in self.lines]
        return Around([at(one) for one in self.solid], lines, [at(one) for one in self.dots], at(self.away))


def write_labels(axes: Any, labels: Sequence[Label], around: Around) -> None:
    """Write those labels that have room."""
    from matplotlib import patheffects

    axes.figure.draw_without_rendering()  # the layout, before anything is measured
    pixel = axes.transData.transform
    unit = axes.figure.dpi / 72
    boxes = [_box(axes, label, *pixel((label.x, label.y)).tolist()) for label in labels]
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    for label, own, found in zip(labels, boxes, arranged(boxes, around.drawn(pixel), unit), strict=True):
        if found is not None:
            arrow = {"arrowstyle": "-", "color": "#8c98a6", "linewidth": 0.7, "shrinkB": 4} if found.far > 1 else None
            axes.annotate(label.text, (label.x, label.y), ((found.x - own.x) / unit, (found.y - own.y) / unit),
                          textcoords="offset points", ha="center", va="center", fontsize=_SIZE, color="#16202c",
                          zorder=5, path_effects=halo, arrowprops=arrow)  # fmt: skip


def _box(axes: Any, label: Label, x: float, y: float) -> Box:
    """The extent of a text, at its point."""
    text = axes.text(0, 0, label.text, fontsize=_SIZE)
    extent = text.get_window_extent()
    text.remove()
    return Box(x, y, extent.width / 2 + 1, extent.height / 2)


def arranged(boxes: Sequence[Box], around: Around, unit: float) -> list[Box | None]:
    """A place for each box, none where there is no room: first those that stand alone. unit: pixels of a point."""
    found: list[Box | None] = [None] * len(boxes)
    taken = [Box(x, y, 4 * unit, 4 * unit) for x, y in around.solid]
    for k in sorted(range(len(boxes)), key=lambda k: -_loneliness(boxes, k)):
        free = [box for box in _around(boxes[k], unit) if not any(box.meets(other) for other in taken)]
        if free:
            best = min(free, key=lambda box: _price(box, boxes[k], around))
            found[k] = best
            taken.append(best)
    return found


def _loneliness(boxes: Sequence[Box], k: int) -> float:
    return min((math.dist((boxes[k].x, boxes[k].y), (b.x, b.y)) for b in boxes if b is not boxes[k]), default=0.0)


def _around(box: Box, unit: float) -> Iterator[Box]:
    for far, distance in enumerate(_DISTANCES):
        for right, up in _WAYS:
            x, y = box.x + right * (box.w + distance * unit), box.y + up * (box.h + distance * unit)
            yield Box(x, y, box.w, box.h, (right, up), far)


def _price(box: Box, own: Box, around: Around) -> float:
    x, y = own.x - around.away[0], own.y - around.away[1]
    outward = (box.way[0] * x + box.way[1] * y) / (math.hypot(x, y) or 1.0)
    hidden = min(3.0, 0.4 * sum(box.holds(*dot) for dot in around.dots))
    return 2.5 * box.far - outward + 1.2 * sum(map(box.crossed_by, around.lines)) + hidden
