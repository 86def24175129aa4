"""Random atoms with results, pairs and data, and what must be equal of two rows of ase.db."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian, FixedLine
from ase.db.core import reserved_keys
from ase.db.row import AtomsRow
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

_numbers = st.floats(-50, 50, width=64)
_words = st.from_regex(r"[_a-z][_a-z0-9]{0,7}", fullmatch=True).filter(
    lambda key: key not in reserved_keys and not hasattr(AtomsRow, key)
)


def _is_text(text: str) -> bool:
    for kind in (int, float):
        try:
            kind(text)
        except ValueError:
            continue
        return False
    return text not in ("True", "False")


_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).filter(_is_text)
pairs = st.dictionaries(_words, st.one_of(st.booleans(), st.integers(-(2**70), 2**70), st.floats(), _texts), max_size=4)
_leaf = st.one_of(st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(), st.text(max_size=5),
                  arrays(float, (2, 3), elements=_numbers), st.complex_numbers(allow_nan=False))  # fmt: skip
_tree = st.recursive(
    _leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
data = st.dictionaries(st.text(max_size=5), _tree, max_size=3)


def _shape(n: int, *rest: int) -> st.SearchStrategy[Any]:
    return arrays(float, (n, *rest), elements=_numbers)


@st.composite
def atoms(draw: st.DrawFn) -> Atoms:
    """Atoms of any kind: none at all, molecules, crystals, dummies; a calculator with some results or none."""
    n = draw(st.integers(0, 4))
    made = Atoms(
        numbers=draw(st.lists(st.integers(0, 118), min_size=n, max_size=n)),
        positions=draw(_shape(n, 3)),
        cell=draw(st.one_of(st.just(np.zeros((3, 3))), _shape(3, 3))),
        pbc=draw(st.tuples(st.booleans(), st.booleans(), st.booleans())),
    )
    for put, shape in (
        (made.set_initial_magnetic_moments, draw(st.sampled_from([(n,), (n, 3)] if n else [(0,)]))),
        (made.set_initial_charges, (n,)),
        (made.set_masses, (n,)),
        (made.set_momenta, (n, 3)),
    ):
        if draw(st.booleans()):
            put(draw(_shape(*shape)))
    if draw(st.booleans()):
        made.set_tags(draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)))
    if n > 1:
        kinds = [FixAtoms([0]), FixedLine(0, (1, 0, 0)), FixCartesian(1, (True, False, True))]
        made.set_constraint(draw(st.lists(st.sampled_from(kinds), unique_by=type)))
    found = draw(results(n))
    if found is not None:
        made.calc = SinglePointCalculator(made, **found)
        made.calc.name = draw(st.sampled_from(["emt", "gpaw", "unknown"]))
    return made


def results(n: int) -> st.SearchStrategy[Any]:
    """Results of a calculator for n atoms, or None for no calculator."""
    return st.none() | st.fixed_dictionaries({}, optional={
        "energy": _numbers, "free_energy": _numbers, "magmom": _numbers, "forces": _shape(n, 3), "stress": _shape(6),
        "dipole": _shape(3), "magmoms": _shape(n), "charges": _shape(n), "stresses": _shape(n, 6),
        "dielectric_tensor": _shape(3, 3),
    })  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Equal to the last bit, NaN equal to NaN, and of one type."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(np.asarray(left), np.asarray(right), equal_nan=True)
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float) and left != left:
        return right != right
    return type(left) is type(right) and bool(left == right)


def same_atoms(left: Atoms, right: Atoms) -> bool:
    """Everything that ASE keeps of atoms, their constraints and results."""
    arrays_ = left.arrays.keys() | right.arrays.keys()
    return (
        all(same(left.arrays.get(k), right.arrays.get(k)) for k in arrays_)
        and same(left.cell.array, right.cell.array)
        and same(left.pbc, right.pbc)
        and same([c.todict() for c in left.constraints], [c.todict() for c in right.constraints])
        and (left.calc is None) == (right.calc is None)
        and (left.calc is None or (left.calc.name == right.calc.name and same_results(left, right)))
    )


def same_results(left: Atoms, right: Atoms) -> bool:
    ours, theirs = left.calc.results, right.calc.results
    return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
