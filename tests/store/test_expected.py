"""What a number is worth: expected errors, verdicts, what the hull holds, methods side by side, unfit elements."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import crystal, record, result, salt, stored

from mlmat import provenance
from mlmat.materials import expected_errors
from mlmat.store import Store
from mlmat.store.access.connection import rows

MACE = "432d5186abee67be3889d7d05001ce4e978d5bb7416bd7beee918e22c130f62c"
CHGNET = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"


def by_model(store: Store, method_id: str, sha256: str | None, name: str = "some", **about: Any) -> None:
    """Register a method that computes with a model."""
    row = {"method_id": method_id, "method": f"{method_id} {name}", "runner": "toy", "runner_version": "1",
           "settings": {"relax": "none"}, "model_name": name, "model_sha256": sha256}  # fmt: skip
    store.start_run(provenance.new_run("screen", method_id=method_id), row)
    with store._writing() as con:
        for column, value in about.items():
            con.execute(f"UPDATE method SET {column} = ? WHERE method_id = ?", [value, method_id])


def expected(store: Store, method_id: str) -> dict[tuple[str, str], float]:
    found = store.arrow("SELECT quantity, class, error FROM expected_error WHERE method_id = $m", {"m": method_id})
    return {(row["quantity"], row["class"]): row["error"] for row in found.to_pylist()}


def sodium_chloride(store: Store, method_id: str, formation: float) -> str:
    """NaCl with its elements, and so much energy of formation in eV/atom; the structure's id."""
    stored(store, salt(), crystal("Na", a=4.2), crystal("Cl", a=5.0))
    energies = {"Na": -1.0, "Cl": -2.0, "Cl-Na": formation - 1.5}
    found = store.arrow("SELECT structure_id, nsites, chemical_system AS name FROM structure").to_pylist()
    record(store, *(result(f["structure_id"], method_id, energy=energies[f["name"]] * f["nsites"]) for f in found))
    return next(f["structure_id"] for f in found if f["name"] == "Cl-Na")


def row_of(store: Store, structure_id: str, method_id: str = "m") -> dict[str, Any]:
    query = "FROM hull WHERE structure_id = $s AND method_id = $m"
    (found,) = store.arrow(query, {"s": structure_id, "m": method_id}).to_pylist()
    return found


def test_the_shipped_model_and_chgnet_bring_their_errors_along(store: Store) -> None:
    by_model(store, "m", MACE)
    by_model(store, "c", CHGNET)
    by_model(store, "own", "0" * 64)
    for method_id, sha256 in (("m", MACE), ("c", CHGNET)):
        known = {(one.quantity, one.kind): one.error for one in expected_errors.errors(sha256)}
        assert expected(store, method_id) == known
        for quantity in ("formation_energy_per_atom", "e_above_hull"):
            assert {k for q, k in known if q == quantity} >= {"all", "oxide", "intermetallic", "f-element", "element"}
        assert all(0.01 < error < 0.3 for error in known.values())
        # Never better than for crystals that the model had not seen.
        assert all(known["e_above_hull", k] >= e for (q, k), e in known.items() if q != "e_above_hull")
    assert expected(store, "own") == {}


def test_a_method_of_an_older_store_gets_them_with_the_upgrade(store: Store) -> None:
    by_model(store, "m", MACE)
    nacl = sodium_chloride(store, "m", -1.0)
    with store._writing() as con:
        con.execute("DELETE FROM expected_error")
        con.execute("COMMENT ON TABLE mlmat_schema IS 'Migrations that this store has seen; views of before'")
    row = row_of(Store.open(store.path), nacl)
    assert row["expected_error"] == expected(store, "m")["e_above_hull", "halide"]
    assert row["expected_error_formation"] == expected(store, "m")["formation_energy_per_atom", "halide"]


def test_what_a_user_gave_stays(store: Store) -> None:
    by_model(store, "m", MACE)
    with store._writing() as con:
        con.execute("INSERT INTO expected_error VALUES ('m', 'e_above_hull', 'nitride', 0.2, NULL, 'given')")
        con.execute("COMMENT ON TABLE mlmat_schema IS 'Migrations that this store has seen; views of before'")
    again = Store.open(store.path)
    with again._writing() as con:
        assert rows(con, "SELECT error FROM expected_error WHERE class = 'nitride'") == [(0.2,)]


def test_stable_within_the_expected_error_is_undecided(store: Store) -> None:
    cases = [(-1.0, 0.1, "on the hull"), (-0.05, 0.1, "undecided"), (0.05, 0.1, "undecided"),
             (0.2, 0.1, "above the hull"), (-0.05, None, "on the hull"), (0.05, None, "above the hull")]  # fmt: skip
    for number, (formation, error, _) in enumerate(cases):
        by_model(store, f"m{number}", None)
        nacl = sodium_chloride(store, f"m{number}", formation)
        if error is not None:
            with store._writing() as con:
                given = [f"m{number}", error]
                con.execute("INSERT INTO expected_error VALUES (?, 'e_above_hull', 'all', ?, NULL, 'given')", given)
    best = {r["method_id"]: r for r in store.arrow("SELECT * FROM candidates WHERE nelements = 2").to_pylist()}
    for number, (formation, error, verdict) in enumerate(cases):
        row = row_of(store, nacl, f"m{number}")
        assert (row["verdict"], row["expected_error"], row["expected_error_formation"]) == (verdict, error, None)
        assert row["e_decomposition"] == pytest.approx(formation)
        assert (row["competitors"], row["competition"], row["class"]) == (0, "only the elements", "halide")
        for name in ("verdict", "expected_error", "competition", "e_decomposition"):
            assert best[f"m{number}"][name] == row[name]
    elements = store.arrow("FROM hull WHERE nelements = 1").to_pylist()
    assert {(e["verdict"], e["competition"], e["e_decomposition"]) for e in elements} == {("on the hull", None, None)}


def test_every_compound_is_of_one_class(store: Store) -> None:
    from ase import Atoms

    kinds = {"Fe": "element", "OU": "f-element", "OY": "oxide", "ClO": "oxide", "BrS": "halide", "FeTe": "chalcogenide",
             "NSi": "pnictide", "CW": "other", "FeGe": "other", "AlFe": "intermetallic", "FeH": "other",
             "NpPt": "f-element"}  # fmt: skip
    cell = {"positions": [[0, 0, 0], [2.5, 0, 0]], "cell": [6, 5, 5], "pbc": True}
    crystals = [crystal("Fe"), *(Atoms(text, **cell) for text in kinds if text != "Fe")]
    by_model(store, "m", None)
    record(store, *(result(id_, energy=-1.0) for id_ in stored(store, *crystals)))
    found = store.arrow("SELECT replace(chemical_system, '-', '') AS name, class, verdict FROM hull").to_pylist()
    assert {row["name"]: row["class"] for row in found} == kinds
    assert {row["verdict"] for row in found if row["class"] != "element"} == {None}


def test_results_with_elements_that_the_model_cannot_do_compete_with_nothing(store: Store) -> None:
    by_model(store, "m", MACE)
    by_model(store, "c", CHGNET)
    plutonium, iron = stored(store, crystal("Pu", a=4.6), crystal("Fe", a=3.6))
    record(store, *(result(i, m, energy=-5.0) for i in (plutonium, iron) for m in ("m", "c")))
    row = row_of(store, plutonium)
    assert row["e_above_hull"] is None
    assert row["suspect"] == expected_errors.unfit(MACE)["Pu"]
    assert "Pu is +1.71 eV/atom off DFT" in row["reason"]
    assert row_of(store, iron)["e_above_hull"] == row_of(store, plutonium, "c")["e_above_hull"] == 0
    assert [r["formula"] for r in store.arrow("FROM suspects").to_pylist()] == ["Pu"]
    ranks = {r["formula"]: r["rank"] for r in store.arrow("FROM ranking WHERE method_id = 'm'").to_pylist()}
    assert ranks == {"Pu": None, "Fe": 1}


def test_a_committee_has_a_row_for_what_two_methods_of_one_scheme_have_computed(store: Store) -> None:
    learned = {"a": "CHGNet, MPtrj", "b": "mptrj", "c": "OMat24", "d": "MPtrj"}
    formation = {"a": -0.30, "b": -0.20, "c": 0.04, "d": 0.30}
    for method_id, data in learned.items():
        scheme = "MP2020" if method_id != "d" else "r2SCAN"
        by_model(store, method_id, None, method_id, trained_on=data, scheme=scheme)
        nacl = sodium_chloride(store, method_id, formation[method_id])
    found = {row["formula"]: row for row in store.arrow("FROM committee").to_pylist()}
    row = found["NaCl"]
    assert (row["methods"], row["judging"], row["scheme"], row["structure_id"]) == (3, 3, "MP2020", nacl)
    assert row["formation_mean"] == pytest.approx((-0.3 - 0.2 + 0.04) / 3)
    assert row["formation_range"] == pytest.approx(0.34)
    assert row["formation_sd"] == pytest.approx(0.1747379, abs=1e-6)  # numpy.std(…, ddof=1)
    assert (row["on_hull"], row["within_50_mev"]) == (2, 3)
    assert row["e_above_hull_mean"] == pytest.approx(0.04 / 3)
    assert row["shared"] == "MPtrj"
    assert [v["verdict"] for v in row["verdicts"]] == ["on the hull", "on the hull", "above the hull"]
    assert len(found) == 3  # the elements, too


def test_methods_with_one_model_share_it_and_unknown_schemes_make_no_committee(store: Store) -> None:
    for method_id in ("a", "b"):
        by_model(store, method_id, None, "mine", scheme="PBE")
        by_model(store, f"{method_id} unknown", None, "other")
        sodium_chloride(store, method_id, -0.3)
        sodium_chloride(store, f"{method_id} unknown", -0.3)
    assert {row["shared"] for row in store.arrow("FROM committee").to_pylist()} == {"model mine"}
