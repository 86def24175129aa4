"""Files of results that come again, come twice at once, or have odd rows: nothing that counts is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hand_made import crystal, salt, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imports.test_import_results import HEADER, entries, phases, structure_entry, table

from mlmat import provenance
from mlmat.errors import StoreLocked
from mlmat.imports import import_results, method_row
from mlmat.imports._read import Broken, stream
from mlmat.reader import Limits
from mlmat.store import Store, open_store

ODD = [
    ({"composition": {"Li.+": 1}, "energy": -1.0}, "Li.+ is not an element"),
    ({"composition": {"Li": 1e300}, "energy": -1.0}, "1e+300 atoms of Li in its formula"),
    ({"composition": "LiO" + "9" * 400, "energy": -1.0}, "inf atoms of O in its formula"),
    ({"composition": "Li0.0000000001O", "energy": -1.0}, "1e-10 atoms of Li in its formula"),
    ({"composition": "Li", "energy": 1e308, "correction": 1e308}, "energy with its correction is not a finite number"),
    ({"composition": "Li", "energy": -1, "correction": int("1" * 400), "energy_adjustments": [{"value": 1}]},
     "correction is not a number"),
    ({"composition": "Li", "energy": -1, "energy_adjustments": ["x"]}, "correction is not a number"),
]  # fmt: skip


def flaws(store: Store) -> list[Any]:
    return [check for check in store.violations() if check[1]]


def ids(store: Store) -> dict[str, float]:
    return {key: row["energy"] for key, row in phases(store).items()}


def test_a_row_that_a_file_says_twice_is_still_there_after_the_next_import(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1,\na,Li,-1,\na,Li,-2,\nb,O,-2,\n")
    import_results(store, file, "m")
    for _ in range(2):
        report = import_results(store, file, "m")
        assert dict(report.outcomes) == {"unchanged": 2, "duplicate": 1, "refused": 1}
        assert (report.gone, ids(store), flaws(store)) == (0, {"a": -1, "b": -2}, [])


def test_what_was_refused_for_its_id_is_taken_once_it_has_it_for_itself(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1,\na,Li,-2,\n")
    import_results(store, file, "m")
    table(tmp_path, HEADER + "a,Li,-2,\n")
    import_results(store, file, "m")
    assert (ids(store), flaws(store)) == ({"a": -2}, [])


ROW = st.tuples(st.sampled_from("abc"), st.sampled_from(["Li", "O2", "Li2O", "?"]), st.integers(-3, -1))


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(ROW, max_size=5), min_size=2, max_size=4))
def test_after_any_imports_of_a_file_the_store_says_what_the_last_one_said(
    tmp_path_factory: pytest.TempPathFactory, versions: list[list[tuple[str, str, int]]]
) -> None:
    """The first row of an id that can be read counts."""
    folder = tmp_path_factory.mktemp("versions")
    store = open_store(folder / "s.duckdb", create=True)
    for version in versions:
        text = HEADER + "".join(f"{name},{formula},{energy},\n" for name, formula, energy in version)
        import_results(store, table(folder, text), "m")
        said: dict[str, float] = {}
        for name, formula, energy in version:
            if formula != "?":
                said.setdefault(name, energy)
        assert (ids(store), flaws(store)) == (said, [])


def test_one_import_of_a_method_at_a_time(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1,\n")
    import_results(store, file, "m")
    with (
        store.driver(method_row("m")["method_id"], "somebody"),
        pytest.raises(StoreLocked, match="somebody"),
    ):
        import_results(store, file, "m")
    assert import_results(store, file, "m").outcomes == {"unchanged": 1}


def test_several_entries_in_one_line(store: Store, tmp_path: Path) -> None:
    four = [{"composition": {e: 1}, "energy": -1.0 * i} for i, e in enumerate(["Li", "O", "N", "F"], 1)]
    four[0]["entry_id"] = four[1]["entry_id"] = "x"
    last = {"composition": {"K": 1}, "energy": -5.0}
    (tmp_path / "l.jsonl").write_text(f"{json.dumps(four)}\n\n{json.dumps(last)}\n{{\n")
    report = import_results(store, tmp_path / "l.jsonl", "m")
    assert dict(report.outcomes) == {"imported": 4, "refused": 2}
    assert report.refused[0] == "line 1 entry 2: its id is that of line 1 entry 1, which says something else"
    assert report.refused[1].startswith("line 4: not JSON")
    assert sorted(row["energy"] for row in store.reduce_arrow("phase").to_pylist()) == [-5, -4, -3, -1]
    assert flaws(store) == []


def test_an_odd_row_costs_itself_alone(store: Store, tmp_path: Path) -> None:
    good = {"composition": {"O": 1}, "energy": -2.0, "entry_id": "good"}
    (tmp_path / "odd.json").write_text(json.dumps([*(entry for entry, _ in ODD), good]))
    report = import_results(store, tmp_path / "odd.json", "m")
    assert dict(report.outcomes) == {"refused": len(ODD), "imported": 1}
    said = store.sql("SELECT reason FROM import_row WHERE outcome = 'refused' ORDER BY place")["reason"]
    for reason, (_, expected) in zip(said, ODD, strict=True):
        assert expected in reason
    assert (report.problem, ids(store)) == (None, {"good": -2.0})


def test_oxidation_states_as_pymatgen_writes_them(store: Store, tmp_path: Path) -> None:
    found = [{"composition": {"Fe2.67+": 3, "O2-": 4}, "energy": -1.0, "entry_id": "mixed valence"},
             {"composition": {"Fe3+,spin=5": 2, "O2-": 3}, "energy": -2.0, "entry_id": "spin"},
             {"composition": {"Fe3+": 2, "O2-": 4}, "energy": -3.0, "entry_id": "charged"}]  # fmt: skip
    import_results(store, entries(tmp_path, found), "m")
    assert {key: row["formula"] for key, row in phases(store).items()} == {"mixed valence": "Fe3O4", "spin": "Fe2O3"}


@pytest.mark.parametrize("name", ["energies.csv", "energies.parquet"])
def test_a_column_that_is_there_twice_is_no_choice(store: Store, tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if name.endswith("csv"):
        table(tmp_path, "id,formula,energy,energy\na,Li,-1,-7\n", name)
    else:
        columns = [pa.array(["Li"]), pa.array([-1.0]), pa.array([-7.0])]
        pq.write_table(pa.Table.from_arrays(columns, ["formula", "energy", "energy"]), tmp_path / name)
    report = import_results(store, tmp_path / name, "m")
    assert (report.problem, phases(store)) == ("two columns are called energy", {})


def test_a_table_and_its_compressed_namesake_are_two_files(store: Store, tmp_path: Path) -> None:
    import gzip

    table(tmp_path, "formula,energy\nLi,-1\n", "e.csv")
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress(b"formula,energy\nLi,-2\n"))
    for name in ("e.csv", "e.csv.gz", "e.csv"):
        import_results(store, tmp_path / name, "m")
    assert sorted(ids(store).values()) == [-2, -1]


def test_a_file_that_is_gone_when_it_is_read_is_said_to_be_so(tmp_path: Path) -> None:
    assert list(stream(str(tmp_path / "gone.csv"), Limits())) == [Broken("No such file or directory")]


def test_methods_are_compared_by_id_where_one_has_no_structures(store: Store, tmp_path: Path) -> None:
    found = [structure_entry(crystal("Al", 4.05), -3.7, "mp-134"), structure_entry(crystal("Al", 4.05), -3.6, "mp-135")]
    import_results(store, entries(tmp_path, found), "PBE")
    import_results(store, table(tmp_path, HEADER + "mp-134,Al,-3.9,\nmp-135,Cu,-1,\n"), "r2SCAN")
    (row,) = store.arrow("FROM method_comparison").to_pylist()
    assert (row["structures"], abs(row["mean_difference"])) == (1, pytest.approx(0.2))


def test_a_file_takes_its_hash_with_it(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1,\n")
    import_results(store, file, "m")
    assert store.sql("SELECT file_sha256 FROM import_row")["file_sha256"].tolist() == [provenance.sha256(file)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
@pytest.mark.parametrize("said", [{}, {"correction": -1.0}])
def test_an_adjustment_that_is_no_number_refuses_the_energy(
    store: Store, tmp_path: Path, value: float | None, said: dict[str, float]
) -> None:
    entry = {"composition": {"Li": 1}, "energy": -1.0, "energy_adjustments": [{"value": value}, {"value": -1.0}]}
    nothing = {"composition": {"Li": 1}, "energy": -1.0, "correction": float("nan")}
    report = import_results(store, entries(tmp_path, [entry | said, nothing]), "m")
    assert dict(report.outcomes) == {"refused": 2}
    assert all("correction is not a number" in line for line in report.refused)


def test_rows_of_a_table_as_json(store: Store, tmp_path: Path) -> None:
    import pandas as pd

    rows = pd.DataFrame(
        {"id": ["a", "b"], "formula": ["NaN", "Li2O"], "energy": [-1.0, -14.0], "correction": [None, 1]}
    )
    rows.to_json(tmp_path / "a.json", orient="records")
    rows.to_json(tmp_path / "b.jsonl", orient="records", lines=True)
    for name in ("a.json", "b.jsonl"):
        report = import_results(store, tmp_path / name, name)
        assert dict(report.outcomes) == {"imported": 2}
        assert ids(store) == {"a": -1.0, "b": -13.0}


def test_structures_without_energies_are_told_where_to_go(store: Store, tmp_path: Path) -> None:
    one = structure_entry(salt(), -1.0, "x").structure.as_dict()
    report = import_results(store, entries(tmp_path, [one]), "m")
    assert report.refused == ["entry 1: a structure without an energy (mlmat ingest takes structures)"]


def test_formulas_are_reduced_where_their_amounts_are_simple_fractions(store: Store, tmp_path: Path) -> None:
    text = "a,Li0.5CoO2,-1,\nb,LiCo2O4,-2,\nc,Li0.333333CoO2,-1,\nd,Li0.1234567CoO2,-1,\ne,CuSO4.5H2O,-1,\nf,,-1,\n"
    report = import_results(store, table(tmp_path, HEADER + text), "m")
    found = {key: row["formula"] for key, row in phases(store).items()}
    assert found == {"a": "Li(CoO2)2", "b": "Li(CoO2)2", "c": "Li(CoO2)3", "d": "Li0.123457CoO2"}
    assert report.refused[0] == "line 6: a hydrate? write all its atoms without a point: CuSO4.5H2O"
    assert "keep_default_na=False" in report.refused[1]


def test_warnings_of_many_rows_are_counted_as_one_kind(store: Store, tmp_path: Path) -> None:
    rows = [structure_entry(salt(), -1.0 * n, f"x{n}").as_dict() | {"composition": {"Na": n, "Cl": n}} for n in (2, 3)]
    report = import_results(store, entries(tmp_path, rows), "m")
    (said,) = report.warnings
    assert (report.warnings[said], "energy being of another cell" in said) == (2, True)
    (first, _) = store.sql("SELECT warnings[1] AS w FROM import_row ORDER BY place")["w"]
    assert first.endswith("(2 atoms, not 4)")


def test_one_energy_of_a_named_structure_in_a_file_without_ids(store: Store, tmp_path: Path) -> None:
    (rock,) = stored(store, salt())
    file = table(tmp_path, f"structure_id,energy\n{rock},-6\n{rock},-9\n")
    report = import_results(store, file, "m")
    assert dict(report.outcomes) == {"imported": 1, "refused": 1}
    assert ids(store) == {rock: -6.0}
