"""From the atoms of a file that lists the whole cell to a `Block`: one judgement for every reader but CIF's."""

from __future__ import annotations

import warnings as python_warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmat.reader.common.block import Block, Limits, Outcome
from mlmat.reader.common.verdict import NotACrystal, Refused, one_line, some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray

#: Heavy isotopes that files name like elements, and their masses in u.
ISOTOPES = {"D": 2.014, "T": 3.016}
ISOTOPE_WARNING = "isotopes of hydrogen"
#: Difference in u within which a mass is theirs.
HEAVIER = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """One structure-like part of a file before it is read."""

    name: str
    index: int
    text: str
    parser: str


@dataclass(slots=True)
class Content:
    """What a part says, not yet believed: positions (n, 3) and cell (3, 3) in Å, moments in µB, charges in e.

    A disordered one has `disorder`, the reason, and `sites`, the occupancy of each element on each site.
    problem: why it must be flagged although it can be read.
    """

    numbers: Any = ()
    positions: Any = ()
    cell: Any = None
    pbc: Any = (True, True, True)
    moments: Any = None
    charges: Any = None
    masses: Any = None
    key_values: Mapping[Any, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    declared_formula: str | None = None
    disorder: str | None = None
    sites: Sequence[Mapping[str, float]] = ()
    problem: str | None = None


def block(part: Part, content: Callable[[list[str]], Content], limits: Limits) -> Block:
    """The block that becomes of a part; `content` reads it, adds warnings to a list, and may raise anything."""
    warnings: list[str] = []
    try:
        with python_warnings.catch_warnings(record=True) as caught:
            python_warnings.simplefilter("always")
            found = content(warnings)
            read = _judged(part, found, limits, warnings)
    except Refused as refused:
        return _block(part, refused.outcome, str(refused), warnings=warnings)
    except Exception as error:  # a reader must not take the batch along
        return _block(part, "unreadable", f"not understood: {type(error).__name__}: {error}", warnings=warnings)
    said = [str(w.message) for w in caught if not issubclass(w.category, DeprecationWarning)]
    return _block(part, *read, warnings=[*warnings, *dict.fromkeys(said)], content=found)


def refusal(part: Part, refused: Refused) -> Block:
    """The block of a part that was refused before it was read."""
    return _block(part, refused.outcome, str(refused))


def to_the_end(blocks: Iterator[Block], parser: str) -> Iterator[Block]:
    """The blocks of a file; where they break off, one more that says why."""
    index = 0
    try:
        for found in blocks:
            yield found
            index += 1
    except Refused as refused:
        yield refusal(Part("", index, "", parser), refused)
    except Exception as error:  # a reader must not take the batch along
        yield refusal(Part("", index, "", parser), NotACrystal(f"not understood: {type(error).__name__}: {error}"))


def elements(symbols: Sequence[str], warnings: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Atomic numbers of element symbols, and masses (u) where an isotope is among them, which is kept as H."""
    import numpy as np
    from ase.data import atomic_masses, atomic_numbers

    known = {s: 1 if s in ISOTOPES else atomic_numbers.get(s, 0) for s in set(symbols)}
    unknown = next((i for i, s in enumerate(symbols) if not known[s]), None)
    if unknown is not None:
        raise Refused(f"unknown element {symbols[unknown] or 'without a name'} at atom {unknown + 1}")
    numbers = np.array([known[s] for s in symbols], np.int64)
    heavy = [f"{s}{i}" for i, s in enumerate(symbols, 1) if s in ISOTOPES]
    if not heavy:
        return numbers, None
    warnings.append(f"{ISOTOPE_WARNING} at {some(heavy)}: kept as H")
    return numbers, np.array([ISOTOPES.get(s, atomic_masses[known[s]]) for s in symbols], float)


def isotope(symbol: Any, mass: Any) -> str | None:
    """D or T, where an atom of hydrogen has about the mass (u) of one; else None."""
    if symbol != "H" or not isinstance(mass, int | float):
        return None
    return next((name for name, its in ISOTOPES.items() if abs(mass - its) < HEAVIER), None)


def _judged(
    part: Part, content: Content, limits: Limits, warnings: list[str]
) -> tuple[Outcome, str | None, Atoms | None, str]:
    """Outcome, reason, atoms and formula; raises `Refused` where it makes no sense."""
    from mlmat.reader.common.composition import common_divisor, formula
    from mlmat.reader.common.listed import crowding, listed_atoms

    check_size(len(content.sites) or len(content.numbers), limits)
    if content.disorder:
        return "disordered", content.disorder, None, _fractional_formula(content.sites)
    atoms = listed_atoms(content, warnings)
    problem = crowding(atoms) or content.problem
    amounts: dict[str, int] = {}
    for symbol in atoms.get_chemical_symbols():
        amounts[symbol] = amounts.get(symbol, 0) + 1
    problem = problem or _against(amounts, content.declared_formula)
    units = common_divisor(amounts.values())
    return "flagged" if problem else "stored", problem, atoms, formula(amounts, units)


def check_size(n: int, limits: Limits) -> None:
    """Refuse no atoms at all, and more than the limit."""
    if n == 0:
        raise NotACrystal("no structure: no atoms")
    if n > limits.max_sites:
        raise Refused(f"too large: {n} sites, the limit is {limits.max_sites}")


def _against(amounts: Mapping[str, int], declared: str | None) -> str | None:
    from mlmat.reader.common.composition import difference, parse_formula

    wanted = parse_formula(declared)
    return difference({element: float(n) for element, n in amounts.items()}, wanted) if wanted else None


def _fractional_formula(sites: Sequence[Mapping[str, float]]) -> str:
    """The formula of disordered sites, divided by what the numbers of equal sites have in common; nothing rounds it."""
    from mlmat.reader.common.composition import common_divisor, formula

    kinds: dict[tuple[tuple[str, float], ...], int] = {}
    for site in sites:
        key = tuple(sorted(site.items()))
        kinds[key] = kinds.get(key, 0) + 1
    amounts: dict[str, float] = {}
    for kind, n in kinds.items():
        for element, share in kind:
            amounts[element] = amounts.get(element, 0.0) + n * share
    return formula(amounts, common_divisor(kinds.values()))


def _block(
    part: Part,
    outcome: Outcome,
    reason: str | None,
    atoms: Atoms | None = None,
    formula: str | None = None,
    *,
    warnings: Iterable[str] = (),
    content: Content | None = None,
) -> Block:
    from mlmat.reader.common.values import results, scalars

    notes = list(warnings)
    content = content or Content()
    key_values = scalars(content.key_values, notes)
    computed = results(content.results, len(atoms), notes) if atoms is not None else {}
    return Block(
        name=one_line(part.name),
        index=part.index,
        text=part.text,
        outcome=outcome,
        reason=one_line(reason) if reason else None,
        warnings=tuple(map(one_line, notes)),
        atoms=atoms,
        formula=formula,
        declared_formula=one_line(content.declared_formula) if content.declared_formula else None,
        parser=part.parser,
        key_values=key_values,
        results=computed,
    )
