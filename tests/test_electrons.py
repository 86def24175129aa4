"""Which key-value pairs are a total charge and a multiplicity, and what they do to a structure's id."""

from __future__ import annotations

from typing import Any

import pytest
from ase import Atoms
from ase.build import molecule

from mlmat.materials.electrons import State, state_of
from mlmat.materials.structure import from_row, structure_id, to_row


@pytest.mark.parametrize(
    ("pairs", "state"),
    [
        ({}, State()),
        ({"charge": 1, "spin": 2}, State(1.0, 2)),  # ASE, fairchem
        ({"total_charge": "-1", "total_spin": "1"}, State(-1.0, 1)),  # MACE, as text
        ({"Charge": 0}, State(0.0)),
        ({"charge": 2.0, "total_charge": 2}, State(2.0)),
        ({"charge": -1, "multiplicity": 3}, State(-1.0, 3)),
        ({"spin_multiplicity": 3}, State(None, 3)),
        ({"spin": 3}, State()),  # alone it may be anything
        ({"multiplicity": 4}, State()),
        ({"charges": 1, "charge_state": "+1"}, State()),
    ],
)
def test_what_pairs_mean(pairs: dict[str, Any], state: State) -> None:
    warnings: list[str] = []
    assert state_of(pairs, warnings) == state
    assert warnings == []


@pytest.mark.parametrize(
    ("pairs", "state", "said"),
    [
        ({"charge": "high"}, State(), "charge = high"),
        ({"charge": True}, State(), "charge = True"),
        ({"charge": float("nan")}, State(), "charge = nan"),
        ({"charge": 1, "total_charge": 2}, State(), "disagree"),
        ({"charge": 1, "spin": 0}, State(1.0), "spin = 0"),
        ({"charge": 1, "spin": 0.5}, State(1.0), "spin = 0.5"),
        ({"charge": 1, "spin": 2, "spin_multiplicity": 3}, State(1.0), "disagree"),
    ],
)
def test_what_cannot_be_meant_is_told(pairs: dict[str, Any], state: State, said: str) -> None:
    warnings: list[str] = []
    assert state_of(pairs, warnings) == state
    assert said in warnings[0]


def water(**info: Any) -> Atoms:
    atoms = molecule("H2O", cell=[9, 9, 9], pbc=True)
    atoms.info.update(info)
    return atoms


def test_ids_of_what_is_neutral_or_says_nothing_are_those_of_before() -> None:
    same = {structure_id(water(**info)) for info in ({}, {"charge": 0}, {"charge": 0, "spin": 1}, {"spin": 3})}
    assert same == {"9032af50c905c8411457"}


def test_charges_and_multiplicities_are_other_structures() -> None:
    infos = [{}, {"charge": 1}, {"charge": -1}, {"charge": 1, "spin": 2}, {"charge": 0, "spin": 3}, {"charge": 2}]
    assert len({structure_id(water(**info)) for info in infos}) == len(infos)
    assert structure_id(water(charge=1)) == structure_id(water(total_charge=1.0, spin=1))


def test_atoms_come_back_with_what_calculators_read() -> None:
    row = to_row(water(total_charge=1, total_spin=2))
    assert (row["charge"], row["spin_multiplicity"]) == (1.0, 2)
    atoms = from_row(row)
    assert (atoms.info["charge"], atoms.info["spin"]) == (1, 2)
    assert structure_id(atoms) == row["structure_id"]
    assert from_row(to_row(water())).info == {}
