"""Several methods in one hull: only where somebody asks for it, and every row says whose energy it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hand_made import method, record, result, salt, stored
from store.test_hull import LIO, entries, hull

from mlmat.cli import main
from mlmat.errors import UsageError
from mlmat.store import Store


@pytest.fixture
def two(store: Store) -> Store:
    """Lithium and Li2O by one method, oxygen by another one."""
    method(store, "a", label="method a")
    method(store, "b", label="method b")
    entries(store, "a", [LIO[0], LIO[2]])
    entries(store, "b", [LIO[1], ("li2o by b", {"Li": 4, "O": 2}, -28.0)])
    return store


def test_nothing_is_mixed_unasked_and_rows_say_whose_energy_they_have(two: Store) -> None:
    assert hull(two)["li2o"]["e_above_hull"] is None
    two.mix("mixed", ["method a", "b"])
    found = hull(two, "method = 'mixed'")
    assert {key: row["energy_method"] for key, row in found.items()} == {
        "li": "method a", "o": "method b", "li2o": "method a", "li2o by b": "method b",
    }  # fmt: skip
    assert {key: row["e_above_hull"] for key, row in found.items()} == pytest.approx(
        {"li": 0, "o": 0, "li2o": 0, "li2o by b": 1 / 3}
    )
    assert found["li2o"]["formation_energy_per_atom"] == pytest.approx(-2.0)
    pure = hull(two, "method = 'method a'")
    assert all(row["energy_method"] == "method a" for row in pure.values())
    assert pure["li2o"]["e_above_hull"] is None


def test_of_a_structure_the_method_that_is_named_first_counts(store: Store) -> None:
    (rock,) = stored(store, salt())
    for name, energy in (("a", -6.0), ("b", -9.0)):
        method(store, name)
        record(store, result(rock, name, energy=energy))
    entries(store, "a", [("na", {"Na": 1}, -1.0), ("cl", {"Cl": 1}, -1.0)])
    store.mix("ab", ["a", "b"])
    store.mix("ba", ["b", "a"])
    rows = store.sql("SELECT method, energy, competes, reason FROM phase WHERE method IN ('ab', 'ba') "
                     "AND structure_id IS NOT NULL ORDER BY method, energy")  # fmt: skip
    assert rows.to_dict("split")["data"] == [
        ["ab", -9.0, False, "another method of the mixture counts"],
        ["ab", -6.0, True, None],
        ["ba", -9.0, True, None],
        ["ba", -6.0, False, "another method of the mixture counts"],
    ]


def test_what_does_not_compete_lets_the_next_method_count(store: Store) -> None:
    (rock,) = stored(store, salt())
    for name, converged in (("a", False), ("b", True)):
        method(store, name)
        record(store, result(rock, name, energy=-6.0, converged=converged))
    store.mix("ab", ["a", "b"])
    found = store.sql("SELECT energy_method, competes, reason FROM phase WHERE method = 'ab' ORDER BY ALL")
    assert found.to_dict("split")["data"] == [["toy a", False, "relaxation not converged"], ["toy b", True, None]]


def test_a_mixture_of_the_same_name_replaces_and_one_is_forgotten(two: Store) -> None:
    first = two.mix("mixed", ["a", "b"])
    second = two.mix("mixed", ["b", "a"])
    assert first != second
    assert two.sql("SELECT DISTINCT method_id FROM phase WHERE method = 'mixed'")["method_id"].tolist() == [second]
    two.unmix("mixed")
    assert hull(two, "method = 'mixed'") == {}
    assert len(hull(two)) == 4
    assert not any(count for _, count, _ in two.violations())


def test_of_an_id_the_method_that_is_named_first_counts_too(store: Store) -> None:
    for name, energy in (("a", -6.0), ("b", -9.0)):
        method(store, name)
        entries(store, name, [("mp-134", {"Al": 1}, energy), (f"only {name}", {"Al": 1}, energy)])
    store.mix("ab", ["a", "b"])
    found = store.sql("SELECT external_id, energy, competes FROM phase WHERE method = 'ab' ORDER BY ALL")
    assert found.to_dict("split")["data"] == [
        ["mp-134", -9.0, False], ["mp-134", -6.0, True], ["only a", -6.0, True], ["only b", -9.0, True],
    ]  # fmt: skip


def test_nothing_stays_of_a_mixture_that_is_forgotten(two: Store) -> None:
    two.mix("mixed", ["a", "b"])
    hull(two)
    assert two.sql("SELECT count(*) AS n FROM hull_row")["n"][0] == 6
    two.unmix("mixed")
    assert two.sql("SELECT count(*) AS n FROM hull_row")["n"][0] == 2


def test_a_mixture_is_compared_with_none_of_its_methods(two: Store) -> None:
    before = two.sql("FROM method_comparison")
    two.mix("mixed", ["a", "b"])
    assert two.sql("FROM method_comparison").equals(before)


@pytest.mark.parametrize(
    ("name", "methods", "said"),
    [
        ("method a", ["a", "b"], "already"),
        ("x", ["a", "a"], "two different"),
        ("x", ["a"], "two different"),
        ("x", ["a", "none"], "no method 'none'"),
        (" ", ["a", "b"], "printable"),
    ],
)
def test_what_is_no_mixture_is_refused(two: Store, name: str, methods: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        two.mix(name, methods)
    with pytest.raises(UsageError, match="no mixture"):
        two.unmix(name)


def test_the_command(two: Store, tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(main, ["mix", "mixed", "a", "b", "--db", str(two.path)], standalone_mode=False)
    assert made.exception is None
    assert made.output.startswith("mixed: ")
    assert len(hull(two, "method = 'mixed'")) == 4
    assert run(main, ["mix", "--db", str(two.path)]).output == "mixed: method a, method b\n"
    assert run(main, ["mix", "mixed", "--db", str(two.path)]).exit_code == 2
    assert run(main, ["mix", "mixed", "--remove", "--db", str(two.path)]).exit_code == 0
    assert hull(two, "method = 'mixed'") == {}
