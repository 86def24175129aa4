"""Energies above the hull: PhaseDiagram and the linear program say the same, and what no diagram could do works."""

from __future__ import annotations

import gzip
import json
import math
import time
from itertools import pairwise
from pathlib import Path

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmat.materials.hull import LOWEST, Phase, above_hull, by_linear_program, by_phase_diagram

ELEMENTS = ["Al", "Ca", "Fe", "Li", "O", "Si"]


def phase(key: str, energy_per_atom: float, **amounts: float) -> Phase:
    return Phase(key, amounts, energy_per_atom * sum(amounts.values()))


def pure(*elements: str, energy: float = 0.0) -> list[Phase]:
    return [phase(element, energy, **{element: 1}) for element in elements]


@st.composite
def systems(draw: st.DrawFn) -> list[Phase]:
    """Pure phases and some compounds of up to five elements, with energies that a calculation could give."""
    elements = draw(st.lists(st.sampled_from(ELEMENTS), min_size=2, max_size=5, unique=True))
    found = [phase(element, draw(st.floats(-12, 0)), **{element: 2}) for element in elements]
    for i in range(draw(st.integers(1, 12))):
        inside = draw(st.lists(st.sampled_from(elements), min_size=2, max_size=len(elements), unique=True))
        amounts = {element: draw(st.integers(1, 6)) for element in inside}
        energy = sum(n * found[elements.index(e)].energy_per_atom for e, n in amounts.items())
        found.append(Phase(f"{i}", amounts, energy + draw(st.floats(-3, 1)) * sum(amounts.values())))
    return found


def energy_of(mixture: dict[Phase, float]) -> float:
    return sum(p.energy_per_atom * x for p, x in mixture.items())


@settings(max_examples=examples(30))
@given(systems())
def test_phase_diagram_and_linear_program_agree(phases: list[Phase]) -> None:
    lowest = {}
    for one in sorted(phases, key=lambda p: p.energy_per_atom):
        lowest.setdefault(tuple(sorted((e, round(x, 8)) for e, x in one.fractions.items())), one)
    best = list(lowest.values())
    for one, a, b in zip(phases, by_phase_diagram(phases, best), by_linear_program(phases, best), strict=True):
        assert energy_of(a) == pytest.approx(energy_of(b), abs=1e-7)
        for mixture in (a, b):
            for element, fraction in one.fractions.items():
                assert sum(p.fractions.get(element, 0) * x for p, x in mixture.items()) == pytest.approx(fraction)


@settings(max_examples=examples(30))
@given(systems())
def test_a_verdict_conserves_atoms_and_energy(phases: list[Phase]) -> None:
    known = {p.key: p for p in phases}
    for one, verdict in zip(phases, above_hull(phases, phases), strict=True):
        assert verdict.e_above_hull >= 0
        assert sum(verdict.products.values()) == pytest.approx(1)
        below = sum(known[key].energy_per_atom * x for key, x in verdict.products.items())
        assert one.energy_per_atom - below == pytest.approx(verdict.e_above_hull, abs=1e-7)
        assert all(known[key].amounts.keys() <= one.amounts.keys() for key in verdict.products)
        if verdict.e_above_hull == 0:
            assert verdict.products == {one.key: 1.0}


def test_a_known_binary_hull() -> None:
    phases = [*pure("Li", "O"), phase("Li2O", -2.0, Li=2, O=1), phase("Li2O2", -1.6, Li=2, O=2),
              phase("LiO3", -0.5, Li=1, O=3), phase("high", -1.0, Li=4, O=2)]  # fmt: skip
    found = dict(zip([p.key for p in phases], above_hull(phases, phases), strict=True))
    assert [key for key, verdict in found.items() if verdict.e_above_hull == 0] == ["Li", "O", "Li2O", "Li2O2"]
    assert found["LiO3"].e_above_hull == pytest.approx(0.3)
    assert found["LiO3"].products == pytest.approx({"Li2O2": 0.5, "O": 0.5})
    assert found["high"].e_above_hull == pytest.approx(1.0)
    assert found["high"].products == pytest.approx({"Li2O": 1.0})


def test_one_element_alone_and_equal_phases() -> None:
    phases = [phase("a", -3.0, Fe=2), phase("b", -2.5, Fe=4), phase("c", -3.0, Fe=1)]
    assert [v.e_above_hull for v in above_hull(phases, phases)] == [0.0, 0.5, 0.0]
    assert above_hull([phases[2]], phases)[0].products == {"c": 1.0}


def test_a_missing_end_member_is_an_error_not_a_number() -> None:
    compound = phase("Li2O", -2.0, Li=2, O=1)
    with pytest.raises(ValueError, match="pure elements O"):
        above_hull([compound], [*pure("Li", "Fe"), compound])


def test_fifteen_elements_take_no_time() -> None:
    many = ["Al", "B", "C", "Ca", "Cr", "Fe", "K", "Li", "Mg", "Mn", "N", "Na", "O", "Si", "Ti"]
    compounds = [
        phase(f"{a}{b}", -0.1 * i, **{a: 1, b: 2}) for i, (a, b) in enumerate(zip(many, many[3:], strict=False))
    ]
    alloy = Phase("alloy", dict.fromkeys(many, 1.0), -0.3 * len(many))
    start = time.monotonic()
    (verdict,) = above_hull([alloy], [*pure(*many), *compounds, alloy])
    assert time.monotonic() - start < 20
    assert len(verdict.products) > 3
    assert sum(verdict.products.values()) == pytest.approx(1)


@pytest.mark.parametrize("energy", [-1e8, 1e8, -1e-9, 1e-9])
def test_energies_that_make_no_sense_give_numbers_or_a_value_error(energy: float) -> None:
    phases = [*pure("Li", "O", "Fe"), phase("odd", energy, Li=1, O=1), phase("plain", -1.0, Li=1, O=2)]
    verdicts = above_hull(phases, phases)
    assert all(math.isfinite(v.e_above_hull) and v.e_above_hull >= 0 for v in verdicts if v)
    if energy < 2 * LOWEST:
        assert verdicts[3] is None
    else:
        assert verdicts[3].e_above_hull == pytest.approx(max(energy + 0.75, 0), abs=1e-6)


def test_an_energy_of_formation_that_no_crystal_has_competes_with_nothing() -> None:
    phases = [
        *pure("Li", "O"),
        phase("collapsed", -20.0, Li=1, O=1),
        phase("sound", -4.0, Li=1, O=1),
        phase("other", -3, Li=2, O=1),
    ]
    assert [v and v.e_above_hull for v in above_hull(phases, phases)[2:]] == [
        None,
        *[v.e_above_hull for v in above_hull(phases[3:], [*phases[:2], *phases[3:]])],
    ]


def test_deuterium_is_an_element_of_its_own_and_amounts_may_be_fractional() -> None:
    phases = [*pure("D", "O"), phase("D2O", -1.0, D=2, O=1), phase("D1.5O", -0.5, D=1.5, O=1)]
    assert [v.e_above_hull for v in above_hull(phases[2:], phases)] == pytest.approx([0.0, 0.4])


@settings(max_examples=examples(20))
@given(systems(), st.floats(-1e6, 1e6))
def test_the_zero_of_energy_of_an_element_does_not_matter(phases: list[Phase], shift: float) -> None:
    """All-electron energies are of this size."""
    moved = [Phase(p.key, p.amounts, p.energy + sum(p.amounts.values()) * shift) for p in phases]
    for a, b in zip(above_hull(phases, phases), above_hull(moved, moved), strict=True):
        assert a.e_above_hull == pytest.approx(b.e_above_hull, abs=1e-7)


def test_few_phases_of_many_elements_are_as_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = ELEMENTS[:5]
    phases = [*pure(*elements), phase("x", -1.0, **dict.fromkeys(elements, 1)), phase("y", -0.25, Al=1, Ca=2)]
    few = above_hull(phases, phases)
    monkeypatch.setattr("mlmat.materials.hull.FEW_ASKED", 0)
    for one, other in zip(few, above_hull(phases, phases), strict=True):
        assert one.e_above_hull == pytest.approx(other.e_above_hull, abs=1e-9)
        assert one.products == pytest.approx(other.products)


def test_how_far_a_stable_phase_lies_below_all_others() -> None:
    phases = [*pure("Li", "O"), phase("Li2O", -2.0, Li=2, O=1), phase("Li2O2", -1.6, Li=2, O=2),
              phase("LiO3", -0.5, Li=1, O=3), phase("high", -1.0, Li=4, O=2), phase("bad", 0.5, Li=3, O=1)]  # fmt: skip
    found = {p.key: v for p, v in zip(phases, above_hull(phases, phases), strict=True)}
    assert found["Li2O"].e_decomposition == pytest.approx(-2.0 + 1.6 * 2 / 3)  # Li2O2 and Li
    assert found["Li2O2"].e_decomposition == pytest.approx(-1.6 + 2.0 * 3 / 4)  # Li2O and O
    assert found["high"].e_decomposition == pytest.approx(-1.0 + 1.6 * 2 / 3)  # a polymorph of it, that lies lower
    assert found["LiO3"].e_decomposition == found["LiO3"].e_above_hull == pytest.approx(0.3)
    assert found["bad"].e_decomposition == found["bad"].e_above_hull
    assert (found["Li"].e_decomposition, found["O"].e_decomposition) == (None, None)
    assert [found[key].competitors for key in ("Li", "Li2O", "high", "LiO3", "bad")] == [0, 3, 3, 3, 3]


@settings(max_examples=examples(20))
@given(systems())
def test_a_stable_phase_left_out_is_as_far_above_the_hull_without_it(phases: list[Phase]) -> None:
    """Of any number of elements: what it is below the hull is what a phase of its energy there was above the rest."""
    for one, verdict in zip(phases, above_hull(phases, phases), strict=True):
        if len(one.amounts) > 1:
            own = {e: round(x, 8) for e, x in one.fractions.items()}
            rest = [p for p in phases if {e: round(x, 8) for e, x in p.fractions.items()} != own]
            raised = Phase("raised", one.amounts, one.energy + 50 * one.atoms)
            (other,) = above_hull([raised], [*rest, raised])
            assert verdict.e_decomposition == pytest.approx(other.e_above_hull - 50, abs=1e-7)
            assert (verdict.e_decomposition <= 0) >= (verdict.e_above_hull == 0)


@pytest.mark.parametrize("system", ["Li-Co-Ni-O", "Cl-Mn-Na-O-Y"])
def test_decomposition_energies_of_complete_systems_are_those_of_pymatgen(shared: Path, system: str) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    with gzip.open(shared / "data" / "references" / f"entries_{system}.json.gz", "rt") as file:
        given = [(e["entry_id"], e["composition"], e["energy"] + e["correction"]) for e in json.load(file)]
    phases = [Phase(key, amounts, energy) for key, amounts, energy in given]
    by_elements: dict[frozenset[str], list[Phase]] = {}
    for one in phases:
        by_elements.setdefault(frozenset(one.amounts), []).append(one)
    found = {p.key: v for some in by_elements.values() for p, v in zip(some, above_hull(some, phases), strict=True)}
    entries = {key: PDEntry(Composition(amounts), energy) for key, amounts, energy in given}
    diagram = PhaseDiagram(list(entries.values()))
    stable = {key for key, v in found.items() if v.e_above_hull == 0}
    formulas = {entries[key].composition.reduced_formula for key in stable}
    polymorphs = [key for key in sorted(set(found) - stable) if entries[key].composition.reduced_formula in formulas]
    unstable = sorted(set(found) - stable - set(polymorphs))[::10]
    checked = [key for key in [*stable, *polymorphs[::5], *unstable] if found[key].e_decomposition is not None]
    assert len(checked) > 60
    for key in checked:
        published = diagram.get_phase_separation_energy(entries[key])
        assert found[key].e_decomposition == pytest.approx(published, abs=1e-6), key


def test_seven_elements_have_decomposition_energies_too() -> None:
    elements = [*ELEMENTS, "N"]
    compounds = [phase(f"{a}{b}", -0.4, **{a: 1, b: 1}) for a, b in pairwise(elements)]
    alloy = phase("alloy", -0.9, **dict.fromkeys(elements, 1))
    (verdict,) = above_hull([alloy], [*pure(*elements), *compounds, alloy])
    assert verdict.e_above_hull == 0
    assert verdict.e_decomposition == pytest.approx(-0.9 + 0.4 * 6 / 7)  # three pairs and one element
    assert verdict.competitors == 6
