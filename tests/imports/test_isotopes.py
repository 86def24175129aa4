"""D and T become H, and the row says so, wherever they stand: formula, composition, structure, or but the id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pymatgen.entries.computed_entries import ComputedEntry

from mlmat.imports import import_results
from mlmat.store import Store


def cif(symbol: str) -> str:
    lengths = "".join(f"_cell_length_{axis} 4\n" for axis in "abc")
    angles = "".join(f"_cell_angle_{name} 90\n" for name in ("alpha", "beta", "gamma"))
    columns = "".join(f"_atom_site_{name}\n" for name in ("label", "type_symbol", "fract_x", "fract_y", "fract_z"))
    sites = f"H1 {symbol} 0 0 0\nH2 {symbol} 0.4 0 0\nO1 O 0.2 0.2 0\n"
    return f"data_x\n{lengths}{angles}loop_\n{columns}{sites}"


def structure(symbol: str) -> dict[str, object]:
    sites = [{"species": [{"element": e, "occu": 1}], "abc": at} for e, at in
             ((symbol, [0, 0, 0]), (symbol, [0.4, 0, 0]), ("O", [0.2, 0.2, 0]))]  # fmt: skip
    return {"@module": "pymatgen.core.structure", "@class": "Structure", "sites": sites,
            "lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}}  # fmt: skip


@pytest.mark.parametrize("symbol", ["D", "T"])
def test_an_isotope_is_named_wherever_it_stands(store: Store, tmp_path: Path, symbol: str) -> None:
    entries = [
        {"composition": {symbol: 2, "O": 1}, "energy": -9, "entry_id": "amounts"},
        {"composition": {"H": 2, "O": 1}, "energy": -9, "entry_id": "sites", "structure": structure(symbol)},
        ComputedEntry(f"{symbol}2O", -9, entry_id=f"{symbol}2O").as_dict(),
    ]
    (tmp_path / "entries.json").write_text(json.dumps(entries))
    assert import_results(store, tmp_path / "entries.json", "PBE").outcomes == {"imported": 3}
    found = store.sql("SELECT chemical_formula AS formula, warnings FROM import_row")
    assert found["formula"].tolist() == ["H2O"] * 3
    assert all(any("isotopes of hydrogen" in text for text in texts) for texts in found["warnings"]), found


def test_a_column_of_cifs_keeps_what_the_reader_noticed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text('id,energy,cif\na,-9,"' + cif("D") + '"\nb,-9,"' + cif("H") + '"\n')
    import_results(store, tmp_path / "table.csv", "PBE")
    (heavy, light) = store.sql("SELECT warnings FROM import_row ORDER BY external_id")["warnings"]
    assert "deuterium" in " ".join(heavy)
    assert "deuterium" not in " ".join(light)


def test_an_element_that_nobody_knows_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,energy,formula\na,-9,Q2O\nb,-9,J\n")
    assert import_results(store, tmp_path / "table.csv", "PBE").outcomes == {"refused": 2}
    assert store.sql("SELECT reason FROM import_row ORDER BY place")["reason"].tolist() == [
        "Q is not an element", "J is not an element"
    ]  # fmt: skip
