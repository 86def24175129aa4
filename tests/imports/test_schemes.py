"""Energy schemes of imported results: one method holds one, and none is guessed."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry

from mlmat.cli import main
from mlmat.errors import UsageError
from mlmat.imports import import_results
from mlmat.imports._scheme import Said, fitting
from mlmat.store import Store

POTCARS = ("PBE Na_pv", "PBE Cl", "PBE Fe_pv", "PBE O")
OTHER = "PBE, other pseudopotentials than MP"
RAW = "MP raw GGA/GGA+U"
MP2020 = frozenset({"MaterialsProject2020Compatibility"})


@pytest.mark.parametrize(
    ("said", "formula", "correction", "expected"),
    [
        (Said(), "NaCl", None, []),
        (Said(run_type="GGA"), "NaCl", 0.0, ["PBE", RAW]),
        (Said(run_type="GGA"), "Na", 0.0, ["PBE", RAW, "MP2020"]),
        (Said(run_type="GGA", potcars=POTCARS), "NaCl", None, [RAW]),
        (Said(run_type="GGA", potcars=POTCARS), "NaCl", -0.614, ["MP2020"]),
        (Said(run_type="GGA", potcars=("PBE_54 Na_pv", "PBE_54 Cl")), "NaCl", None, [OTHER]),
        (Said(run_type="GGA", potcars=("PBE Na", "PBE Cl")), "NaCl", None, [OTHER]),
        (Said(run_type="GGA+U", hubbards={"Fe": 5.3, "O": 0.0}, potcars=POTCARS), "FeO", None, [RAW]),
        (Said(run_type="GGA+U", hubbards={"Fe": 5.3}), "FeO", -2.943, ["MP2020"]),
        (Said(run_type="GGA+U", hubbards={"Fe": 4.0}), "FeO", None, ["PBE+U"]),
        (Said(run_type="GGA+U"), "FeO", None, ["PBE+U"]),
        (Said(run_type="GGA", potcars=POTCARS), "FeO", None, ["PBE"]),  # without U where MP has one
        (Said(run_type="GGA", kinds=MP2020), "NaCl", -0.614, ["MP2020"]),
        (Said(run_type="GGA"), "NaCl", -5.0, ["PBE, corrected (by whom it does not say)"]),
        (Said(run_type="GGA", kinds=frozenset({"MaterialsProjectCompatibility"})), "NaCl", -0.614,
         ["PBE, corrected (MaterialsProjectCompatibility)"]),
        (Said(run_type="R2SCAN"), "NaCl", None, ["r2SCAN"]),
        (Said(run_type="r2scan"), "NaCl", None, ["r2SCAN"]),
        (Said(run_type="PBESol"), "NaCl", None, ["PBEsol"]),
        (Said(run_type="R2SCAN", kinds=frozenset({"MaterialsProjectDFTMixingScheme"})), "NaCl", 0.4,
         ["MP GGA/GGA+U/r2SCAN mixed"]),
        (Said(scheme="mp2020"), "NaCl", None, ["MP2020"]),
        (Said(scheme="PBE+U Dudarev 4 eV, PAW 54"), "NaCl", None, ["PBE+U Dudarev 4 eV, PAW 54"]),
        (Said(run_type="PBE-D3"), "NaCl", None, ["PBE + D3"]),
    ],
)  # fmt: skip
def test_what_a_row_may_be_of(said: Said, formula: str, correction: float | None, expected: list[str]) -> None:
    assert fitting(said, Composition(formula).get_el_amt_dict(), correction, None) == expected


def entry(formula: str, energy: float, name: str, run_type: str | None, **more: Any) -> ComputedEntry:
    parameters = {"run_type": run_type} if run_type else {}
    return ComputedEntry(Composition(formula), energy, entry_id=name, parameters=parameters, **more)


def written(folder: Path, found: list[ComputedEntry], name: str = "entries.json") -> Path:
    path = folder / name
    path.write_text(json.dumps([one.as_dict() for one in found], default=str))
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Na, Cl and NaCl by GGA and by r2SCAN (eV per cell)."""
    rows = [("Na", -1.3, "GGA"), ("Cl2", -3.6, "GGA"), ("NaCl", -6.75, "GGA"),
            ("Na", -2.0, "R2SCAN"), ("Cl2", -11.0, "R2SCAN"), ("NaCl", -11.735, "R2SCAN")]  # fmt: skip
    return written(tmp_path, [entry(f, e, f"{f}-{run}", run) for f, e, run in rows])


def formation(store: Store) -> dict[str, float]:
    query = "SELECT method, formation_energy_per_atom AS e, e_above_hull FROM hull WHERE formula = 'NaCl'"
    rows = store.arrow(query).to_pylist()
    assert {row["e_above_hull"] for row in rows} == {0}
    return {row["method"]: row["e"] for row in rows}


def test_functionals_of_one_file_are_two_methods_with_a_hull_each(store: Store, mixed: Path) -> None:
    report = import_results(store, mixed, "MP")
    assert (report.scheme, dict(report.moved)) == ("PBE", {"MP r2SCAN": 3})
    assert formation(store) == pytest.approx({"MP": -1.825, "MP r2SCAN": -2.1175})
    again = import_results(store, mixed, "MP")
    assert (dict(again.outcomes), again.gone) == ({"unchanged": 6}, 0)
    assert formation(store) == pytest.approx({"MP": -1.825, "MP r2SCAN": -2.1175})


def test_a_second_file_of_another_scheme_goes_to_a_method_of_its_own(store: Store, tmp_path: Path) -> None:
    gga = [entry("Na", -1.3, "a", "GGA"), entry("NaCl", -6.75, "b", "GGA")]
    import_results(store, written(tmp_path, gga, "one.json"), "mine")
    other = written(tmp_path, [entry("Na", -2.0, "c", "R2SCAN")], "two.json")
    assert dict(import_results(store, other, "mine").moved) == {"mine r2SCAN": 1}
    table = tmp_path / "three.csv"
    table.write_text("id,formula,energy\nd,Cl2,-3.6\n")
    assert dict(import_results(store, table, "mine", scheme="r2SCAN").moved) == {"mine r2SCAN": 1}
    rows = store.arrow("SELECT method, scheme FROM method ORDER BY method").to_pylist()
    assert rows == [{"method": "mine", "scheme": "PBE"}, {"method": "mine r2SCAN", "scheme": "r2SCAN"}]


def test_one_id_may_be_of_two_schemes(store: Store, tmp_path: Path) -> None:
    found = [entry("Na", -1.3, "mp-1", "GGA"), entry("Na", -2.0, "mp-1", "R2SCAN")]
    assert dict(import_results(store, written(tmp_path, found), "MP").outcomes) == {"imported": 2}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_may_say_run_type_or_scheme(store: Store, tmp_path: Path, suffix: str) -> None:
    import pandas as pd

    path = tmp_path / f"energies.{suffix}"
    frame = pd.DataFrame({"id": ["a", "b", "c", "d"], "formula": ["Na"] * 4, "energy": [-1, -2, -3, -4.0],
                          "run_type": ["GGA", "R2SCAN", None, None],
                          "scheme": [None, None, "OMat24", None]})  # fmt: skip
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    report = import_results(store, path, "mine")
    assert (report.scheme, dict(report.moved), report.silent) == ("PBE", {"mine r2SCAN": 1, "mine OMat24": 1}, 1)
    assert store.arrow("SELECT scheme FROM method WHERE method = 'mine'")["scheme"].to_pylist() == ["PBE"]


def old_import(store: Store, path: Path) -> list[Any]:
    """Import as versions did that knew no schemes; the results that are in the store then."""
    import_results(store, path, "MP", scheme="old")
    with store._writing() as con:
        con.execute("UPDATE import_row SET scheme = NULL")
        con.execute("UPDATE method SET scheme = NULL, functional = NULL")
    return store.arrow("SELECT * FROM result ORDER BY result_id").to_pylist()


def test_an_old_import_stays_and_gets_its_scheme(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, [entry("Na", -1.3, "a", "GGA"), entry("NaCl", -6.75, "b", "GGA")])
    before = old_import(store, path)
    assert dict(import_results(store, path, "MP").outcomes) == {"unchanged": 2}
    assert store.arrow("SELECT * FROM result ORDER BY result_id").to_pylist() == before
    assert store.arrow("SELECT scheme FROM method")["scheme"].to_pylist() == ["PBE"]


def test_rows_of_an_old_import_that_are_of_another_scheme_move_out(store: Store, mixed: Path) -> None:
    old_import(store, mixed)
    report = import_results(store, mixed, "MP")
    assert (dict(report.outcomes), report.gone) == ({"unchanged": 3, "imported": 3}, 0)
    assert formation(store) == pytest.approx({"MP": -1.825, "MP r2SCAN": -2.1175})


@pytest.mark.parametrize(
    "text",
    ["id,energy\na,1\n", "id,formula,energy\na,Xx,-1\nb,NaCl,none\n", "id,formula,energy\n"],
    ids=["columns", "rows", "empty"],
)
def test_a_failed_import_leaves_no_method(store: Store, tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    done = CliRunner().invoke(main, ["import-results", str(path), "--method", "x", "--db", str(store.path)])
    assert done.exit_code == 1
    assert store.arrow("FROM method").num_rows == 0
    assert store.arrow("FROM imports WHERE outcome = 'imported'").num_rows == 0
    (tmp_path / "right.csv").write_text("id,formula,energy\na,NaCl,-6.7\n")
    import_results(store, tmp_path / "right.csv", "x")
    assert store.arrow("SELECT method FROM method")["method"].to_pylist() == ["x"]


def test_a_scheme_that_is_none_is_a_wrong_call(store: Store, mixed: Path) -> None:
    with pytest.raises(UsageError, match="a scheme takes"):
        import_results(store, mixed, "MP", scheme="  ")
    assert store.arrow("FROM method").num_rows == 0


@pytest.mark.parametrize("system", ["Li-Co-Ni-O", "Cl-Mn-Na-O-Y"])
def test_lists_of_the_materials_project_are_one_scheme(store: Store, shared: Path, system: str) -> None:
    folder = shared / "data" / "references"
    report = import_results(store, folder / f"entries_{system}.json.gz", "MP")
    assert (report.scheme, dict(report.moved), report.silent) == ("MP2020", {}, 0)
    with (folder / f"hull_mp_{system}.csv").open() as table:
        published = {row["entry_id"]: float(row["e_above_hull"]) for row in csv.DictReader(table)}
    found = store.arrow("SELECT external_id, e_above_hull FROM hull").to_pylist()
    assert {row["external_id"]: row["e_above_hull"] for row in found} == pytest.approx(published, abs=1e-6)


def test_raw_lists_are_corrected_to_what_was_published(store: Store, shared: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "data" / "references" / "entries_Cl-Mn-Na-O-Y.json.gz", "rt") as file:
        given = json.load(file)
    published = {entry["entry_id"]: entry["correction"] for entry in given}
    raw = tmp_path / "raw.json"
    raw.write_text(json.dumps([entry | {"correction": 0.0, "energy_adjustments": []} for entry in given]))
    assert import_results(store, raw, "raw").scheme == RAW
    derived = store.correct("raw", "MP2020")
    rows = store.arrow("SELECT external_id, correction FROM phase WHERE method_id = $m", {"m": derived}).to_pylist()
    assert {row["external_id"]: row["correction"] for row in rows} == pytest.approx(published, abs=1e-3)
    assert Counter(row["competes"] for row in store.arrow("FROM phase WHERE method = 'raw'").to_pylist()) == {
        False: 333
    }


def table(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(("id,formula,energy,run_type", *lines)) + "\n")
    return path


@pytest.mark.parametrize("silent", ["", "nan", "N/A", "-", "unknown"])
def test_a_row_that_says_nothing_opens_its_method_to_no_other_scheme(store: Store, tmp_path: Path, silent: str) -> None:
    first = table(tmp_path, "1.csv", "li,Li,-1.9,GGA", "cl2,Cl2,-3.6,GGA", f"na,Na,-1.3,{silent}")
    second = table(tmp_path, "2.csv", "licl,LiCl,-9.9,r2SCAN", "nacl,NaCl,-9.2,r2SCAN")
    assert import_results(store, first, "M").silent == 1
    report = import_results(store, second, "M")
    assert (report.scheme, dict(report.moved)) == ("PBE", {"M r2SCAN": 2})
    assert store.arrow("SELECT formula FROM phase WHERE method = 'M' ORDER BY ALL")["formula"].to_pylist() == [
        "Cl2", "Li", "Na"
    ]  # fmt: skip


def test_what_only_the_store_knows_the_composition_of_keeps_its_run_type(store: Store, tmp_path: Path) -> None:
    from ase.build import bulk
    from hand_made import stored

    (known,) = stored(store, bulk("MgO", "rocksalt", a=4.2))
    path = tmp_path / "e.csv"
    path.write_text(f"id,structure_id,formula,energy,run_type\nmg,,Mg,-1.5,GGA\nmgo,{known},,-12.0,r2SCAN\n")
    assert dict(import_results(store, path, "M").moved) == {"M r2SCAN": 1}


CLASS = "MaterialsProject2020Compatibility"
OTHER_FIGURES = f"PBE, corrected ({CLASS}, other figures than MP2020)"
DISPERSION, MINE = f"PBE, corrected (DFT-D3(BJ), {CLASS})", f"PBE, corrected ({CLASS}, MyCompatibility)"
AQUEOUS = "PBE, corrected (MaterialsProjectAqueousCompatibility)"


def mp2020(value: float, name: str = "MP2020 anion correction (oxide)", kind: str | None = None) -> dict[str, Any]:
    made = {"@module": "pymatgen.entries.compatibility", "@class": kind or "MaterialsProject2020Compatibility"}
    return {"value": value, "name": name, "cls": made}


PEROXIDE = Structure.from_spacegroup(
    "P6_3/mmc",
    Lattice.hexagonal(3.14, 7.65),
    ["Li", "Li", "O"],
    [[0, 0, 0], [1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.649]],
)


@pytest.mark.parametrize(
    ("formula", "structure", "adjustments", "run_type", "scheme"),
    [
        ("Li2O", None, [mp2020(-0.687)], "GGA", "MP2020"),
        ("Li2O", None, [mp2020(-0.687), {"value": -1.2, "name": "DFT-D3(BJ)"}], "GGA", DISPERSION),
        ("Li2O", None, [mp2020(-0.687), mp2020(-0.2, "mine", "MyCompatibility")], "GGA", MINE),
        ("Li2O", None, [mp2020(-0.5)], "GGA", OTHER_FIGURES),
        ("Li4O4", PEROXIDE, [mp2020(4 * -0.465)], "GGA", "MP2020"),
        ("Li4O4", PEROXIDE, [mp2020(4 * -0.687)], "GGA", OTHER_FIGURES),
        ("H2O", None, [mp2020(0.3, "MP Aqueous hydrate", "MaterialsProjectAqueousCompatibility")], "GGA", AQUEOUS),
    ],
)  # fmt: skip
def test_corrections_are_mp2020_only_where_they_sum_up_to_it(
    store: Store, tmp_path: Path, formula: str, structure: Any, adjustments: list[Any], run_type: str, scheme: str
) -> None:  # fmt: skip
    given = {"composition": Composition(formula).as_dict(), "energy": -20.0, "entry_id": "x",
             "energy_adjustments": adjustments, "parameters": {"run_type": run_type}}  # fmt: skip
    if structure is not None:
        given["structure"] = structure.as_dict()
    path = tmp_path / "e.json"
    path.write_text(json.dumps([given]))
    import_results(store, path, "M")
    assert store.arrow("SELECT scheme FROM import_row")["scheme"].to_pylist() == [scheme]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"parameters": {"run_type": "GGA", "hubbards": {"Fe": 4.0, "O": 0}}}, r"run_type is GGA.*Fe 4"),
        ({"parameters": {"run_type": "GGA", "is_hubbard": True}}, "run_type is GGA"),
        ({"parameters": {"run_type": "GGA"}, "data": {"run_type": "R2SCAN"}}, "two run types"),
        ({"parameters": {"run_type": "GGA"}, "charge": -1}, "charge"),
        ({"parameters": {"run_type": "GGA", "charge": 1}}, "charge"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(store: Store, tmp_path: Path, said: Any, why: str) -> None:
    given = {"composition": {"Fe": 2, "O": 3}, "energy": -30.0, "entry_id": "x", **said}
    path = tmp_path / "e.json"
    path.write_text(json.dumps([given]))
    (refused,) = import_results(store, path, "M").refused
    assert re.search(why, refused)


def test_two_places_that_say_the_same_in_other_words_are_no_contradiction(store: Store, tmp_path: Path) -> None:
    given = {"composition": {"Na": 1}, "energy": -1.3, "parameters": {"run_type": "GGA"}, "data": {"run_type": "PBE"}}
    path = tmp_path / "e.json"
    path.write_text(json.dumps([given]))
    assert import_results(store, path, "M").outcomes["imported"] == 1


def test_names_of_corrected_methods_and_of_imported_ones_do_not_collide(store: Store, tmp_path: Path) -> None:
    half = table(tmp_path, "half.csv", f"a,Na,-1.3,{RAW}", "b,Na,-1.4,MP2020").read_text().replace("run_type", "scheme")
    (tmp_path / "half.csv").write_text(half)
    import_results(store, tmp_path / "half.csv", "half")
    store.correct("half", "MP2020")
    assert store.arrow("SELECT method FROM method ORDER BY ALL")["method"].to_pylist() == [
        "half", "half MP2020", "half MP2020 (corrected here)"
    ]  # fmt: skip
    raw = table(tmp_path, "raw.csv", f"a,Na,-1.3,{RAW}").read_text().replace("run_type", "scheme")
    (tmp_path / "raw.csv").write_text(raw)
    import_results(store, tmp_path / "raw.csv", "raw")
    store.correct("raw", "MP2020")
    (tmp_path / "later.csv").write_text("id,formula,energy,scheme\nb,Na,-1.4,MP2020\n")
    assert dict(import_results(store, tmp_path / "later.csv", "raw").moved) == {"raw MP2020": 1}
    names = store.arrow("SELECT method FROM method WHERE method LIKE 'raw%' ORDER BY ALL")["method"].to_pylist()
    assert names == ["raw", "raw MP2020", "raw MP2020 (imported)"]
