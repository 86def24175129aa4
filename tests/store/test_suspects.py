"""Results that are not believed: by their numbers, their structures, the crystals that ship; and hulls then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ase import Atoms
from ase.build import bulk
from hand_made import crystal, method, record, result, salt, stored

from mlmat.ingest import ingest
from mlmat.materials.structure import to_row
from mlmat.reader import read
from mlmat.references import files

if TYPE_CHECKING:
    from pathlib import Path

    from mlmat.store import Store

DECLARED = {"stress": "DOUBLE[6] -- eV/Å³, Voigt order", "fmax": "DOUBLE -- eV/Å, largest force"}
GPA = 160.21766208


def suspects(store: Store) -> dict[str, str]:
    return {str(r): why for r, why in store.sql("SELECT result_id, suspect FROM suspects").itertuples(index=False)}


def test_the_polymorphs_that_references_are_checked_against_are_those_that_ship(store: Store, tmp_path: Path) -> None:
    [path] = files(["elements"], tmp_path)
    atoms = [block.atoms for block in read("elements.cif", path.read_bytes()) if block.atoms is not None]
    known = store.sql("SELECT structure_id, element FROM reference_polymorph").itertuples(index=False)
    ours = {(row["structure_id"], row["elements"][0]) for row in map(to_row, atoms)}
    assert {tuple(row) for row in known} == ours
    assert len(ours) == 179


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"stress": [-301 / GPA] * 3 + [0.0] * 3}, "pressure 301 GPa"),
        ({"stress": [61 / GPA] * 3 + [0.0] * 3}, "pressure -61 GPa"),
        ({"fmax": 20.5}, "largest force 20.5 eV/Å"),
        ({"stress": [-250 / GPA] * 3 + [0.0] * 3, "fmax": 19.0}, None),
        ({"stress": None, "fmax": None}, None),
    ],
)
def test_numbers_that_no_crystal_has(store: Store, values: dict[str, Any], why: str | None) -> None:
    method(store, "m")
    [key] = stored(store, crystal())
    row = result(key, energy=-4.0)
    record(store, row, values=[values], declared=DECLARED)
    assert suspects(store) == ({row["result_id"]: why} if why else {})
    expected = {"rank": None, "reason": f"suspect: {why}"} if why else {"rank": 1, "reason": None}
    assert store.arrow("SELECT rank, reason FROM ranking").to_pylist() == [expected]


def test_columns_without_these_units_are_not_judged(store: Store) -> None:
    method(store, "m")
    [key] = stored(store, crystal())
    row = result(key, energy=-4.0)
    declared = {"stress": "DOUBLE[6] -- GPa", "fmax": "DOUBLE"}
    record(store, row, values=[{"stress": [-400.0] * 6, "fmax": 100.0}], declared=declared)
    assert suspects(store) == {}


def test_forces_are_judged_where_their_largest_is_not_given(store: Store) -> None:
    method(store, "m")
    [key] = stored(store, salt())
    row = result(key, energy=-4.0)
    record(store, row, values=[{"forces": [[0, 0, 0], [12.0, 16.1, 0]]}], declared={"forces": "DOUBLE[3][] -- eV/Å"})
    assert suspects(store) == {row["result_id"]: "largest force 20.1 eV/Å"}


def test_an_energy_belongs_to_the_relaxed_structure(store: Store) -> None:
    """What fell together or flew apart is suspect; what was computed as it was handed in is judged as that."""
    method(store, "m")
    keys = stored(store, salt(), salt(5.7), salt(5.8), salt(2.4), salt(5.5), salt(4.6))
    rows = [result(key, energy=-e, converged=True) for e, key in enumerate(keys, 5)]
    relaxed = [
        (rows[0], salt(2.5)),
        (rows[1], salt(13.0)),
        (rows[2], salt(5.6)),
        (rows[4], salt(4.05)),
        (rows[5], salt(6.4)),
    ]
    record(store, *rows, values=[{} for _ in rows], produced=relaxed)
    found = suspects(store)
    assert found[rows[0]["result_id"]].startswith("relaxed structure: too dense: 1.95 Å³ per atom")
    assert found[rows[1]["result_id"]].startswith("relaxed structure: isolated atoms")
    assert found[rows[3]["result_id"]].startswith("too dense")
    assert found[rows[4]["result_id"]].startswith("relaxed structure: too dense: 8.3 Å³ per atom")
    assert found[rows[5]["result_id"]] == "relaxed to 2.69 times its volume"
    assert rows[2]["result_id"] not in found
    ranking = store.sql("SELECT result_id, rank FROM ranking")
    assert ranking[ranking["rank"] == 1]["result_id"].astype(str).tolist() == [rows[2]["result_id"]]


def _elements(store: Store, tmp_path: Path) -> dict[str, str]:
    """The crystals of Na and Cl that ship, in the store; the id of one of each."""
    [path] = files(["elements"], tmp_path)
    atoms = [block.atoms for block in read("elements.cif", path.read_bytes()) if block.atoms is not None]
    kept = {a.get_chemical_symbols()[0]: a for a in atoms if set(a.get_chemical_symbols()) <= {"Na"} or set(
        a.get_chemical_symbols()) == {"Cl"}}  # fmt: skip
    return dict(zip(kept, stored(store, *kept.values()), strict=True))


def test_a_reference_lies_no_further_below_the_crystals_that_ship_than_the_method_errs(
    store: Store, tmp_path: Path
) -> None:
    method(store, "m")
    sound = _elements(store, tmp_path)
    sizes = dict(store.sql("SELECT structure_id, nsites FROM structure").itertuples(index=False))
    low, lower, high, compound = stored(store, bulk("Na", "fcc", a=5.3), bulk("Na", "fcc", a=5.2),
                                        bulk("Na", "sc", a=3.4), salt())  # fmt: skip
    rows = {name: result(sound[name], energy=-1.0 * sizes[sound[name]]) for name in sound}
    rows |= {"low": result(low, energy=-1.09), "high": result(high, energy=5.0), "salt": result(compound, energy=-6.0)}
    record(store, *rows.values())
    before = store.sql(
        "SELECT e_above_hull, formation_energy_per_atom, reference_check FROM hull WHERE formula = 'NaCl'"
    )
    assert before.iloc[0].tolist()[:2] == pytest.approx([0.0, (-6.0 + 1.09 + 1.0) / 2])
    assert before["reference_check"].isna().all()
    assert suspects(store) == {}  # higher polymorphs stay, however high
    record(store, wrong := result(lower, energy=-1.2))
    assert suspects(store)[wrong["result_id"]].startswith("0.200 eV/atom below the lowest crystal of Na that ships")
    after = store.sql(
        "SELECT e_above_hull, formation_energy_per_atom, reference_check FROM hull WHERE formula = 'NaCl'"
    )
    assert after.iloc[0].tolist()[:2] == before.iloc[0].tolist()[:2]
    with store._writing() as con:  # a method that errs more may lie lower
        con.execute("INSERT INTO expected_error VALUES ('m', 'formation_energy_per_atom', 'all', 0.25, 10, 'test')")
    assert suspects(store) == {}
    query = "SELECT e_above_hull, formation_energy_per_atom FROM hull WHERE formula = 'NaCl'"
    assert store.sql(query).iloc[0].tolist()[:2] == pytest.approx([0.0, (-6.0 + 1.2 + 1.0) / 2])


def test_a_reference_that_becomes_suspect_changes_the_hulls(store: Store) -> None:
    """Nothing that ships is computed by this method: the row says so, and the next hull is computed again."""
    method(store, "m")
    na, cl, nacl, wrong = stored(store, bulk("Na"), bulk("Cl", "fcc", a=4.5), salt(), bulk("Na", "fcc", a=5.3))
    record(store, result(na, energy=-1.0), result(cl, energy=-1.0), result(nacl, energy=-6.0))
    record(store, low := result(wrong, energy=-3.0))
    query = "SELECT e_above_hull, formation_energy_per_atom, reference_check FROM hull WHERE formula = 'NaCl'"
    assert store.sql(query).iloc[0].tolist() == [0.0, -1.0, "reference not checked: Cl, Na"]
    with store._writing() as con:
        con.execute("UPDATE result SET suspect = 'looked at' WHERE result_id = ?", [low["result_id"]])
    assert store.sql(query).iloc[0].tolist()[:2] == [0.0, -2.0]
    assert store.sql("SELECT reason FROM hull WHERE formula = 'Na' AND reason IS NOT NULL")["reason"].tolist() == [
        "suspect: looked at"
    ]


def test_energies_of_formation_that_no_compound_has(store: Store) -> None:
    method(store, "m")
    na, cl, good, deep, high = stored(store, bulk("Na"), bulk("Cl", "fcc", a=4.5), salt(), salt(5.5), salt(5.7))
    record(store, result(na, energy=-1.0), result(cl, energy=-1.0), result(good, energy=-6.0))
    rows = [result(deep, energy=-15.0), result(high, energy=9.0)]
    record(store, *rows)
    assert [suspects(store)[row["result_id"]] for row in rows] == [
        f"energy of formation {e} eV/atom: no compound has one outside -6 to 5" for e in ("-6.5", "5.5")
    ]
    assert store.sql("SELECT e_above_hull FROM hull WHERE reason IS NULL AND formula = 'NaCl'").values.tolist() == [[0]]


def test_ingest_flags_in_every_format(store: Store, tmp_path: Path) -> None:
    dense = Atoms("Co", cell=[1.0, 1.0, 1.0], pbc=True)
    loose = bulk("NaCl", "rocksalt", a=5.64)
    loose.set_cell(loose.cell * 10, scale_atoms=True)
    for name, kind in (("cif", "cif"), ("vasp", "vasp"), ("xyz", "extxyz"), ("db", "db"), ("traj", "traj")):
        for what, atoms in (("dense", dense), ("loose", loose), ("sound", bulk("Cu", a=3.6))):
            atoms.write(tmp_path / f"{what}.{name}", format=kind)
    ingest(store, [tmp_path])
    found = store.sql("SELECT parse_filename(path, true) AS what, outcome, left(reason, 10) AS why FROM source "
                      "WHERE outcome = 'flagged'")  # fmt: skip
    assert (
        sorted(map(tuple, found.values.tolist()))
        == [("dense", "flagged", "too dense:")] * 5 + [("loose", "flagged", "isolated a")] * 5
    )
    assert len(store.sql("SELECT 1 FROM source WHERE outcome IN ('stored', 'duplicate')")) == 5
    pending = {flagged: len(store.pending("none", include_flagged=flagged)) for flagged in (False, True)}
    assert pending[False] == 1
    assert pending[True] > 1
