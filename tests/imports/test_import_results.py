"""`mlmat import-results`: energies that were computed elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ase.build import bulk
from click.testing import CliRunner
from hand_made import crystal, salt, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import (
    ComputedEntry,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
    TemperatureEnergyAdjustment,
)
from pymatgen.io.ase import AseAtomsAdaptor

from mlmat.cli import main
from mlmat.errors import ReadError, UsageError
from mlmat.imports import Report, import_results
from mlmat.imports._read import Broken, stream
from mlmat.materials.structure import structure_id
from mlmat.reader import Limits
from mlmat.store import Store

NUMBER = st.floats(-1e5, 1e5)
HEADER = "id,formula,energy,correction\n"
NO_FORMULA = "no formula (sodium nitride, NaN, is a missing value to pandas: keep_default_na=False)"


def table(folder: Path, text: str, name: str = "energies.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def entries(folder: Path, found: list[Any], name: str = "entries.json") -> Path:
    path = folder / name
    text = json.dumps([one if isinstance(one, dict) else one.as_dict() for one in found], default=str).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def structure_entry(atoms: Any, energy: float, name: str, **more: Any) -> ComputedStructureEntry:
    return ComputedStructureEntry(AseAtomsAdaptor.get_structure(atoms), energy, entry_id=name, **more)


def phases(store: Store) -> dict[str, dict[str, Any]]:
    return {row["external_id"]: row for row in store.arrow("SELECT * FROM phase").to_pylist()}


def imports(store: Store) -> list[tuple[str, str, str | None]]:
    query = "SELECT place, outcome, reason FROM import_row WHERE current ORDER BY try_cast(split(place, ' ')[2] AS INT)"
    return [tuple(row.values()) for row in store.arrow(query).to_pylist()]  # type: ignore[misc]


def contents(store: Store) -> list[Any]:
    return [store.arrow(f"SELECT * FROM {name} ORDER BY ALL").to_pylist()
            for name in ("result", "entry", "structure", "method", "current_result")]  # fmt: skip


def test_entries_come_out_as_they_went_in(store: Store, tmp_path: Path) -> None:
    found = [
        structure_entry(salt(), -6.75, "mp-1-GGA", correction=-0.5),
        structure_entry(crystal(), -3.5, "mp-2"),
        ComputedEntry(Composition("Na3N"), -11.0, entry_id="mp-3", energy_adjustments=[
            ConstantEnergyAdjustment(-0.25), TemperatureEnergyAdjustment(-0.001, 300, 4)]),
    ]  # fmt: skip
    report = import_results(store, entries(tmp_path, found, "entries.json.gz"), "PBE")
    assert (dict(report.outcomes), report.structures, report.problem) == ({"imported": 3}, 2, None)
    rows = phases(store)
    for entry in found:
        row = rows[entry.entry_id]
        assert row["energy"] == pytest.approx(entry.energy, abs=1e-12)
        assert row["energy_per_atom"] == pytest.approx(entry.energy_per_atom, abs=1e-12)
        amounts = dict(zip(row["elements"], row["amounts"], strict=True))
        assert amounts == entry.composition.get_el_amt_dict()
        assert (row["method"], row["competes"]) == ("PBE", True)
    assert rows["mp-1-GGA"]["structure_id"] == structure_id(salt())
    assert rows["mp-3"]["structure_id"] is None
    assert rows["mp-3"]["formula"] == "Na3N"
    corrections = store.sql("SELECT correction FROM result ORDER BY external_id")["correction"].tolist()
    assert corrections == pytest.approx([-0.5, 0.0, -1.45])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=2)
@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=20, max_size=40))
def test_every_digit_survives_every_format(store: Store, tmp_path: Path, numbers: list[tuple[float, float]]) -> None:
    frame = pd.DataFrame(numbers, columns=["energy", "correction"])
    frame["id"] = [f"x{i}" for i in range(len(frame))]
    frame["formula"] = [f"Li{i + 1}O" for i in range(len(frame))]
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    dicts = [{"entry_id": r["id"], "composition": {"Li": i + 1, "O": 1}, "energy": r["energy"],
              "correction": r["correction"]} for i, r in enumerate(frame.to_dict("records"))]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, dicts)))
    for suffix in ("csv", "parquet", "jsonl"):
        report = import_results(store, tmp_path / f"a.{suffix}", suffix)
        assert (sum(report.outcomes.values()), report.taken) == (len(frame), len(frame))
    found = store.sql("SELECT external_id, method, energy FROM phase")
    for method in ("csv", "parquet", "jsonl"):
        mine = found[found.method == method].set_index("external_id").energy
        for one in frame.to_dict("records"):
            assert mine[one["id"]] == one["energy"] + one["correction"]


def test_every_row_that_is_refused_has_its_line_and_reason(store: Store, tmp_path: Path) -> None:
    text = HEADER + (
        "a,NaN,-3.5,\n"
        "b,Li2O,nan,\n"
        'c,"Ca(O\nH)2",-30,\n'
        "d,Li+,-1,\n"
        "e,Li,,\n"
        "f,,-1,\n"
        "\n"
        "g,Li,-1,x\n"
        "h,Li,-1,0,surplus\n"
        "a,NaN,-3.5,\n"
        "a,NaN,-3.6,\n"
        "i,D2O,-14,0.5\n"
    )  # fmt: skip
    report = import_results(store, table(tmp_path, text), "m")
    found = {place: (outcome, reason) for place, outcome, reason in imports(store)}
    assert found["line 2"] == found["line 4"] == found["line 14"] == ("imported", None)
    assert found["line 3"] == ("refused", "energy is not a number: nan")
    assert found["line 6"] == ("refused", "its formula has a charge: Li+")
    assert found["line 7"] == ("refused", "no number for energy")
    assert found["line 8"] == ("refused", NO_FORMULA)
    assert found["line 10"] == ("refused", "correction is not a number: x")
    assert found["line 11"] == ("refused", "5 values where the header names 4")
    assert found["line 12"] == ("duplicate", "says the same as line 2")
    assert found["line 13"] == ("refused", "its id is that of line 2, which says something else")
    assert dict(report.outcomes) == {"imported": 3, "refused": 7, "duplicate": 1}
    rows = phases(store)
    assert (rows["a"]["formula"], rows["a"]["energy"]) == ("NaN", -3.5)
    assert (rows["i"]["elements"], rows["i"]["energy"]) == (["H", "O"], -13.5)
    assert report.warnings == {"isotopes of hydrogen count as H": 1}


def test_importing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    found = [structure_entry(salt(), -6.75, "mp-1"), ComputedEntry("Li2O", -14.0, entry_id="mp-2"), {"energy": 1}]
    file = entries(tmp_path, found)
    import_results(store, file, "PBE")
    before, ledger = contents(store), imports(store)
    for _ in range(2):
        report = import_results(store, file, "PBE")
        assert dict(report.outcomes) == {"unchanged": 2, "refused": 1}
        assert (contents(store), imports(store)) == (before, ledger)
    assert store.sql("SELECT outcome FROM run")["outcome"].tolist() == ["finished"] * 3


def test_what_changed_is_replaced_and_what_is_gone_counts_no_more(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1.9,\nb,Li2O,-14,\nc,O2,-9.8,\n")
    import_results(store, file, "m")
    first = phases(store)
    table(tmp_path, HEADER + "b,Li2O,-14.5,\na,Li,-1.9,\n")
    report = import_results(store, file, "m")
    assert (dict(report.outcomes), report.gone) == ({"replaced": 1, "unchanged": 1}, 1)
    now = phases(store)
    assert {name: row["energy"] for name, row in now.items()} == {"a": -1.9, "b": -14.5}
    assert now["a"]["result_id"] == first["a"]["result_id"]
    assert store.sql("SELECT count(*) AS n FROM result")["n"][0] == 4
    assert [problem for problem in store.violations() if problem[1]] == []


def test_an_id_is_of_its_method_whatever_file_says_it(store: Store, tmp_path: Path) -> None:
    one = table(tmp_path, HEADER + "a,Li,-1.9,\nb,Li2O,-14,\n", "one.csv")
    two = table(tmp_path, HEADER + "b,Li2O,-14,\nc,O2,-9.8,\n", "two.csv")
    import_results(store, one, "m")
    assert dict(import_results(store, two, "m").outcomes) == {"unchanged": 1, "imported": 1}
    table(tmp_path, HEADER + "a,Li,-1.9,\n", "one.csv")
    assert import_results(store, one, "m").gone == 1
    assert sorted(phases(store)) == ["a", "b", "c"]  # the other file still says b
    import_results(store, two, "another")
    assert len(store.reduce("phase")) == 5


def test_two_entries_of_one_crystal_stay_two(store: Store, tmp_path: Path) -> None:
    found = [structure_entry(salt(), -6.75, "mp-1"), structure_entry(salt(), -6.7, "mp-2")]
    import_results(store, entries(tmp_path, found), "PBE")
    assert {name: row["energy"] for name, row in phases(store).items()} == {"mp-1": -6.75, "mp-2": -6.7}
    assert store.sql("SELECT count(*) AS n FROM structure")["n"][0] == 1


def test_rows_without_id_are_told_apart_by_their_place(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for folder, energy in ((tmp_path, -1.0), (tmp_path / "other", -2.0)):
        import_results(store, table(folder, f"formula,energy\nLi,{energy}\nLi,{energy}\n"), "m")
    assert sorted(store.reduce("phase")["energy"]) == [-2.0, -2.0, -1.0, -1.0]


def test_structures_are_named_or_come_as_cif(store: Store, tmp_path: Path) -> None:
    (known,) = stored(store, salt())
    cif = tmp_path / "cu.cif"
    crystal().write(cif)
    frame = pd.DataFrame(
        [
            {"id": "named", "energy": -6.0, "structure_id": known},
            {"id": "both", "formula": "NaCl", "energy": -6.1, "structure_id": known},
            {"id": "double", "formula": "Na2Cl2", "energy": -12.0, "structure_id": known},
            {"id": "other", "formula": "KCl", "energy": -6.0, "structure_id": known},
            {"id": "unknown", "formula": "NaCl", "energy": -6.0, "structure_id": "0" * 20},
            {"id": "cif", "energy": -3.5, "cif": cif.read_text()},
            {"id": "broken", "formula": "Cu", "energy": -3.4, "cif": "data_x\n_cell_length_a 1\n"},
            {"id": "lost", "energy": -3.4, "cif": "data_x\n_cell_length_a 1\n"},
        ]
    )
    frame.to_parquet(tmp_path / "t.parquet")
    report = import_results(store, tmp_path / "t.parquet", "m")
    rows = phases(store)
    assert {name: row["structure_id"] for name, row in rows.items()} == {
        "named": known, "both": known, "double": None, "cif": structure_id(crystal()), "broken": None,
    }  # fmt: skip
    assert rows["double"]["energy_per_atom"] == -3.0
    assert rows["named"]["amounts"] == [1.0, 1.0]
    assert report.outcomes["refused"] == 3
    assert any("its structure is left out: unreadable" in text for text in report.warnings)
    reasons = {place: reason for place, outcome, reason in imports(store) if outcome == "refused"}
    assert reasons["row 4"] == "its formula ClK is not that of its structure ClNa"
    assert reasons["row 5"].startswith("no structure 00000000000000000000 in this store")
    assert reasons["row 8"].startswith("no formula, and no structure that would tell it: unreadable")
    ranked = store.reduce("ranking").set_index("result_id")["energy_per_atom"]
    assert sorted(ranked) == [-3.5, -3.05, -3.0]


def test_structures_that_came_along_are_pending_only_when_asked_for(store: Store, tmp_path: Path) -> None:
    import_results(store, entries(tmp_path, [structure_entry(bulk("Al"), -3.7, "mp-134")]), "PBE")
    method = store.find_method("PBE")
    assert store.pending("new").num_rows == 0
    assert store.pending("new", of=method)["structure_id"].to_pylist() == [structure_id(bulk("Al"))]


def test_provenance_says_which_file(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1.9,\n")
    import_results(store, file, "m")
    (row,) = store.arrow("SELECT * FROM provenance").to_pylist()
    assert (row["path"], row["block"], row["formula"], row["method"]) == (str(file), "line 2", "Li", "m")
    assert row["file_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    (run,) = store.arrow("SELECT * FROM run").to_pylist()
    assert (run["command"], run["method_id"], run["outcome"]) == ("import-results", row["method_id"], "finished")


def test_entries_are_found_where_they_are(store: Store, tmp_path: Path) -> None:
    documents: list[Any] = [
        {"entries": [{"composition": {"Li": 1}, "energy": -1.1}]},
        {"mp-1": {"composition": {"Li": 1}, "energy": -1.2}},
        {"composition": {"Li": 1}, "energy": -1.3},
        [[{"composition": "Li", "energy": -1.4, "energy_adjustments": None, "correction": None}]],
        [{"composition": {"Li": 1}, "energy": -1.5, "@module": "os", "@class": "system"}],
    ]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, documents)))
    import_results(store, tmp_path / "e.jsonl", "m")
    found = phases(store)
    assert sorted(row["energy"] for row in found.values()) == [-1.5, -1.4, -1.3, -1.2, -1.1]
    assert found["mp-1"]["energy"] == -1.2


NONSENSE: list[tuple[Any, str]] = [
    ({"composition": {"Li": 1}}, "no number for energy"),
    ({"energy": -1.0}, NO_FORMULA),
    ({"composition": {"Li": 1}, "energy": float("nan")}, "energy is not a finite number: nan"),
    ({"composition": {"Li": 1}, "energy": "x"}, "energy is not a number: x"),
    ({"composition": {"Li+": 1}, "energy": -1}, "its composition has a charge of +1 e"),
    ({"composition": {"Li": 1}, "energy": -1, "entry_id": [1]}, "its id is neither a text nor a whole number: [1]"),
    ({"composition": {"Li": 1}, "energy": -1, "correction": "a lot"}, "correction is not a number: a lot"),
    ({"composition": {"Li": 1}, "energy": -1, "structure": {"charge": 1, "sites": []}}, "its cell has a charge of 1 e"),
    ({"composition": {"Li": 1}, "energy": -1, "energy_adjustments": [{"@class": "New"}]},
     "correction is not a number: unknown energy_adjustments"),
    (7, "not an entry, but a value"),
    ({"hull": 1}, NO_FORMULA),
]  # fmt: skip


def test_entries_that_make_no_sense_are_refused(store: Store, tmp_path: Path) -> None:
    good = {"composition": {"Li": 1}, "energy": -1.9, "entry_id": "good"}
    (tmp_path / "e.json").write_text(json.dumps([*(entry for entry, _ in NONSENSE), good]))
    report = import_results(store, tmp_path / "e.json", "m")
    assert [reason for _, _, reason in imports(store)] == [*(reason for _, reason in NONSENSE), None]
    assert dict(report.outcomes) == {"refused": len(NONSENSE), "imported": 1}
    assert report.refused[0] == "entry 1: no number for energy"


def test_adjustments_rule_over_a_correction_that_contradicts_them(store: Store, tmp_path: Path) -> None:
    entry = {"composition": {"Li": 1}, "energy": -1.0, "correction": -9.0,
             "energy_adjustments": [{"value": -0.5}, {"adj_per_atom": -0.25, "n_atoms": 2}]}  # fmt: skip
    report = import_results(store, entries(tmp_path, [entry]), "m")
    assert [row["energy"] for row in phases(store).values()] == [-2.0]
    assert report.warnings == {"correction says -9 eV, its energy_adjustments sum up to -1 eV: these are taken": 1}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", b"{", "not JSON"), ("x.json", b"[]", "no entries in it"), ("x.json", b"", "empty"),
        ("x.json.gz", b"\x1f\x8bnothing", "broken gzip"), ("x.csv", b"a,b\n1,2\n", "no column energy"),
        ("x.csv", b"energy\n1\n", "no column formula"), ("x.csv", b"energy,Energy,formula\n1,2,Li\n", "two columns"),
        ("x.parquet", b"PAR1", "broken Parquet"), ("x.csv", b"", "no column energy"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read_say_so(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    broken = list(stream(str(tmp_path / name), Limits()))[-1]
    assert isinstance(broken, Broken)
    assert said in broken.reason


def test_an_import_of_a_broken_file_has_failed(store: Store, tmp_path: Path) -> None:
    report = import_results(store, table(tmp_path, "a,b\n1,2\n"), "m")
    assert report.problem == "no column energy, in eV per cell; the table has: a, b"
    assert (report.taken, store.sql("SELECT outcome FROM run")["outcome"][0]) == (0, "failed")


def test_a_file_that_breaks_off_takes_nothing_away(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1.9,\nb,Li2O,-14,\n")
    import_results(store, file, "m")
    file.write_bytes((HEADER + "a,Li,-1.9,\n").encode() + b'"' + b"x" * 3)  # an open quote takes the rest as one value
    report = import_results(store, file, "m")
    assert report.outcomes["unchanged"] == 1
    file.write_text("formula\nLi\n")
    assert import_results(store, file, "m").gone == 0
    assert "a" in phases(store)


def test_names_that_mean_something_else_are_refused(store: Store, tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a,Li,-1.9,\n")
    for name in ("", "  ", "a\nb", "x" * 101, "imported"):
        with pytest.raises(UsageError, match="--method takes a name"):
            import_results(store, file, name)
    store.start_run(
        {"run_id": "01a207f8-f315-7000-85ca-e9d5e950c76b", "command": "x", "arguments": "", "started_at": "2026-01-01"},
        {"method_id": "m1", "method": "mace/small", "runner": "mace", "runner_version": "1", "settings": {}},
    )
    for name in ("mace", "mace/small", "m1"):
        with pytest.raises(UsageError, match="already; give --method another name"):
            import_results(store, file, name)
    with pytest.raises(ReadError, match="no such file"):
        import_results(store, tmp_path / "no.csv", "m")
    with pytest.raises(ReadError, match="results are read from"):
        import_results(store, table(tmp_path, "", "x.txt"), "m")


def command(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["import-results", *arguments], catch_exceptions=False)


def test_the_command(tmp_path: Path) -> None:
    db = str(tmp_path / "x.duckdb")
    missing = command(str(tmp_path / "no.csv"), "--method", "m", "--db", db)
    assert (missing.exit_code, Path(db).exists()) == (1, False)
    file = table(tmp_path, "id,formula,energy,bandgap\na,NaN,-3.5,1.2\nb,Li+,1,0\n")
    done = command(str(file), "--method", "PBE", "--db", db)
    assert done.exit_code == 0
    assert "1 imported" in done.output
    assert "refused: line 3: its formula has a charge: Li+" in done.output
    assert "columns that are not used: bandgap" in done.output
    bad = command(str(table(tmp_path, "formula,energy\nLi+,1\n", "bad.csv")), "--method", "PBE", "--db", db)
    assert bad.exit_code == 1


def test_a_report_of_nothing_has_taken_nothing() -> None:
    assert Report().taken == 0


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("system", ["Li-Co-Ni-O", "Cl-Mn-Na-O-Y"])
def test_entries_of_the_materials_project_are_all_taken(store: Store, shared: Path, system: str) -> None:
    folder = shared / "data" / "references"
    report = import_results(store, folder / f"entries_{system}.json.gz", "MP")
    wanted = pd.read_csv(folder / f"hull_mp_{system}.csv", keep_default_na=False).set_index("entry_id")
    assert (dict(report.outcomes), report.problem) == ({"imported": len(wanted)}, None)
    found = store.sql("SELECT * FROM phase").set_index("external_id")
    assert set(found.index) == set(wanted.index)
    assert (found.energy - wanted.corrected_energy).abs().max() < 1e-9
    assert (found.nsites - wanted.natoms).abs().max() == 0
    assert found.structure_id.notna().all()
