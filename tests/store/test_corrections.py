"""`mlmat correct`: derived methods, whose rows are raw results with corrections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from click.testing import CliRunner
from hand_made import merge, packed, record, result, stored

from mlmat import provenance
from mlmat.cli import main
from mlmat.errors import UsageError
from mlmat.imports import import_results
from mlmat.materials import schemes
from mlmat.store import Store

OXIDE = bulk("FeO", "rocksalt", a=4.3)
METALS = (bulk("Fe", "bcc", a=2.87), Atoms("O2", [[0, 0, 0], [0, 0, 1.23]], cell=[4, 4, 4], pbc=True))
RAW = "MP raw GGA/GGA+U"


def of_scheme(store: Store, scheme: str | None, method_id: str = "raw") -> str:
    about = {"method_id": method_id, "method": f"model {method_id}", "runner": "toy", "runner_version": "1",
             "settings": {}, **(schemes.named(scheme).columns() if scheme else {})}  # fmt: skip
    run = provenance.new_run("screen", method_id=method_id)
    store.start_run(run, about)
    return str(run["run_id"])


@pytest.fixture
def raw(store: Store) -> Store:
    """FeO and its elements by a model of raw energies (eV per cell)."""
    of_scheme(store, RAW)
    ids = stored(store, *METALS, OXIDE)
    record(store, *(result(i, "raw", energy=e) for i, e in zip(ids, (-8.0, -10.0, -14.0), strict=True)))
    return store


def phases(store: Store, where: str = "true") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.arrow(f"SELECT * FROM phase WHERE {where} ORDER BY formula").to_pylist()
    return found


def test_raw_energies_compete_in_no_hull_and_say_what_to_do(raw: Store) -> None:
    assert all(not row["competes"] and "mlmat correct raw" in row["reason"] for row in phases(raw))
    assert all(row["e_above_hull"] is None for row in raw.arrow("FROM hull").to_pylist())


def test_derived_rows_refer_to_the_raw_ones(raw: Store) -> None:
    derived = raw.correct("model raw", "mp2020")
    rows = {row["formula"]: row for row in phases(raw, f"method_id = '{derived}'")}
    assert {row["method"] for row in rows.values()} == {"model raw MP2020"}
    assert {row["scheme"] for row in rows.values()} == {"MP2020"}
    oxide = rows["FeO"]
    assert oxide["correction"] == pytest.approx(-0.687 - 2.256)
    assert oxide["energy"] == pytest.approx(-14.0 - 0.687 - 2.256)
    assert oxide["energy_per_atom"] == pytest.approx(oxide["energy"] / 2)
    assert rows["Fe"]["correction"] == 0
    hull = {row["formula"]: row for row in raw.arrow("FROM hull WHERE method_id = $m", {"m": derived}).to_pylist()}
    assert hull["FeO"]["formation_energy_per_atom"] == pytest.approx((-14 - 0.687 - 2.256 + 8 + 5) / 2)
    assert hull["FeO"]["e_above_hull"] == 0
    candidates = raw.arrow("SELECT formula FROM candidates WHERE rank = 1 AND method_id = $m", {"m": derived})
    assert sorted(candidates["formula"].to_pylist()) == ["Fe", "FeO", "O2"]
    assert raw.correct("raw", "MP2020") == derived  # asked for again: the same method


def test_later_results_are_corrected_when_they_are_read(raw: Store) -> None:
    derived = raw.correct("raw", "MP2020")
    (other,) = stored(raw, bulk("FeO", "zincblende", a=4.6))
    record(raw, result(other, "raw", energy=-13.0))
    found = raw.arrow("SELECT * FROM hull WHERE method_id = $m AND formula = 'FeO'", {"m": derived}).to_pylist()
    assert sorted(row["e_above_hull"] for row in found) == pytest.approx([0, 0.5])


def test_a_store_that_cannot_be_written_says_not_corrected_yet(raw: Store) -> None:
    derived = raw.correct("raw", "MP2020")
    (other,) = stored(raw, bulk("FeO", "zincblende", a=4.6))
    record(raw, result(other, "raw", energy=-13.0))
    with raw._reading() as con:  # as a DuckDB shell reads it
        row = con.execute("SELECT energy, competes, reason FROM phase WHERE method_id = ? AND structure_id = ?",
                          [derived, other]).fetchall()[0]  # fmt: skip
    assert row[:2] == (None, False)
    assert row[2].startswith("not corrected yet")


def test_a_relaxation_is_corrected_by_what_it_became(store: Store) -> None:
    run = of_scheme(store, RAW)
    apart, bonded = (Atoms("KO2", [[0, 0, 0], [3, 3, 3], [3, 3, 3 + d]], cell=[6, 6, 7], pbc=True) for d in (2.4, 1.5))
    (first,) = stored(store, apart)
    row = result(first, "raw", energy=-12.0, run_id=run)
    merge(store, packed([row], produced=[(row, bonded)]))
    derived = store.correct("raw", "MP2020")
    assert phases(store, f"method_id = '{derived}'")[0]["correction"] == pytest.approx(2 * -0.465)


def test_what_cannot_be_corrected_has_no_energy_and_the_reason(raw: Store) -> None:
    derived = raw.correct("raw", "MP2020")
    slab = Atoms("FeO", [[0, 0, 5], [2, 2, 5]], cell=[4, 4, 10], pbc=[True, True, False])
    held, flat = stored(raw, bulk("FeO", "zincblende", a=4.6), slab)
    record(raw, result(held, "raw", energy=-13.0, correction=-1.0), result(flat, "raw", energy=-13.0))
    rows = {row["structure_id"]: row for row in raw.arrow(f"FROM hull WHERE method_id = '{derived}'").to_pylist()}
    assert rows[held]["energy_per_atom"] is None
    assert rows[held]["reason"] == "cannot be corrected: its energy holds a correction of -1 eV already"
    assert rows[flat]["reason"] == "cannot be corrected: not periodic in three directions"


@pytest.mark.parametrize(
    ("scheme", "why"),
    [
        ("MP2020", "corrected already"),
        ("OMat24", "corrects MP raw GGA/GGA\\+U alone"),
        ("r2SCAN", "corrects MP raw GGA/GGA\\+U alone"),
        ("PBE+U Dudarev 4 eV, PAW 54", "other settings need other figures"),
        ("MP raw GGA/GGA+U + D3", "dispersion correction"),
        (None, "is not known"),
    ],
)
def test_what_mp2020_does_not_fit_is_refused(store: Store, scheme: str | None, why: str) -> None:
    of_scheme(store, scheme)
    with pytest.raises(UsageError, match=why):
        store.correct("raw", "MP2020")
    assert store.arrow("FROM method").num_rows == 1


def test_a_derived_method_is_not_corrected_again(raw: Store) -> None:
    derived = raw.correct("raw", "MP2020")
    with pytest.raises(UsageError, match="corrected already"):
        raw.correct(derived, "MP2020")
    with pytest.raises(UsageError, match="there are MP2020"):
        raw.correct("raw", "MP2035")


def test_a_derived_method_is_mixed_with_corrected_entries(raw: Store) -> None:
    derived = raw.correct("raw", "MP2020")
    of_scheme(raw, "MP2020", "mp")
    of_scheme(raw, "r2SCAN", "other")
    mixture = raw.mix("both", [derived, "mp"])
    assert raw.mixture_note(mixture) is None
    assert {row["scheme"] for row in phases(raw, "method = 'both'")} == {"MP2020"}
    with pytest.raises(UsageError, match="different schemes"):
        raw.mix("wrong", ["raw", "mp"])
    with pytest.raises(UsageError, match="model other: r2SCAN"):
        raw.mix("wrong", [derived, "other"])
    insisted = raw.mix("insisted", [derived, "other"], different_schemes=True)
    assert "different schemes" in (raw.mixture_note(insisted) or "")
    assert {row["scheme"] for row in phases(raw, "method = 'insisted'")} == {"different schemes"}


def test_a_scheme_that_becomes_known_marks_the_mixture(raw: Store) -> None:
    derived = raw.correct("raw", "MP2020")
    of_scheme(raw, None, "unknown")
    mixture = raw.mix("both", [derived, "unknown"])
    assert "is not known" in (raw.mixture_note(mixture) or "")
    of_scheme(raw, "r2SCAN", "unknown")
    assert {row["scheme"] for row in phases(raw, "method = 'both'")} == {"different schemes"}


def test_the_commands(raw: Store, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(main, [*words, "--db", str(raw.path)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "mlmat correct raw --scheme MP2020" in run("status")
    assert "model raw MP2020" in run("correct", "raw", "--scheme", "MP2020")
    said = run("status")
    assert "scheme MP2020, corrected from raw" in said
    assert "3 ok, 0 failed\n" in said.partition("model raw MP2020")[2]
    (structure_id,) = raw.arrow("SELECT structure_id FROM structure WHERE formula = 'FeO'")["structure_id"].to_pylist()
    assert "-14.000000 eV" in run("show", structure_id)
    assert [name for name, count, _ in raw.violations() if count and "correct" in name] == []
    page = tmp_path / "report.html"
    run("report", "-o", str(page))
    assert page.read_text().count("model raw MP2020") >= 1
    assert json.loads(run("reduce", "method_comparison", "--format", "json")) is not None


def test_a_raw_method_that_turns_out_to_be_of_another_scheme_takes_its_corrected_one_along(raw: Store) -> None:
    derived = raw.correct("model raw", "MP2020")
    assert all(row["energy"] is not None for row in phases(raw, f"method_id = '{derived}'"))
    of_scheme(raw, "OMat24")
    rows = phases(raw, f"method_id = '{derived}'")
    assert {(row["energy"], row["competes"]) for row in rows} == {(None, False)}
    assert all("model raw is OMat24 by now" in row["reason"] for row in rows)
    assert all(row["e_above_hull"] is None for row in raw.arrow(f"FROM hull WHERE method_id = '{derived}'").to_pylist())


@pytest.mark.parametrize("scheme", [f"{RAW} + D3", f"{RAW}-D3(BJ)"])
def test_raw_energies_compete_in_no_hull_whatever_their_scheme_is_called(store: Store, scheme: str) -> None:
    of_scheme(store, scheme)
    ids = stored(store, *METALS, OXIDE)
    record(store, *(result(i, "raw", energy=e) for i, e in zip(ids, (-8.0, -10.0, -14.0), strict=True)))
    assert all(not row["competes"] and "knows no corrections" in row["reason"] for row in phases(store))


def test_what_is_expected_of_raw_energies_is_not_what_is_expected_of_corrected_ones(raw: Store) -> None:
    with raw._writing() as con:
        con.execute("INSERT INTO expected_error VALUES ('raw', 'e_above_hull', 'all', 0.145, NULL, 'given')")
    derived = raw.correct("model raw", "MP2020")
    assert raw.arrow(f"FROM expected_error WHERE method_id = '{derived}'").num_rows == 0


def test_imported_rows_that_say_nothing_are_not_corrected(store: Store, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(f"id,formula,energy,scheme\na,Na,-1.3,{RAW}\nb,NaCl,-6.7,\n")
    import_results(store, tmp_path / "e.csv", "raw")
    derived = store.correct("raw", "MP2020")
    rows = {row["formula"]: row for row in phases(store, f"method_id = '{derived}'")}
    assert rows["Na"]["energy"] == -1.3
    assert (rows["NaCl"]["energy"], "says nothing" in rows["NaCl"]["reason"]) == (None, True)
