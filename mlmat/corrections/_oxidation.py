"""Mean oxidation states of a composition: pymatgen's guess, in a time that no composition can stretch.

pymatgen tries every combination of the states of all sites; that of some alloys' oxides takes it minutes. The most
probable one is found here element by element, with the same states and probabilities.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Atoms in the reduced formula up to which pymatgen's correction guesses oxidation states.
MOST_SITES = 20


def states(amounts: Mapping[str, float]) -> dict[str, float]:
    """Mean oxidation state in e of each element of the most probable neutral combination; {} where there is none."""
    from pymatgen.core import Composition

    composition = Composition(amounts).reduced_composition
    whole = {element: round(amount) for element, amount in composition.get_el_amt_dict().items()}
    if composition.num_atoms > MOST_SITES or any(abs(composition[e] - n) > 1e-8 for e, n in whole.items()):
        return {}
    return dict(_guess(tuple(whole.items())))


@lru_cache(10_000)
def _guess(amounts: tuple[tuple[str, int], ...]) -> tuple[tuple[str, float], ...]:
    """Sums of charges of the first elements, each with its best score: of equal scores, the one met first."""
    best: dict[float, tuple[float, tuple[float, ...]]] = {0.0: (0.0, ())}
    for element, count in amounts:
        options = _sums(element, count)
        new: dict[float, tuple[float, tuple[float, ...]]] = {}
        for total, (score, chosen) in best.items():
            for charge, own in options.items():
                before = new.get(total + charge)
                if before is None or score + own > before[0]:
                    new[total + charge] = (score + own, (*chosen, charge))
        best = new
    if 0 not in best:
        return ()
    return tuple((element, charge / n) for (element, n), charge in zip(amounts, best[0][1], strict=True))


@lru_cache(10_000)
def _sums(element: str, count: int) -> dict[float, float]:
    """The charges that so many atoms of an element may have together, with the score of the most probable states."""
    found: dict[float, float] = {0.0: 0.0}
    for _ in range(count):
        new: dict[float, float] = {}
        for total, score in found.items():
            for state, probability in _probabilities(element):
                if score + probability > new.get(total + state, -1.0):
                    new[total + state] = score + probability
        found = new
    return found


@lru_cache(200)
def _probabilities(element: str) -> tuple[tuple[float, float], ...]:
    """The states that pymatgen considers for an element, with how probable it takes each to be."""
    from pymatgen.core import Composition, Element, Species

    Composition("NaCl").oxi_state_guesses()  # reads the table of probabilities
    known = Element(element)
    possible = known.icsd_oxidation_states or known.common_oxidation_states
    table = Composition.oxi_prob or {}
    return tuple((state, float(table.get(Species(element, state), 0))) for state in possible)
