"""The example of the docs."""

from __future__ import annotations

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlmat.example_runner import ExampleRunner
from mlmat.methods.method import ResolvedMethod
from mlmat.reduction import Frame
from mlmat.runner import execute_runner
from mlmat.worker.rows import checked


def test_its_numbers_are_those_of_emt():
    atoms = bulk("Cu").repeat((2, 1, 1))
    atoms.rattle(0.05, seed=1)
    row = checked(ExampleRunner().run(atoms.copy()), ExampleRunner.columns)
    atoms.calc = EMT()
    assert row["energy"] == pytest.approx(atoms.get_potential_energy())
    assert row["forces"] == pytest.approx(atoms.get_forces())
    assert row["fmax"] == pytest.approx(max((atoms.get_forces() ** 2).sum(axis=1)) ** 0.5)


def test_from_python_and_for_an_element_that_emt_does_not_know():
    table = execute_runner(ExampleRunner([bulk("Cu"), bulk("Fe")]), Frame()).result()
    assert table.status.tolist() == ["ok", "failed"]
    assert table.error_class[1] == "NotImplementedError"


def test_by_name():
    plan = ResolvedMethod("mlmat.example_runner", {})
    assert (plan.runner, plan.method["method"], plan.method["runner_version"]) == ("emt", "emt", "1")
