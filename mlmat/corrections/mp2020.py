"""MP2020: the corrections of the Materials Project for its GGA and GGA+U energies, from the crystal alone.

pymatgen's MaterialsProject2020Compatibility has the figures. What it has to be told besides the energy is found here as
the Materials Project has it: U for Co Cr Fe Mn Mo Ni V W beside O or F, the kind of oxide by the distances of its
oxygen atoms, oxidation states by composition.
"""

from __future__ import annotations

import warnings
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from mlmat.corrections import _oxidation
from mlmat.corrections._crystal import Uncorrectable
from mlmat.materials import schemes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mlmat.corrections._crystal import Crystal

NAME, TAKES = schemes.MP2020, schemes.MP_RAW
#: Elements with a U, in eV, in oxides and fluorides (MPRelaxSet).
HUBBARD = {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}
#: How far atoms of O may be apart to count as bonded: times 1.35 Å in superoxides, 1.49 Å in peroxides. pymatgen has
#: 1.05 where nobody says which kind an oxide is, the Materials Project's own documents 1.1. Between the two, this one
#: leaves published corrections of both as they are (docs/stability.md), H2O2 a peroxide and a stretched peroxide one.
BONDED = 1.08
#: Those of pymatgen and of the Materials Project: who published a correction may have had either.
REACHES = (1.05, 1.1)
#: Elements that are corrected where they are anions, whatever the structure, and those that a structure decides about.
ANIONS = ("Br", "I", "Se", "Si", "Sb", "Te", "H", "N", "F", "Cl")
BY_STRUCTURE = ("O", "S")
#: Atoms in the cell beyond which nothing is looked at: neighbours of 2,000 atoms take seconds.
MOST_ATOMS = 2_000


def correction(crystal: Crystal) -> float:
    """What MP2020 adds to the energy of a cell, in eV. Raises Uncorrectable."""
    return _corrected(crystal.amounts, kinds(crystal))


def _corrected(
    amounts: Mapping[str, float], kind: Mapping[str, str], states: Mapping[str, float] | None = None
) -> float:
    from pymatgen.analysis.compatibility import CompatibilityError
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    about = {"oxidation_states": _oxidation.states(amounts) if states is None else states, **kind}
    parameters = {"run_type": "GGA+U" if mixes(amounts) else "GGA", "hubbards": hubbard(amounts)}
    entry = ComputedEntry(Composition(amounts), 0.0, parameters=parameters, data=about)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oxidation states that nobody can guess
            adjustments = _compatibility().get_adjustments(entry)
    except (CompatibilityError, ValueError, KeyError, TypeError) as error:
        raise Uncorrectable(f"MP2020: {' '.join(str(error).split()):.150}") from error
    return float(sum(one.value for one in adjustments))


@cache
def _compatibility() -> Any:
    from pymatgen.analysis.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(check_potcar=False)


def kinds(crystal: Crystal, reach: float = BONDED) -> dict[str, str]:
    """Which kind of oxide and of sulfide it is. Raises Uncorrectable where that takes a structure and there is none.

    reach: how far atoms of O may be apart to count as bonded, as `BONDED`.
    """
    ask = [element for element in BY_STRUCTURE if element in crystal.amounts] if len(crystal.amounts) > 1 else []
    if not ask:
        return {}
    structure = crystal.structure()
    if structure is None:
        raise Uncorrectable(
            f"MP2020 needs a structure to tell which kind of {_WHAT[ask[0]]} it is: it came without one"
        )
    if len(structure) > MOST_ATOMS:
        raise Uncorrectable(f"MP2020: more than {MOST_ATOMS:,} atoms")
    return {name: kind for element in ask for name, kind in _KIND[element](structure, reach).items()}


def _oxide(structure: Any, reach: float) -> dict[str, str]:
    from pymatgen.analysis.structure_analyzer import oxide_type

    return {"oxide_type": str(oxide_type(structure, reach))}


def _sulfide(structure: Any, _reach: float) -> dict[str, str]:
    from pymatgen.analysis.structure_analyzer import sulfide_type

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Sulfates have no kind: pymatgen takes that for a question left open, and an unknown word for none.
        return {"sulfide_type": sulfide_type(structure) or "sulfate"}


_KIND = {"O": _oxide, "S": _sulfide}
_WHAT = {"O": "oxide", "S": "sulfide"}


def mixes(elements: Collection[str]) -> bool:
    """Whether the Materials Project computes these elements together with U."""
    return bool(HUBBARD.keys() & set(elements)) and bool({"O", "F"} & set(elements))


def hubbard(elements: Collection[str]) -> dict[str, float]:
    """U of each element in eV, by the Materials Project's rule; {} where it computes without."""
    return {element: HUBBARD.get(element, 0.0) for element in elements} if mixes(elements) else {}


def fits_u(elements: Collection[str], given: Mapping[str, Any] | None) -> bool:
    """Whether U values are those of the Materials Project for these elements."""
    wanted = {element: u for element, u in hubbard(elements).items() if u}
    said = {element: u for element, u in (given or {}).items() if u and element in elements}
    return said.keys() == wanted.keys() and all(abs(float(said[e]) - u) < 1e-6 for e, u in wanted.items())


@cache
def potcars() -> dict[str, str]:
    """The PBE pseudopotential of each element in the Materials Project's settings."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    return dict(MPRelaxSet.CONFIG["POTCAR"])


def published(crystal: Crystal) -> Iterator[float]:
    """The corrections in eV that this cell may have been published with, the likeliest first. Raises Uncorrectable.

    Bonded oxygen reaches less far in pymatgen than in the Materials Project's documents, and a guess of oxidation
    states may take another element for the anion.
    """
    told = [kinds(crystal, reach) for reach in (BONDED, *REACHES)]
    distinct = [kind for i, kind in enumerate(told) if kind not in told[:i]]
    for kind in distinct:
        yield from (_corrected(crystal.amounts, kind, states) for states in _guesses(crystal.amounts))


def _guesses(amounts: Mapping[str, float]) -> Iterator[dict[str, float]]:
    """Oxidation states as they are guessed, and with each other choice of the elements that are corrected as anions."""
    known = _oxidation.states(amounts)
    yield known
    anions = [element for element in ANIONS if element in amounts] if len(amounts) > 2 else []
    for chosen in product((-1.0, 1.0), repeat=len(anions)):
        yield {**known, **dict(zip(anions, chosen, strict=True))}


def possible(amounts: Mapping[str, float]) -> list[float]:
    """The corrections in eV that a cell of this composition may have, whatever its structure is like."""
    oxides = ("oxide", "peroxide", "superoxide", "ozonide") if "O" in amounts else ("",)
    sulfides = ("sulfide", "sulfate") if "S" in amounts else ("",)
    return [_corrected(amounts, {"oxide_type": o, "sulfide_type": s}) for o in oxides for s in sulfides]


def may_be_nothing(amounts: Mapping[str, float]) -> bool | None:
    """Whether the correction of this composition is nothing: True, False, or None where it takes a guess."""
    if len(amounts) == 1:
        return True
    if mixes(amounts):
        return False
    return None if any(element in amounts for element in (*ANIONS, *BY_STRUCTURE)) else True
