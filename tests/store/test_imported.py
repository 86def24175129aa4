"""Results that came with files: they count while their file has them, and belong to their own block."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hand_made import crystal, method, record, result, salt, stored

from mlmat.ingest import ingest
from mlmat.store import Store

SILVER, COPPER, SALT = crystal("Ag", a=4.1), crystal(), salt()


def frame(atoms: Atoms, energy: float | None = None) -> Atoms:
    one = atoms.copy()
    if energy is not None:
        one.calc = SinglePointCalculator(one, energy=energy, forces=np.full((len(one), 3), energy))
    return one


def ingested(store: Store, file: Path, *frames: Atoms, again: bool = False) -> tuple[int, int]:
    """Write a file and ingest it: rows of the ledger that it got, and results."""
    if frames:
        later = file.stat().st_mtime_ns + 10**9 if file.exists() else None
        write(file, list(frames))
        if later is not None:
            os.utime(file, ns=(later, later))
    report = ingest(store, [file], again=again)
    return sum(report.outcomes.values()), report.results


def energies(store: Store, relation: str = "imported") -> list[tuple[str, float]]:
    query = f"SELECT formula, energy FROM {relation} ORDER BY ALL"
    return [tuple(row.values()) for row in store.arrow(query).to_pylist()]  # type: ignore[misc]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.extxyz"


def test_results_follow_their_file(store: Store, file: Path) -> None:
    assert ingested(store, file, frame(SILVER, -1.0), frame(SALT, -20.0), frame(COPPER, -99.0)) == (3, 3)
    assert ingested(store, file, frame(SALT, -20.0), frame(COPPER, -3.0)) == (2, 2)
    assert energies(store) == [("Cu", -3.0), ("NaCl", -20.0)]
    assert store.reduce("ranking")["formula"].tolist() == ["Cu", "NaCl"]
    assert [(row.formula, row.energy) for row in store.asedb().select()] == [("NaCl", -20.0), ("Cu", -3.0)]
    assert ingested(store, file, frame(SALT), frame(COPPER)) == (2, 0)
    assert energies(store) == []
    assert [row.get("energy") for row in store.asedb().select()] == [None, None]
    assert len(store.sql("FROM result")) == 5


def test_a_file_in_which_nothing_changed_keeps_its_results(store: Store, file: Path) -> None:
    ingested(store, file, frame(SILVER, -1.0), frame(SALT, -20.0))
    before = store.sql("FROM current_result ORDER BY result_id")
    assert ingested(store, file, again=True) == (0, 0)
    assert ingested(store, file, frame(SILVER, -1.0), frame(SALT, -20.0)) == (0, 0)
    assert store.sql("FROM current_result ORDER BY result_id").equals(before)
    assert len(before) == 2


def test_each_result_knows_its_block_and_those_of_runners_have_none(store: Store, file: Path) -> None:
    ingested(store, file, frame(SILVER, -1.0), frame(SILVER, -2.0))
    method(store, "m")
    record(store, result(store.sql("SELECT structure_id FROM structure")["structure_id"][0], energy=-9.0))
    query = "SELECT energy, block_index FROM result LEFT JOIN source USING (source_id) ORDER BY energy"
    found = [tuple(row.values()) for row in store.arrow(query).to_pylist()]
    assert found == [(-9.0, None), (-2.0, 1), (-1.0, 0)]


def test_provenance_names_the_file_of_the_result_not_the_first_one(store: Store, tmp_path: Path) -> None:
    for name, energy in (("a", -1.0), ("b", -2.0)):
        ingested(store, tmp_path / f"{name}.extxyz", frame(SILVER, energy), frame(SILVER, energy - 0.5))
    method(store, "m")
    record(store, result(store.sql("SELECT structure_id FROM structure")["structure_id"][0], energy=-9.0))
    found = store.reduce("provenance").sort_values("energy")
    places = [(Path(path).name, block) for path, block in zip(found["path"], found["block"], strict=True)]
    assert places == [("a.extxyz", "0"), *((f"{n}.extxyz", b) for n, b in (("b", "1"), ("b", "0"), ("a", "1"),
                      ("a", "0")))]  # fmt: skip
    assert found["parent_id"].isna().all()


def test_methods_are_compared_by_the_lowest_result_of_a_structure(store: Store, tmp_path: Path) -> None:
    other = crystal("Ag", a=4.4)
    ingested(store, tmp_path / "m1.extxyz", frame(SILVER, -10.0), frame(SILVER, -10.5), frame(SILVER, -10.2),
             frame(other, -9.0))  # fmt: skip
    ingested(store, tmp_path / "m2.extxyz", frame(SILVER, -11.0), frame(SILVER, -11.1), frame(other, -10.0))
    (row,) = store.reduce("method_comparison").to_dict("records")
    assert row["structures"] == 2
    sign = 1 if row["method_a"] == "imported/m1.extxyz" else -1
    assert row["mean_difference"] == pytest.approx(sign * -(0.6 + 1.0) / 2)


def test_a_filter_on_method_or_structure_reaches_the_table(store: Store) -> None:
    ids = stored(store, SILVER, COPPER)
    for name in ("m", "n"):
        method(store, name)
        record(store, *(result(structure_id, name) for structure_id in ids))
    for column, value in (("method_id", "m"), ("structure_id", ids[0])):
        query = f"EXPLAIN (FORMAT json) SELECT energy FROM current_result WHERE {column} = '{value}'"
        scans = scans_of(json.loads(store.arrow(query).to_pylist()[0]["explain_value"])[0])
        found = [scan.get("Filters") for scan in scans if scan["Table"].endswith("result")]
        assert found
        assert all(f"{column} = '{value}'" in str(filters) for filters in found)


def scans_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """What an EXPLAIN says of each table that is read."""
    own = [plan["extra_info"]] if "Table" in plan["extra_info"] else []
    return own + [scan for child in plan["children"] for scan in scans_of(child)]
