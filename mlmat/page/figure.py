"""One hull as a figure: two elements as a curve, three as a triangle. Energies in eV/atom."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlmat.errors import StoreError, UsageError
from mlmat.output import check_file, placed, shown
from mlmat.page._contents import records
from mlmat.page._labels import Around, Label, write_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmat.page._labels import Point
    from mlmat.store import Store

SUFFIXES = (".png", ".svg", ".pdf")
#: What counts as stable, in eV/atom: below it there is rounding only.
ON_HULL = 1e-6
#: Blue for stable phases, amber to red above the hull: told apart also without green.
STABLE, INK, FAINT, RAMP = "#0b6bb8", "#16202c", "#8c98a6", ("#f3b33d", "#dd6f2c", "#8f2a3a")
TOP = 0.2
_PHASES = """
SELECT h.method_id, h.method, h.formula, p.elements, list_transform(p.amounts, lambda x: x / p.nsites) AS fractions,
    h.formation_energy_per_atom AS energy, h.e_above_hull AS above, h.reason, h.expected_error AS error, h.scheme
FROM hull AS h JOIN phase AS p USING (result_id, method_id)
WHERE list_has_all($elements, p.elements) AND ($method IS NULL OR h.method_id = $method)
ORDER BY above, formula
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of the system: fractions of its elements, formation energy, energy above hull and its expected error."""

    formula: str
    fractions: tuple[float, ...]
    energy: float
    above: float
    error: float | None

    @property
    def stable(self) -> bool:
        """Whether it is on the hull."""
        return self.above <= ON_HULL

    @property
    def pure(self) -> bool:
        """Whether it is an element."""
        return max(self.fractions) > 1 - 1e-9


_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def below(formula: str) -> str:
    """A formula with its numbers as subscripts."""
    return formula.translate(_BELOW)


def write(store: Store, target: Path, system: str, *, method: str | None = None, title: str | None = None) -> str:
    """Draw the hull of a system of two or three elements (A-B, A-B-C) to .png, .svg or .pdf; a line of what was drawn.

    Raises UsageError for a target or system that makes no sense, StoreError where the store has no hull of it.
    """
    from matplotlib.figure import Figure

    check_file(target)
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"-o {target}: a figure is {', '.join(SUFFIXES)}")
    elements = _elements(system)
    name, scheme, phases = _phases(store, elements, method)
    figure = Figure(figsize=(6.4, 4.8) if len(elements) == 2 else (6.4, 5.0), layout="constrained")
    axes = figure.add_subplot()
    (_binary if len(elements) == 2 else _ternary)(axes, elements, phases)
    axes.set_title(shown(title or "–".join(elements)), loc="left", fontsize=13, fontweight="bold", color=INK)
    below_it = _escaped(shown(_about(name, scheme, phases)))
    figure.supxlabel(below_it, x=0.995, ha="right", fontsize=7, color=FAINT)
    with placed(target) as partial:
        figure.savefig(partial, format=target.suffix[1:].lower(), dpi=200)
    stable = sum(phase.stable for phase in phases)
    return f"{target}: {len(phases):,} phases of {'-'.join(elements)} by {name}, {stable:,} on the hull"


def _about(name: str, scheme: str | None, phases: Sequence[Phase]) -> str:
    """The line below the figure: by what, and how sure."""
    error = _widest(phases)
    grey = " (grey)" if len(phases[0].fractions) == 2 else ""
    sure = "unknown" if error is None else f"{1000 * error:.0f} meV/atom{grey}"
    held = " · only the elements and one compound" if len({p.formula for p in phases if not p.pure}) == 1 else ""
    return f"{name} · energy scheme {scheme or 'unknown'} · expected error {sure}{held}"


def _widest(phases: Sequence[Phase]) -> float | None:
    """The largest expected error of the compounds, in eV/atom; None where none is known."""
    return max((phase.error for phase in phases if phase.error is not None and not phase.pure), default=None)


def _elements(system: str) -> list[str]:
    from ase.data import atomic_numbers

    elements = list(dict.fromkeys(system.split("-")))
    if not 2 <= len(elements) <= 3 or not all(one in atomic_numbers and one != "X" for one in elements):
        raise UsageError(f"--system {system}: give two or three elements, such as Li-O or Li-Co-O")
    return elements


def _chosen(store: Store, method: str) -> str:
    """The id of a method or of a mixture of methods. Raises UsageError."""
    mixtures = store.arrow("SELECT DISTINCT method_id FROM mixture WHERE $1 IN (method, method_id)", [method])
    return str(mixtures["method_id"][0]) if mixtures.num_rows else store.find_method(method)


def _phases(store: Store, elements: Sequence[str], method: str | None) -> tuple[str, str | None, list[Phase]]:
    chosen = None if method is None else _chosen(store, method)
    rows = records(store.arrow(_PHASES, {"elements": list(elements), "method": chosen}))
    system = "-".join(elements)
    if not any(len(row["elements"]) > 1 for row in rows):
        raise StoreError(f"no result in the system {system}; mlmat reduce chemical_systems lists those there are")
    counts = Counter(row["method_id"] for row in rows if row["above"] is not None)
    if not counts:
        reasons = Counter(row["reason"] for row in rows if row["reason"])
        why = reasons.most_common(1)[0][0] if reasons else "no energy by one method for all of it"
        raise StoreError(f"no hull of {system}: {why}")
    best = counts.most_common(1)[0][0]
    mine = [row for row in rows if row["method_id"] == best and row["above"] is not None]
    have = {row["elements"][0] for row in mine if len(row["elements"]) == 1}
    if missing := [one for one in elements if one not in have]:
        raise StoreError(f"no hull of {system}: {', '.join(missing)} has no energy by {mine[0]['method']}")
    return mine[0]["method"], mine[0]["scheme"], [_phase(row, elements) for row in mine]


def _phase(row: dict[str, Any], elements: Sequence[str]) -> Phase:
    share = dict(zip(row["elements"], row["fractions"], strict=True))
    return Phase(
        row["formula"], tuple(share.get(one, 0.0) for one in elements), row["energy"], row["above"], row["error"]
    )


def _binary(axes: Any, elements: Sequence[str], phases: Sequence[Phase]) -> None:
    """Formation energy against the fraction of the second element."""
    ground = sorted(_once(phases), key=lambda phase: phase.fractions[1])
    corners = [(phase.fractions[1], phase.energy) for phase in ground]
    axes.axhline(0, color=FAINT, linewidth=0.8)
    _band(axes, corners, _widest(phases))
    axes.plot(*zip(*corners, strict=True), color=STABLE, linewidth=1.8, zorder=2)
    _points(axes, phases, [(phase.fractions[1], phase.energy) for phase in phases])
    lowest = min(-0.05, *(phase.energy for phase in ground))
    highest = min(max(0.05, *(phase.energy for phase in phases)), max(0.25, -0.6 * lowest))
    span = highest - lowest
    axes.set(xlim=(-0.06, 1.06), ylim=(lowest - 0.14 * span, highest + 0.09 * span))
    axes.set_xlabel(f"fraction of {elements[1]}")
    axes.set_ylabel("formation energy (eV/atom)")
    axes.spines[["top", "right"]].set_visible(False)
    labels = [Label(below(phase.formula), *corner) for phase, corner in zip(ground, corners, strict=True)]
    dots = [(phase.fractions[1], phase.energy) for phase in phases if not phase.stable]
    write_labels(axes, labels, Around(corners, [*pairwise(corners)], dots, away=(0.5, 4.0)))


def _band(axes: Any, corners: Sequence[Point], error: float | None) -> None:
    """The expected error on both sides of the hull; nothing at the elements, which are 0 by definition."""
    if error is None:
        return
    x, y = zip(*corners, strict=True)
    wide = [0.0, *[error] * (len(corners) - 2), 0.0]
    low, high = ([e + sign * w for e, w in zip(y, wide, strict=True)] for sign in (-1, 1))
    axes.fill_between(x, low, high, color=FAINT, alpha=0.25, linewidth=0, zorder=1)


def _ternary(axes: Any, elements: Sequence[str], phases: Sequence[Phase]) -> None:
    """The triangle of compositions: stable phases, what they are in equilibrium with, and what lies above."""
    from matplotlib.collections import LineCollection

    corners = [_place(corner) for corner in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    axes.plot(*zip(*corners, corners[0], strict=True), color=FAINT, linewidth=1.0, zorder=1)
    ground = _once(phases)
    lines = [(_place(a.fractions), _place(b.fractions)) for a, b in _tie_lines(ground)]
    axes.add_collection(LineCollection(lines, colors=STABLE, linewidths=1.1, zorder=2))
    _points(axes, phases, [_place(phase.fractions) for phase in phases])
    for element, corner, (right, up) in zip(elements, corners, ((-11, -9), (11, -9), (0, 13)), strict=True):
        axes.annotate(element, corner, (right, up), textcoords="offset points", ha="center", va="center",
                      fontsize=13, fontweight="bold", color=INK)  # fmt: skip
    axes.set(xlim=(-0.14, 1.14), ylim=(-0.09, 0.96), aspect="equal")
    axes.axis("off")
    labels = [Label(below(phase.formula), *_place(phase.fractions)) for phase in ground if not phase.pure]
    dots = [_place(phase.fractions) for phase in phases if not phase.stable]
    solid = [_place(phase.fractions) for phase in ground]
    write_labels(axes, labels, Around(solid, lines, dots, away=(0.5, math.sqrt(3) / 6)))


def _points(axes: Any, phases: Sequence[Phase], places: Sequence[Point]) -> None:
    """Every phase in the colour of its energy above the hull, the stable ones on top."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    ramp = LinearSegmentedColormap.from_list("above", RAMP)
    both = list(zip(phases, places, strict=True))
    on = [place for phase, place in both if phase.stable]
    axes.scatter(*zip(*on, strict=True), color=STABLE, s=48, edgecolors="white", linewidths=0.8, zorder=4)
    over = [(*place, phase.above) for phase, place in reversed(both) if not phase.stable]
    if not over:
        return
    x, y, above = zip(*over, strict=True)
    drawn = axes.scatter(x, y, c=above, cmap=ramp, norm=Normalize(0, TOP), s=22, edgecolors="white", linewidths=0.5,
                         zorder=3)  # fmt: skip
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.5, aspect=24, extend="max", pad=0.02,
                               ticks=[0, 0.05, 0.1, 0.15, 0.2])  # fmt: skip
    bar.set_label("energy above hull (eV/atom)", fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=9)
    bar.outline.set_visible(False)


def _tie_lines(ground: Sequence[Phase]) -> list[tuple[Phase, Phase]]:
    """Pairs of stable phases in equilibrium: the edges of the lower hull over the triangle."""
    import numpy as np
    from scipy.spatial import ConvexHull

    if len(ground) <= 3:
        return [(a, b) for k, a in enumerate(ground) for b in ground[k + 1 :]]
    points = np.array([[*_place(phase.fractions), phase.energy] for phase in ground])
    top = np.append(points[:, :2].mean(axis=0), points[:, 2].max() + 10.0)  # closes the hull from above
    hull = ConvexHull(np.vstack([points, top]))
    edges = set()
    for simplex, equation in zip(hull.simplices, hull.equations, strict=True):
        if equation[2] < -1e-9 and len(ground) not in simplex:
            a, b, c = sorted(simplex.tolist())
            edges |= {(a, b), (b, c), (a, c)}
    return [(ground[a], ground[b]) for a, b in sorted(edges)]


def _place(fractions: Sequence[float]) -> Point:
    """Where a composition is in the triangle: the second element at the right, the third on top."""
    _, b, c = fractions
    return b + c / 2, c * math.sqrt(3) / 2


def _once(phases: Sequence[Phase]) -> list[Phase]:
    """The stable phases, one for each formula."""
    found: dict[str, Phase] = {}
    for phase in phases:
        if phase.stable:
            found.setdefault(phase.formula, phase)
    return list(found.values())


def _escaped(text: str) -> str:
    """Text in which a dollar sign starts no formula."""
    return text.replace("$", r"\$")
