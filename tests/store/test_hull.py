"""Formation energies and hulls in a store: what competes, what is said, what is computed again."""

from __future__ import annotations

import csv
import gzip
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_made import by_hand, crystal, method, record, result, salt, stored

from mlmat.materials.formula import pretty
from mlmat.store import Store
from mlmat.store.access.connection import rows
from mlmat.store.tables.columns import insert


def composition(amounts: dict[str, float]) -> dict[str, Any]:
    elements = sorted(amounts)
    reduced = [int(amounts[e]) // math.gcd(*map(int, amounts.values())) for e in elements]
    formula = "".join(f"{e}{n if n > 1 else ''}" for e, n in zip(elements, reduced, strict=True))
    return {"elements": elements, "amounts": [amounts[e] for e in elements], "nsites": sum(amounts.values()),
            "formula": pretty(amounts), "chemical_formula_reduced": formula,
            "chemical_system": "-".join(elements)}  # fmt: skip


def entries(store: Store, name: str, found: Iterable[tuple[str, dict[str, float], float]]) -> list[str]:
    """Results with a composition of their own (id, amounts, energy), as imports write them; ids of the results."""
    given = [(result(None, name, external_id=key, energy=energy), amounts) for key, amounts, energy in found]
    record(store, *(row for row, _ in given))
    table = pa.Table.from_pylist([{"result_id": row["result_id"], **composition(amounts)} for row, amounts in given])
    with store._writing() as con:
        con.register("new_entry", table)
        insert(con, "entry", "new_entry")
    return [row["result_id"] for row, _ in given]


LIO = [("li", {"Li": 2}, -4.0), ("o", {"O": 2}, -10.0), ("li2o", {"Li": 2, "O": 1}, -15.0)]


def hull(store: Store, where: str = "true") -> dict[str, dict[str, Any]]:
    found = store.arrow(f"SELECT * FROM hull WHERE {where}").to_pylist()
    return {row["external_id"] or row["structure_id"]: row for row in found}


@pytest.mark.parametrize("system", ["Li-Co-Ni-O", "Cl-Mn-Na-O-Y"])
def test_complete_systems_of_the_materials_project(store: Store, shared: Path, system: str) -> None:
    folder = shared / "data" / "references"
    with gzip.open(folder / f"entries_{system}.json.gz", "rt") as file:
        given = [(e["entry_id"], e["composition"], e["energy"] + e["correction"]) for e in json.load(file)]
    with (folder / f"hull_mp_{system}.csv").open() as table:
        published = {row["entry_id"]: row for row in csv.DictReader(table)}
    method(store, "mp")
    entries(store, "mp", given)
    found = hull(store)
    assert found.keys() == published.keys()
    for key, row in found.items():
        assert row["e_above_hull"] == pytest.approx(float(published[key]["e_above_hull"]), abs=1e-6)
        assert row["formation_energy_per_atom"] == pytest.approx(float(published[key]["e_form_per_atom"]), abs=1e-6)
        assert (row["e_above_hull"] == 0) == (published[key]["is_stable"] == "True")
        assert row["reason"] is None
        assert sum(product["amount"] for product in row["products"]) == pytest.approx(1)


def test_formation_energies_of_the_wbm_part_are_the_published_ones(store: Store, shared: Path) -> None:
    with (shared / "data" / "references" / "elemental_refs.csv").open() as table:
        elements = [(row["element"], {row["element"]: 1.0}, float(row["mp_pbe_min_energy_per_atom"]))
                    for row in csv.DictReader(table) if row["mp_pbe_min_energy_per_atom"]]  # fmt: skip
    with (shared / "data" / "clean_manifest.csv").open() as table:
        wbm = [row for row in csv.DictReader(table) if row["subset"] == "wbm"]
    published = {row["file"]: float(row["ref_corrected_formation_energy_per_atom"]) for row in wbm}
    method(store, "wbm")
    given = [(row["file"], amounts_in(row["source_formula"], int(row["source_natoms"])),
              float(row["ref_corrected_energy_per_atom"]) * int(row["source_natoms"])) for row in wbm]  # fmt: skip
    entries(store, "wbm", [*elements, *given])
    found = store.arrow("FROM formation_energy WHERE external_id LIKE '%/%'").to_pylist()
    assert len(found) == len(published) > 600
    for row in found:
        assert row["formation_energy_per_atom"] == pytest.approx(published[row["external_id"]], abs=1e-6)


def amounts_in(formula: str, atoms: int) -> dict[str, float]:
    """Atoms of each element in a cell of so many atoms."""
    from pymatgen.core import Composition

    parts = Composition(formula).get_el_amt_dict()
    return {e: n * atoms / sum(parts.values()) for e, n in parts.items()}


def test_a_hull_says_what_each_phase_decomposes_into(store: Store) -> None:
    method(store, "m", label="by hand")
    entries(store, "m", [*LIO, ("li2o2", {"Li": 4, "O": 4}, -42.0), ("lio2", {"Li": 1, "O": 2}, -14.0)])
    found = hull(store)
    assert {key: row["e_above_hull"] for key, row in found.items()} == pytest.approx(
        {"li": 0, "o": 0, "li2o": 0, "li2o2": 0, "lio2": 0.5}
    )
    assert found["lio2"]["decomposition"] == "0.667 Li2O2 + 0.333 O2"
    assert found["lio2"]["products"][1] == pytest.approx({"id": "o", "formula": "O2", "amount": 1 / 3})
    assert found["li2o"]["formation_energy_per_atom"] == pytest.approx(-2.0)
    assert found["li2o"]["decomposition"] == "1.000 Li2O"
    assert {row["competing_phases"] for row in found.values() if row["nelements"] == 2} == {5}
    assert all(row["end_members_complete"] and row["method"] == "by hand" for row in found.values())


def test_a_missing_end_member_is_named_and_gives_no_number(store: Store) -> None:
    method(store, "m")
    method(store, "other")
    entries(store, "m", [LIO[0], LIO[2], ("x", {"Li": 1, "N": 1, "O": 1}, -9.0)])
    entries(store, "other", [("o by another method", {"O": 2}, -10.0)])
    row = hull(store)["li2o"]
    assert (row["e_above_hull"], row["formation_energy_per_atom"], row["decomposition"]) == (None, None, None)
    assert (row["end_members_complete"], row["missing_elements"]) == (False, ["O"])
    assert row["reason"] == "no energy by this method of the pure element O"
    assert hull(store)["x"]["reason"] == "no energy by this method of the pure elements N, O"
    assert store.refresh_hulls() == 0
    systems = store.arrow("FROM chemical_systems WHERE method_id = 'm' AND NOT end_members_complete").to_pylist()
    assert [(s["chemical_system"], s["missing_elements"]) for s in systems] == [("Li-O", ["O"]), ("Li-N-O", ["N", "O"])]


def test_methods_never_share_a_hull(store: Store) -> None:
    for name, shift in (("m", 0.0), ("n", -10.0)):
        method(store, name)
        entries(store, name, [(f"{name}:{key}", amounts, e + shift) for key, amounts, e in LIO])
    entries(store, "m", [("m:lio2", {"Li": 1, "O": 2}, -11.5)])
    found = hull(store)
    assert {p["id"][0] for key, row in found.items() if key[0] == "m" for p in row["products"]} == {"m"}
    assert found["n:li2o"]["formation_energy_per_atom"] == pytest.approx((-25 + 2 * 7 + 10) / 3)


def test_what_did_not_converge_is_in_no_hull_and_says_so(store: Store) -> None:
    sodium_chloride, good, bad = stored(store, salt(), crystal("Na", a=4.2), crystal("Na", a=4.0))
    (chlorine,) = stored(store, crystal("Cl", a=5.0))
    method(store, "m")
    record(store, result(sodium_chloride, energy=-7.0), result(good, energy=-1.0, converged=True),
           result(bad, energy=-50.0, converged=False), result(chlorine, energy=-2.0))  # fmt: skip
    found = hull(store)
    assert found[sodium_chloride]["formation_energy_per_atom"] == pytest.approx(-2.0)
    assert found[good]["e_above_hull"] == 0
    row = found[bad]
    assert (row["e_above_hull"], row["formation_energy_per_atom"]) == (None, None)
    assert row["reason"] == "relaxation not converged"
    ranked = {row["structure_id"]: row for row in store.arrow("FROM candidates").to_pylist()}
    assert ranked[bad]["rank"] is None
    assert ranked[bad]["reason"] == "relaxation not converged"


def test_molecules_and_energies_that_are_no_number_do_not_compete(store: Store) -> None:
    free = crystal("Na", a=4.2)
    free.pbc = False
    ids = stored(store, free, crystal("Na", a=4.1), crystal("Na", a=4.3))
    method(store, "m")
    record(store, *(result(i, energy=e) for i, e in zip(ids, (-9.0, math.nan, -1.0), strict=True)))
    found = hull(store)
    assert [found[i]["reason"] for i in ids] == ["not periodic in three directions", "energy is not a number", None]
    assert found[ids[2]]["e_above_hull"] == 0


def test_a_second_read_computes_nothing_and_a_new_result_its_own_systems_alone(store: Store) -> None:
    method(store, "m")
    mgo = [("mg", {"Mg": 2}, -3.0), ("mgo", {"Mg": 1, "O": 1}, -12.0), ("mix", {"Li": 1, "Mg": 1, "O": 2}, -20.0)]
    entries(store, "m", [*LIO, *mgo])
    assert store.refresh_hulls() == 6  # Li, Mg, O, Li-O, Mg-O, Li-Mg-O
    assert store.refresh_hulls() == 0
    entries(store, "m", [("lio", {"Li": 2, "O": 2}, -19.0)])
    assert computed(store) == {"Li", "O", "Mg", "Mg-O"}
    assert store.refresh_hulls() == 2
    assert hull(store, "formula = 'Li2O2'")["lio"]["e_above_hull"] > 0
    entries(store, "m", [("o2", {"O": 2}, -12.0)])
    assert store.refresh_hulls() == 4
    assert hull(store, "external_id = 'o'")["o"]["e_above_hull"] == pytest.approx(1)


def computed(store: Store) -> set[str]:
    """Chemical systems whose kept hull still holds, without computing any."""
    with store._reading() as con:
        return {name for (name,) in rows(con, "SELECT chemical_system FROM chemical_systems WHERE computed")}


def test_what_changes_in_place_or_counts_no_more_is_seen(store: Store) -> None:
    method(store, "m")
    entries(store, "m", [*LIO, ("lio2", {"Li": 1, "O": 2}, -11.5)])
    assert hull(store)["lio2"]["e_above_hull"] == pytest.approx(1 + 0.5 / 3)
    before = hull(store)["lio2"]["e_above_hull"]
    by_hand(store, "UPDATE result SET energy = energy + 0.3 WHERE external_id = 'lio2'")
    assert hull(store)["lio2"]["e_above_hull"] == pytest.approx(before + 0.1)
    entries(store, "m", [("lio2", {"Li": 1, "O": 2}, -11.5)])
    assert hull(store)["lio2"]["e_above_hull"] == pytest.approx(before)
    by_hand(store, "UPDATE result SET converged = false WHERE external_id = 'o'")
    assert hull(store)["lio2"]["missing_elements"] == ["O"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) AS n FROM hull WHERE reason IS NULL",
        'select count(*) n from "Hull" where reason is null',
        "SELECT count(*) AS n FROM method_comparison, hull WHERE hull.reason IS NULL",
        "SELECT count(*) AS n FROM candidates WHERE rank = 1",
        "SELECT n FROM own_too",
        "SELECT count(*) AS n FROM main.own WHERE e_above_hull = 0",
        "SELECT count(*) AS n FROM (SELECT 1) AS one, own WHERE e_above_hull = 0",
    ],
)
def test_every_way_to_ask_sees_current_rows(store: Store, query: str) -> None:
    method(store, "m")
    method(store, "n")
    store.execute("CREATE VIEW own AS SELECT * FROM hull")
    store.execute("CREATE VIEW own_too AS SELECT count(*) AS n FROM own WHERE e_above_hull = 0")
    for name in "mn":
        entries(store, name, [*LIO[:2]])
    assert store.arrow(query).to_pylist()[0]["n"] == 4
    entries(store, "n", [LIO[2]])
    assert store.sql(query)["n"].tolist() == [5]
    entries(store, "m", [LIO[2]])
    assert store.polars(query)["n"].to_list() == [6]


def test_the_end_of_a_run_leaves_current_hulls_behind(store: Store) -> None:
    run = method(store, "m")
    (copper,) = stored(store, crystal())
    record(store, result(copper, energy=-1.0, run_id=run))
    assert computed(store) == set()
    store.end_run(run, "finished")
    assert computed(store) == {"Cu"}


@pytest.mark.parametrize(
    ("query", "parameters", "systems"),
    [
        ("FROM hull WHERE chemical_system = 'Li-O'", None, {"Li-O"}),
        ("SELECT formula FROM hull WHERE 'Li-O' = chemical_system AND e_above_hull < 1", None, {"Li-O"}),
        ("FROM hull WHERE chemical_system IN ('Li', $other)", {"other": "O"}, {"Li", "O"}),
        ("FROM hull WHERE chemical_system = ?", ["O"], {"O"}),
        ("FROM hull WHERE method_id = 'm' AND chemical_system = 'Li-O' AND formula = ?", ["Li2O"], {"Li-O"}),
        ("FROM hull WHERE method_id = 'other' AND chemical_system = 'Li-O'", None, set()),
        ("FROM hull WHERE chemical_system = 'Li-O' OR formula = 'O'", None, {"Li", "O", "Li-O"}),
        ("FROM hull WHERE chemical_system = ?", ["F"], set()),
        ("FROM hull WHERE chemical_system <> 'Li-O'", None, {"Li", "O", "Li-O"}),
        ("FROM hull WHERE NOT (chemical_system = 'Li-O')", None, {"Li", "O", "Li-O"}),
        ("FROM hull WHERE chemical_system = 'O' AND (FROM (SELECT count(*) FROM hull)) > 0", None, {"Li", "O", "Li-O"}),
        ("WITH x AS (FROM hull) FROM x WHERE chemical_system = 'O'", None, {"Li", "O", "Li-O"}),
        ("FROM hull WHERE chemical_system = 'O' UNION FROM hull", None, {"Li", "O", "Li-O"}),
        ("FROM candidates WHERE chemical_system = 'O'", None, {"Li", "O", "Li-O"}),
    ],
)
def test_a_query_computes_what_it_names(store: Store, query: str, parameters: Any, systems: set[str]) -> None:
    method(store, "m")
    entries(store, "m", LIO)
    found = store.arrow(query, parameters)
    assert computed(store) == systems
    assert store.arrow("FROM hull").num_rows == 3
    assert computed(store) == {"Li", "O", "Li-O"}
    assert sorted(map(str, store.arrow(query, parameters).to_pylist())) == sorted(map(str, found.to_pylist()))


def test_a_run_leaves_hulls_of_others_to_those_who_read_them(store: Store) -> None:
    method(store, "other")
    entries(store, "other", LIO)
    first, second = method(store, "m"), method(store, "m")
    store.mix("both", ["m", "other"])
    alone = [crystal(element, 4.0) for element in ("Li", "Mg", "Cl", "Na")]
    li, mg, cl, na, nacl = stored(store, *alone, salt())
    record(store, result(li, energy=-1.0), result(mg, energy=-1.0))
    record(store, *(result(one, energy=-2.0, run_id=first) for one in (cl, na)))
    store.end_run(first, "finished")
    assert computed(store) == {"Cl", "Na"}
    record(store, result(nacl, energy=-9.0, run_id=second))
    store.end_run(second, "finished")
    assert computed(store) == {"Cl", "Na", "Cl-Na"}
    by_method = "SELECT method_id <> 'm', count(*) FROM chemical_systems WHERE computed GROUP BY ALL ORDER BY ALL"
    with store._reading() as con:
        assert rows(con, by_method) == [(False, 3), (True, 3)], "those of the mixture, too"
    assert store.refresh_hulls() == 9, "2 of m; Li, O and Li-O of the other method; these and Mg of both"


def test_a_run_that_changes_many_systems_and_one_of_nine(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = method(store, "m")
    nine = ["Al", "B", "C", "F", "H", "Li", "Mg", "Na", "O"]
    elements = [(name, {name: 1.0}, -1.0) for name in nine]
    entries(store, "m", [*elements, ("alloy", dict.fromkeys(nine, 1.0), -20.0)])
    by_hand(store, f"UPDATE result SET run_id = '{run}' WHERE external_id = 'B'")
    store.end_run(run, "finished")
    assert computed(store) == {"B", "-".join(nine)}
    monkeypatch.setattr("mlmat.store.hulls.scope.FEW", 1)
    by_hand(store, "DELETE FROM hull_system")
    by_hand(store, f"UPDATE result SET run_id = '{run}' WHERE external_id = 'C'")
    store.end_run(run, "finished")
    assert computed(store) == {*nine, "-".join(nine)}


def test_a_store_that_cannot_be_written_shows_no_stale_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmat.store.hulls.refresh.PATIENCE", 0.1)
    method(store, "m")
    entries(store, "m", LIO)
    assert hull(store)["li2o"]["e_above_hull"] == 0
    entries(store, "m", [("better", {"Li": 2, "O": 1}, -18.0)])
    with reader_elsewhere(store.path):
        row = hull(store)["li2o"]
        assert row["e_above_hull"] is None
        assert row["decomposition"] is None
        assert row["formation_energy_per_atom"] == pytest.approx(-2.0)
        assert row["reason"].startswith("not computed yet")
    assert hull(store)["li2o"]["e_above_hull"] == pytest.approx(1.0)


@contextmanager
def reader_elsewhere(path: Path) -> Iterator[None]:
    """Another process that stays in the store, as a reader."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.communicate()


def test_sodium_nitride_alloys_and_elements_alone(store: Store) -> None:
    many = ["Al", "B", "C", "Ca", "Cr", "Fe", "K", "Li", "Mg", "Mn", "N", "Na", "O", "Si", "Ti"]
    method(store, "m")
    entries(store, "m", [*((e, {e: 1.0}, -1.0) for e in many), ("nan", {"Na": 2, "N": 2}, -6.0),
                         ("alloy", dict.fromkeys(many, 1.0), -15.5), ("alone", {"Xe": 1}, -0.1),
                         ("xenon", {"Xe": 1, "Og": 1}, -0.1)])  # fmt: skip
    found = hull(store)
    assert found["nan"]["formula"] == "NaN"
    assert found["nan"]["formation_energy_per_atom"] == pytest.approx(-0.5)
    assert found["alloy"]["formation_energy_per_atom"] == pytest.approx(-0.5 / 15)
    assert found["alloy"]["e_above_hull"] == pytest.approx(0.5 / 15)  # NaN and the other elements: -1 eV in 15 atoms
    assert len(found["alloy"]["products"]) == 14
    assert found["alone"]["e_above_hull"] == 0
    assert found["xenon"]["reason"].endswith("pure element Og")


def test_candidates_rank_within_a_method_and_show_each_crystal_once(store: Store) -> None:
    one, again, other = crystal(a=3.6), crystal(a=3.6, cells=2), crystal(a=4.6)
    a, b, c = stored(store, one, again, other)
    method(store, "m")
    method(store, "n")
    record(store, result(a, energy=-3.0), result(b, energy=-6.002), result(c, energy=-2.0))
    record(store, result(a, "n", energy=-1.0))
    entries(store, "n", [("entry", {"Cu": 1}, -1.5), ("entry too", {"Cu": 1}, -0.5)])
    found = store.arrow("SELECT method_id, rank, coalesce(external_id, structure_id) AS id, hidden FROM candidates "
                        "ORDER BY ALL").to_pylist()  # fmt: skip
    assert [tuple(row.values()) for row in found] == [
        ("m", 1, b, 1), ("m", 2, c, 0), ("n", 1, "entry", 0), ("n", 2, a, 0), ("n", 3, "entry too", 0),
    ]  # fmt: skip


def test_method_comparison_of_formation_energies_and_hulls(store: Store) -> None:
    method(store, "m")
    method(store, "n")
    entries(store, "m", [*LIO, ("lio2", {"Li": 1, "O": 2}, -11.5), ("only here", {"Li": 1}, 0.0)])
    entries(store, "n", [(key, amounts, energy - 50 * amounts.get("O", 0)) for key, amounts, energy in LIO])
    entries(store, "n", [("lio2", {"Li": 1, "O": 2}, -111.2)])
    (row,) = store.arrow("FROM method_comparison").to_pylist()
    assert (row["structures"], row["formation_structures"], row["hull_structures"]) == (4, 4, 4)
    assert row["mae"] > 10
    assert row["formation_mae"] == pytest.approx(0.1 / 4)
    assert row["hull_rmse"] == pytest.approx(math.sqrt(0.1**2 / 4))
    assert row["formation_spearman"] == pytest.approx(1)
