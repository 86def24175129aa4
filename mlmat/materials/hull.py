"""Energy above the convex hull: pure, no store and no files. All energies of one call must be of one method.

pymatgen's PhaseDiagram does the geometry. Its number of facets explodes with the number of elements (minutes at ten);
beyond MOST_ELEMENTS the same is found phase by phase, as a linear program: the mixture of least energy that has the
composition. Both give the same numbers to rounding.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Composition = tuple[tuple[str, float], ...]

#: Elements up to which PhaseDiagram is taken: always, and for more phases than a few.
FEW_ELEMENTS, MOST_ELEMENTS, FEW_ASKED = 4, 6, 20
#: Below this (eV/atom) a phase lies on the hull, and in a mixture (atomic fraction) it is none of the products.
ZERO, NOTHING = 1e-10, 1e-8
#: eV/atom. No crystal has a lower energy of formation (ThF4: -4.3); what has one competes with nothing. The view
#: formation_energy says so in its row.
LOWEST = -6.0


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """What may lie on a hull. amounts: atoms of each element in the cell; energy: of the cell in eV."""

    key: str
    amounts: Mapping[str, float]
    energy: float

    @property
    def atoms(self) -> float:
        """Atoms in the cell."""
        return sum(self.amounts.values())

    @property
    def energy_per_atom(self) -> float:
        """In eV/atom."""
        return self.energy / self.atoms

    @property
    def credible(self) -> bool:
        """Whether a crystal may have this energy of formation, where energy is that."""
        return self.energy_per_atom >= LOWEST

    @property
    def fractions(self) -> dict[str, float]:
        """Atomic fraction of each element."""
        atoms = self.atoms
        return {element: amount / atoms for element, amount in self.amounts.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far a phase lies above the hull (eV/atom, 0 on it), and the stable phases there: key to atomic fraction.

    e_decomposition: above the hull of all phases of other compositions (eV/atom), below 0 for what is stable; None for
    elements. competitors: compounds of other compositions that the hull was made of.
    """

    e_above_hull: float
    products: dict[str, float]
    e_decomposition: float | None
    competitors: int


def above_hull(asked: Sequence[Phase], competing: Sequence[Phase]) -> list[Verdict | None]:
    """The verdict on each phase asked for, from the phases that compete with it: itself among them.

    None for a phase whose energy of formation no crystal has: it competes with nothing.

    Raises ValueError when an element of those asked for has no pure phase among the competing ones.
    """
    elements = sorted({element for phase in asked for element in phase.amounts})
    inside = [phase for phase in competing if phase.amounts.keys() <= set(elements)]
    pure = _pure(inside)
    missing = [element for element in elements if element not in pure]
    if missing:
        raise ValueError(f"no energy of the pure elements {', '.join(missing)}")
    asked, inside = [_formed(phase, pure) for phase in asked], [_formed(phase, pure) for phase in inside]
    best = _best([phase for phase in inside if phase.credible])
    found = iter(_verdicts([phase for phase in asked if phase.credible], best, elements))
    return [next(found) if phase.credible else None for phase in asked]


def _pure(phases: Sequence[Phase]) -> dict[str, float]:
    """The lowest energy of each element, in eV/atom."""
    found: dict[str, float] = {}
    for phase in phases:
        if len(phase.amounts) == 1:
            (element,) = phase.amounts
            found[element] = min(phase.energy_per_atom, found.get(element, phase.energy_per_atom))
    return found


def _verdicts(asked: Sequence[Phase], best: list[Phase], elements: list[str]) -> list[Verdict]:
    mixtures = _mixtures(asked, best, elements)
    above = [_above(phase, mixture) for phase, mixture in zip(asked, mixtures, strict=True)]
    apart = _apart(asked, above, best)
    return [_verdict(*one) for one in zip(asked, mixtures, above, apart, strict=True)]


def _formed(phase: Phase, pure: Mapping[str, float]) -> Phase:
    """The phase with its energy of formation: sums over total energies would cost digits, all electrons' above all."""
    elements = sum(amount * pure[element] for element, amount in phase.amounts.items())
    return Phase(phase.key, phase.amounts, phase.energy - elements)


def _composition(phase: Phase) -> Composition:
    return tuple((e, round(x, 8)) for e, x in sorted(phase.fractions.items()))


def _best(phases: Sequence[Phase]) -> list[Phase]:
    """The lowest phase of each composition: no other can lie on the hull."""
    best: dict[Composition, Phase] = {}
    for phase in sorted(phases, key=lambda phase: (phase.energy_per_atom, phase.key)):
        best.setdefault(_composition(phase), phase)
    return list(best.values())


def _mixtures(asked: Sequence[Phase], best: list[Phase], elements: list[str]) -> list[dict[Phase, float]]:
    from scipy.spatial import QhullError

    if len(elements) == 1:
        return [{best[0]: 1.0} for _ in asked]
    if len(elements) <= FEW_ELEMENTS or (len(elements) <= MOST_ELEMENTS and len(asked) > FEW_ASKED):
        # Phases too nearly in one plane for Qhull, or a composition on an edge that no facet owns to.
        with suppress(QhullError, RuntimeError, ValueError):
            return by_phase_diagram(asked, best)
    return by_linear_program(asked, best)


def by_phase_diagram(asked: Sequence[Phase], best: Sequence[Phase]) -> list[dict[Phase, float]]:
    """The mixture of least energy at the composition of each phase: atomic fraction of each of its products."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # electronegativities of noble gases, which nobody asks for
        phases = {phase.key: phase for phase in best}
        entries = [PDEntry(Composition(phase.amounts), phase.energy, name=phase.key) for phase in best]
        diagram = PhaseDiagram(entries)
        return [
            {phases[entry.name]: amount for entry, amount in diagram.get_decomposition(composition).items()}
            for composition in (Composition(phase.amounts) for phase in asked)
        ]


def by_linear_program(asked: Sequence[Phase], best: Sequence[Phase]) -> list[dict[Phase, float]]:
    """The same as `by_phase_diagram`, for any number of elements."""
    return [_least_mixture(phase, [p for p in best if phase.amounts.keys() >= p.amounts.keys()]) for phase in asked]


def _least_mixture(phase: Phase, best: Sequence[Phase]) -> dict[Phase, float]:
    import numpy as np
    from scipy.optimize import linprog

    elements = sorted(phase.amounts)
    energies = np.array([p.energy_per_atom for p in best])
    columns = np.array([_column(p, elements) for p in best]).T
    found = linprog(energies, A_eq=columns, b_eq=_column(phase, elements), method="highs-ds")
    if not found.success:
        raise ValueError(f"no mixture of this composition: {found.message}")
    return {p: float(x) for p, x in zip(best, found.x, strict=True) if x > NOTHING}


def _column(phase: Phase, elements: list[str]) -> list[float]:
    fractions = phase.fractions
    return [fractions.get(element, 0.0) for element in elements]


def _above(phase: Phase, mixture: Mapping[Phase, float]) -> float:
    """Energy above a mixture, exactly 0 on it."""
    energy = phase.energy_per_atom - sum(product.energy_per_atom * x for product, x in mixture.items())
    return energy if energy > ZERO else 0.0


def _apart(asked: Sequence[Phase], above: Sequence[float], best: Sequence[Phase]) -> list[tuple[float | None, int]]:
    """For each phase its energy above the hull of all other compositions, and the number of compounds among those.

    Only the hull of what lies on it changes without it; phases of one composition share the hull that is left.
    """
    compounds = {_composition(phase): phase for phase in best if len(phase.amounts) > 1}
    inside = {e: sum(e >= p.amounts.keys() for p in compounds.values()) for e in {frozenset(p.amounts) for p in asked}}
    own = [_composition(phase) for phase in asked]
    stable = {key: phase for key, phase, energy in zip(own, asked, above, strict=True) if energy == 0}
    left = {key: _without(phase, compounds) for key, phase in stable.items() if len(phase.amounts) > 1}
    energies = [
        None if len(phase.amounts) == 1 else phase.energy_per_atom - left[key] if key in left else energy
        for key, phase, energy in zip(own, asked, above, strict=True)
    ]
    counts = [inside[frozenset(phase.amounts)] - (key in compounds) for key, phase in zip(own, asked, strict=True)]
    return list(zip(energies, counts, strict=True))


def _without(phase: Phase, compounds: Mapping[Composition, Phase]) -> float:
    """Energy of formation (eV/atom) of the best mixture of other compositions at the composition of a phase."""
    own = _composition(phase)
    others = [
        other
        for key, other in compounds.items()
        if key != own and other.energy < 0 and phase.amounts.keys() >= other.amounts.keys()
    ]
    if not others:
        return 0.0
    if len(phase.amounts) == 2:
        return _between(phase, others)
    pure = [Phase(element, {element: 1.0}, 0.0) for element in phase.amounts]
    return sum(other.energy_per_atom * x for other, x in _least_mixture(phase, [*pure, *others]).items())


def _between(phase: Phase, others: Sequence[Phase]) -> float:
    """The lowest energy at its composition on a line between two other phases of its two elements."""
    import numpy as np

    element = min(phase.amounts)
    x = np.array([0.0, 1.0, *(other.fractions[element] for other in others)])
    energy = np.array([0.0, 0.0, *(other.energy_per_atom for other in others)])
    at = phase.fractions[element]
    left, right = x < at, x > at
    weight = (at - x[left])[:, None] / (x[right][None, :] - x[left][:, None])
    return float(((1 - weight) * energy[left][:, None] + weight * energy[right][None, :]).min())


def _verdict(phase: Phase, mixture: Mapping[Phase, float], above: float, apart: tuple[float | None, int]) -> Verdict:
    if above == 0:
        return Verdict(0.0, {phase.key: 1.0}, *apart)
    products = sorted(((p.key, x) for p, x in mixture.items() if x > NOTHING), key=lambda pair: (-pair[1], pair[0]))
    return Verdict(above, dict(products), *apart)
