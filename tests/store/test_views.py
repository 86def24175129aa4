"""The reductions, on rows made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hand_made import add, block, crystal, merge, method, packed, record, result, salt, sha, stored

from mlmat.store import Store


def ranking(store: Store, *columns: str) -> list[tuple[object, ...]]:
    frame = store.reduce("ranking")
    return [tuple(None if value is pd.NA or value != value else value for value in row)
            for row in frame[list(columns)].itertuples(index=False)]  # fmt: skip


def test_ranking_compares_per_atom_and_ties_share_a_rank(store: Store) -> None:
    small, double, other, worst = stored(store, crystal(a=3.6), crystal(a=3.7, cells=2), crystal(a=3.8), crystal(a=3.9))
    method(store, "m")
    record(store, result(small, energy=-3.0), result(double, energy=-7.0), result(other, energy=-3.5),
           result(worst, energy=-1.0))  # fmt: skip
    assert ranking(store, "structure_id", "rank", "energy_per_atom", "energy_above_best") == [
        *sorted([(double, 1, -3.5, 0.0), (other, 1, -3.5, 0.0)]), (small, 3, -3.0, 0.5), (worst, 4, -1.0, 2.5),
    ]  # fmt: skip


def test_ranking_keeps_formulas_and_methods_apart(store: Store) -> None:
    copper, nacl = stored(store, crystal(), salt())
    method(store, "m", label="one")
    method(store, "n", label="two")
    record(store, result(copper, "m", energy=-1.0), result(nacl, "m", energy=-9.0))
    record(store, result(copper, "n", energy=-5.0))
    assert ranking(store, "formula", "method", "rank", "energy_above_best") == [
        ("Cu", "one", 1, 0.0), ("Cu", "two", 1, 0.0), ("NaCl", "one", 1, 0.0),
    ]  # fmt: skip
    of_one = store.sql("SELECT formula, rank FROM ranking WHERE chemical_system = 'Cl-Na'")
    assert of_one.to_dict("list") == {"formula": ["NaCl"], "rank": [1]}


def test_ranking_gives_the_reason_why_something_is_not_ranked(store: Store) -> None:
    a, b, c, d = stored(store, *(crystal(a=3.5 + 0.1 * i) for i in range(4)))
    method(store, "m")
    record(store, result(a, energy=-9.0, converged=False), result(b, energy=-2.0, converged=True),
           result(c, energy=-3.0), result(d, status="failed"))  # fmt: skip
    assert ranking(store, "structure_id", "rank", "energy_above_best", "reason") == [
        (c, 1, 0.0, None), (b, 2, 1.0, None), (a, None, -6.0, "relaxation not converged"),
    ]  # fmt: skip


def test_current_result_is_the_latest_ok_else_the_latest_failure(store: Store) -> None:
    a, b, c = stored(store, *(crystal(a=3.5 + 0.1 * i) for i in range(3)))
    method(store, "m")
    record(store, result(a, energy=-1.0), result(a, energy=-2.0), result(a, status="failed"),
           result(b, status="failed", error_message="first"), result(b, status="failed", error_message="second"),
           result(c, status="failed"), result(c, energy=-3.0))  # fmt: skip
    found = store.sql("FROM current_result").set_index("structure_id")
    assert len(found) == 3
    assert found.loc[a, "energy"] == -2.0
    assert found.loc[b, "error_message"] == "second"
    assert found.loc[c, "status"] == "ok"


OVER_ALL = """
    SELECT result_id FROM result QUALIFY row_number() OVER (
        PARTITION BY method_id, structure_id, external_id,
            CASE WHEN structure_id IS NULL AND external_id IS NULL THEN result_id END
        ORDER BY status = 'ok' DESC, run_id DESC NULLS LAST, finished_at DESC, result_id DESC
    ) = 1
    ORDER BY result_id
"""


def agrees(store: Store) -> bool:
    """Whether the view says what a comparison of all results with one another says."""
    return store.sql("SELECT result_id FROM current_result ORDER BY result_id").equals(store.sql(OVER_ALL))


def test_current_results_are_those_that_a_comparison_of_all_finds(store: Store) -> None:
    rng = np.random.default_rng(0)
    ids = [*stored(store, *(crystal(a=3.5 + 0.1 * i) for i in range(8))), None]
    for name in "mn":
        method(store, name)
    for _ in range(12):
        some = [(ids[rng.integers(9)], "mn"[rng.integers(2)], rng.integers(3)) for _ in range(rng.integers(1, 6))]
        record(store, *(result(i, m, status="failed" if k == 0 else "ok", external_id=None if k < 2 else f"x{k}")
                        for i, m, k in some))  # fmt: skip
        assert agrees(store)
    assert len(store.sql("FROM repeated")) > 5


def test_imported_results_without_a_structure_do_not_collapse(store: Store) -> None:
    method(store, "m")
    record(store, *(result(None, external_id=f"mp-{i}", energy=-1.0 * i) for i in range(3)),
           result(None, external_id="mp-0", energy=-7.0), result(None, energy=1.0),
           result(None, energy=2.0))  # fmt: skip
    assert sorted(store.sql("FROM current_result")["energy"]) == [-7.0, -2.0, -1.0, 1.0, 2.0]


def test_failures_show_current_failures(store: Store) -> None:
    a, b = stored(store, crystal(a=3.5), crystal(a=3.6))
    method(store, "m")
    record(store, result(a, status="failed"), result(b, status="failed"), result(b, energy=-1.0))
    found = store.reduce("failures")
    assert found["structure_id"].tolist() == [a]
    assert found["error_class"].tolist() == ["ValueError"]


def test_each_duplicate_block_is_one_row(store: Store) -> None:
    one, two = crystal(), salt()
    add(store, block("/a.cif", one), block("/b.cif", one), block("/b.cif", two, block_index=1, block="second"))
    add(store, block("/c.cif", two), block("/d.cif", one, "flagged", reason="odd"), block("/e.cif", one))
    add(store, block("/copy.cif", one, file_sha256=sha("same")), block("/copy2.cif", one, file_sha256=sha("same")))
    found = store.reduce("duplicates")
    pairs = sorted(zip(found["path"], found["first_path"], strict=True))
    assert pairs == [("/b.cif", "/a.cif"), ("/c.cif", "/b.cif"), ("/copy.cif", "/a.cif"), ("/copy2.cif", "/a.cif"),
                     ("/e.cif", "/a.cif")]  # fmt: skip
    reasons = store.sql("SELECT path, reason FROM source WHERE outcome = 'duplicate'").set_index("path")["reason"]
    assert reasons["/c.cif"] == "same structure as /b.cif [second]"


def test_when_the_first_file_changes_the_next_one_takes_its_place(store: Store) -> None:
    one = crystal()
    add(store, *(block(f"/{name}.cif", one) for name in "abc"))
    add(store, block("/a.cif", salt()))
    found = store.sql("SELECT path, outcome, reason FROM source WHERE current ORDER BY path")
    assert found["outcome"].tolist() == ["stored", "stored", "duplicate"]
    assert found["reason"].tolist()[2] == "same structure as /b.cif [b]"
    assert store.reduce("duplicates")["first_path"].tolist() == ["/b.cif"]


def test_provenance_has_one_row_for_each_result(store: Store) -> None:
    first, second, relaxed = crystal(a=3.5), crystal(a=3.6), crystal(a=3.61)
    add(store, block("/a.cif", first), block("/a2.cif", first), block("/b.cif", second))
    run = method(store, "m", label="relax")
    method(store, "n", label="dearer")
    a, b = (block("", atoms)["structure_id"] for atoms in (first, second))
    r = block("", relaxed)["structure_id"]
    from_a, from_b, again = result(a, run_id=run), result(b, run_id=run), result(b, run_id=run)
    record(store, from_a, from_b, again, values=[{}, {}, {}],
           produced=[(from_a, relaxed), (from_b, relaxed), (again, relaxed)])  # fmt: skip
    record(store, result(r, "n", energy=-1.0), result(r, "n", status="failed"), result(None, "n", external_id="x"))
    found = store.reduce("provenance")
    assert sorted(found["result_id"].astype(str)) == sorted(store.sql("FROM result")["result_id"].astype(str))
    of_relaxed = found[found["structure_id"] == r]
    assert of_relaxed["path"].tolist() == ["/a.cif", "/a.cif"]
    assert of_relaxed["parent_id"].tolist() == [a, a]
    assert found[found["structure_id"] == a]["path"].tolist() == ["/a.cif"]
    assert found[found["structure_id"] == a]["command"].notna().all()


def test_provenance_goes_back_through_generations_to_the_file(store: Store) -> None:
    first, coarse, fine = crystal(a=3.5), crystal(a=3.6), crystal(a=3.61)
    add(store, block("/a.cif", first))
    ids = [block("", atoms)["structure_id"] for atoms in (first, coarse, fine)]
    for name in ("m", "n"):
        method(store, name, label=name)
    one, two = result(ids[0]), result(ids[1], "n")
    record(store, one, two, values=[{}, {}], produced=[(one, coarse), (two, fine)])
    # Back to where it came from: a circle must end.
    circle = result(ids[2], "n")
    record(store, circle, values=[{}], produced=[(circle, coarse)])
    found = store.reduce("provenance").set_index("structure_id")
    assert found["path"].tolist() == ["/a.cif"] * 3
    assert found.loc[ids[2], "parent_id"] == ids[1]


def test_provenance_prefers_the_file_that_still_holds_the_structure(store: Store) -> None:
    one = crystal()
    add(store, block("/old.cif", one), block("/other.cif", one))
    add(store, block("/old.cif", salt()))
    method(store, "m")
    record(store, result(block("", one)["structure_id"]))
    assert store.reduce("provenance")["path"].tolist() == ["/other.cif"]


def test_method_comparison_against_numpy_and_pandas(store: Store) -> None:
    rng = np.random.default_rng(7)
    ids = stored(store, *(crystal(a=3 + 0.01 * i, cells=1 + i % 3) for i in range(40)))
    sites = np.array([1 + i % 3 for i in range(40)])
    energies = {"m": rng.integers(-9, 0, 40) / 2, "n": rng.integers(-9, 0, 40) / 2, "o": rng.normal(size=40)}
    for name, values in energies.items():
        method(store, name, label=f"method {name}")
        chosen = [i for i in range(40) if name != "o" or i % 4]
        record(store, *(result(ids[i], name, energy=float(values[i] * sites[i])) for i in chosen))
    record(store, result(ids[0], "m", status="failed"))
    found = store.reduce("method_comparison").set_index(["method_id_a", "method_id_b"])
    assert len(found) == 3
    for a, b in itertools.combinations("mno", 2):
        keep = [i for i in range(40) if "o" not in (a, b) or i % 4]
        x, y = pd.Series(energies[a][keep]), pd.Series(energies[b][keep])
        row = found.loc[(a, b)]
        assert row["structures"] == len(keep)
        assert row["mean_difference"] == pytest.approx((y - x).mean())
        assert row["mae"] == pytest.approx((y - x).abs().mean())
        assert row["rmse"] == pytest.approx(np.sqrt(((y - x) ** 2).mean()))
        assert row["spearman"] == pytest.approx(np.corrcoef(x.rank(), y.rank())[0, 1])


def test_method_comparison_leaves_out_what_did_not_converge(store: Store) -> None:
    a, b = stored(store, crystal(a=3.5), crystal(a=3.6))
    for name in "mn":
        method(store, name)
    record(store, result(a, "m", energy=-1.0), result(b, "m", energy=-1.0, converged=False),
           result(a, "n", energy=-2.0), result(b, "n", energy=-5.0, converged=True))  # fmt: skip
    row = store.reduce("method_comparison").iloc[0]
    assert (row["structures"], row["mae"]) == (1, 1.0)
    assert row["spearman"] is pd.NA or row["spearman"] != row["spearman"]


def test_relaxed_structures_are_linked_to_their_parents(store: Store) -> None:
    (a,) = stored(store, crystal(a=3.5))
    method(store, "m")
    parent = result(a)
    merge(store, packed([parent], [{"relaxed": "id"}], produced=[(parent, crystal(a=3.55))]))
    shown = store.show(a)
    assert [row["role"] for row in shown["became"]] == ["relaxed"]
    assert store.show(shown["became"][0]["structure_id"])["made_by"][0]["parent_id"] == a
