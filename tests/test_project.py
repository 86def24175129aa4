"""What a script or a notebook gets from `mlmat.open`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from hand_made import add, block, crystal, method, record, result, stored

import mlmat
from mlmat.errors import StoreError
from mlmat.project import Project


@pytest.fixture
def bench(tmp_path: Path) -> Project:
    return mlmat.open(tmp_path / "bench.duckdb", create=True)


def test_the_commands_are_methods(bench: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "metals"
    folder.mkdir()
    for metal in ("Al", "Cu"):
        bulk(metal).write(folder / f"{metal}.cif")
    assert bench.ingest(folder).outcomes == {"stored": 2}
    summary = bench.screen("mlmat.example_runner", config="threads")
    assert summary.outcome == "finished"
    assert sorted(bench.reduce("ranking")["formula"]) == ["Al", "Cu"]
    assert bench.screen("mlmat.example_runner", config="threads").done == 0
    assert bench.export(tmp_path / "best", where="rank = 1").written == 2
    assert sorted(bench.ingest(tmp_path / "best").outcomes.items()) == [("duplicate", 2)]
    said = capsys.readouterr()
    assert said.out == ""
    assert "screen" in said.err


def test_a_missing_formula_is_not_sodium_nitride(bench: Project) -> None:
    stored(bench, bulk("NaN", "rocksalt", a=4.6))
    frame = bench.sql(
        "SELECT chemical_formula_reduced AS formula, declared_formula, nsites, NULL::INTEGER AS number, "
        "NULL::BOOLEAN AS truth FROM structure LEFT JOIN source USING (structure_id) "
        "UNION ALL SELECT NULL, NULL, NULL, 3, true ORDER BY formula NULLS LAST"
    )
    assert frame["formula"][0] == "NNa" or frame["formula"][0] == "NaN"
    assert frame["formula"].isna().tolist() == [False, True]
    assert frame["formula"][1] is pd.NA
    assert str(frame["nsites"].dtype) == "Int32"
    assert frame["number"][1] == 3
    assert str(frame["truth"].dtype) == "boolean"


def test_text_that_says_nan_stays_text(bench: Project) -> None:
    frame = bench.sql("SELECT * FROM (VALUES ('NaN'), (NULL)) AS t(formula)")
    assert frame["formula"][0] == "NaN"
    assert frame["formula"].isna().tolist() == [False, True]


def test_arrow_and_polars_by_choice(bench: Project) -> None:
    polars = pytest.importorskip("polars")
    stored(bench, crystal())
    query = "SELECT structure_id, nsites, lattice_vectors FROM structure"
    assert bench.arrow(query).num_rows == 1
    frame = bench.polars(query)
    assert isinstance(frame, polars.DataFrame)
    assert frame["nsites"].to_list() == bench.sql(query)["nsites"].tolist()


def test_a_structure_for_pymatgen(bench: Project) -> None:
    atoms = crystal()
    atoms.set_initial_magnetic_moments(np.arange(len(atoms)) + 1.0)
    (key,) = stored(bench, atoms)
    structure = bench.structure(key[:8])
    assert structure.lattice.matrix == pytest.approx(atoms.cell[:])
    assert structure.cart_coords == pytest.approx(atoms.positions)
    assert structure.site_properties["magmom"] == pytest.approx(atoms.get_initial_magnetic_moments())
    assert "structure_id" not in structure.properties
    with pytest.raises(StoreError, match="no structure"):
        bench.structure("ffffffff")


def test_a_notebook_shows_counts_and_pictures(bench: Project) -> None:
    (key,) = stored(bench, crystal())
    add(bench, block("/<b>bad</b>.cif", None, "unreadable"))
    method(bench, "m", "emt")
    record(bench, result(key))
    text = bench._repr_html_()
    assert "<td>stored</td><td>1</td>" in text
    assert "emt" in text
    picture = bench.picture(key)._repr_png_()
    assert picture.startswith(b"\x89PNG")


def test_results_from_elsewhere(bench: Project, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("id,formula,energy\n7,NaN,-9.6\n")
    assert bench.import_results(tmp_path / "e.csv", "PBE").taken == 1
    assert bench.reduce("imports")["external_id"].tolist() == ["7"]
    (result,) = bench.arrow("SELECT result_id::VARCHAR AS id FROM result")["id"].to_pylist()
    assert bench.show(result)["results"][0]["came_with"] == str(tmp_path / "e.csv")
    assert [check for check in bench.violations() if check[1]] == []
