"""What comes back from an export into the store that wrote it, and what several files say of one structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from crystals import Made, fill
from hand_made import block, crystal, method, record, result, salt, stored

from mlmat.errors import MlmatError, QueryError
from mlmat.export import ExportSelection, export
from mlmat.export_marks import apart, mark
from mlmat.ingest import ingest
from mlmat.materials.structure import structure_id
from mlmat.store import Store

GIVEN = {"gap": "2.5", "checked": "true", "id": "mp-7"}


def say(store: Store, path: str, atoms: Atoms, pairs: dict[str, str], outcome: str = "stored") -> None:
    """Record a file with a structure and key-value pairs."""
    row = block(path, atoms, outcome)
    structures = pa.Table.from_pylist([row.pop("structure")])
    said = pa.array([list(pairs.items())], pa.map_(pa.string(), pa.string()))
    store.add_sources(pa.Table.from_pylist([row]).append_column("key_values", said), structures)


def bring(store: Store, path: Path, atoms: Atoms, energy: float) -> None:
    """Ingest a file that has an energy with its structure."""
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    atoms.write(path, format="extxyz")
    ingest(store, [path])


def made() -> Made:
    return Made(salt(5.7), -3.25, np.zeros((2, 3)), np.zeros(6), "word")


@pytest.fixture
def screened(store: Store) -> Store:
    """Salt with pairs of its own, computed once."""
    say(store, "/source.db", made().atoms, GIVEN)
    fill(store, [made()])
    return store


def test_a_mark_tells_ours_from_theirs() -> None:
    text = mark(["rank", "method_id"], ["fmax", "energy"])
    pairs = {"mlmat_own": text, "rank": 1, "gap": 2.0, "fmax": 0.1, "method_id": "_12345", "energy": "-1.5"}
    kept, exported = apart(pairs)
    assert kept == {"gap": 2.0, "fmax": 0.1, "energy": "-1.5"}
    assert exported is not None
    assert (exported.method_id, exported.energy, exported.names) == ("12345", -1.5, {"fmax", "energy"})
    assert apart({"rank": 1}) == ({"rank": 1}, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.db", "a.json", "a.extxyz", "a.jsonl", "a.cif", "a.csv", "a.parquet"])
def test_an_export_comes_back_without_a_trace(screened: Store, tmp_path: Path, name: str) -> None:
    export(screened, str(tmp_path / name), ExportSelection(where="path = '/source.db'"))
    ingest(screened, [tmp_path / name], column="cif" if name.endswith(("csv", "parquet")) else None)
    query = "SELECT key_values, outcome FROM source WHERE current AND path LIKE '%/' || $name"
    (row,) = screened.arrow(query, {"name": name}).to_pylist()
    assert row["outcome"] == "duplicate"
    # ASE reserves id, and has no place for it in an ase.db.
    expected = {key: value for key, value in GIVEN.items() if key != "id" or name not in ("a.db", "a.json")}
    assert {key: value.lower() for key, value in row["key_values"]} == expected
    assert screened.sql("SELECT count(*) AS n FROM method")["n"][0] == 1


@pytest.mark.slow
def test_another_energy_is_another_result(screened: Store, tmp_path: Path) -> None:
    export(screened, str(tmp_path / "a.extxyz"))
    text = (tmp_path / "a.extxyz").read_text()
    (tmp_path / "b.extxyz").write_text(text.replace("energy=-3.25", "energy=-4.5"))
    ingest(screened, [tmp_path / "b.extxyz"])
    energies = screened.sql("SELECT energy FROM result JOIN method USING (method_id) WHERE runner = 'imported'")
    assert energies["energy"].tolist() == [-4.5]
    said = screened.sql("SELECT key, text FROM key_value WHERE path LIKE '%b.extxyz'")
    # What the result brought stays with it.
    assert {"gap", "note", "fmax"} <= set(said["key"])
    assert "rank" not in set(said["key"])


@pytest.mark.slow
def test_the_only_computed_method_goes_before_imported_ones(store: Store, tmp_path: Path) -> None:
    (one,) = stored(store, crystal())
    method(store, "m", label="toy")
    record(store, result(one, "m", energy=-1.0))
    bring(store, tmp_path / "old.extxyz", crystal(), -9.0)
    assert export(store, str(tmp_path / "a.extxyz")).method == "toy"


@pytest.mark.parametrize(("where", "gap", "others"), [
    ("TRY_CAST(key_values['gap'] AS DOUBLE) > 3", 6.4, "gap=2.0"), (None, 2.0, "gap=6.4"),
])  # fmt: skip
def test_the_file_that_fits_the_condition_speaks(
    store: Store, tmp_path: Path, where: str | None, gap: float, others: str
) -> None:
    say(store, "/old.db", salt(), {"gap": "2.0", "good": "true"})
    say(store, "/t.csv", salt(), {"gap": "6.4", "good": "true"}, "duplicate")
    export(store, str(tmp_path / "a.db"), ExportSelection(where=where))
    row = ase.db.connect(tmp_path / "a.db").get(1)
    assert (row.gap, row.good, row.key_conflicts) == (gap, True, others)


@pytest.mark.parametrize(
    ("wish", "error", "text"),
    [
        ({"where": "gap > 2"}, QueryError, r"gap is a key-value pair.*TRY_CAST\(key_values\['gap'\] AS DOUBLE\)"),
        ({"where": "rank == 1 AND"}, QueryError, "--where 'rank == 1 AND'"),
        ({"order": "mlmat DESC"}, QueryError, "--order 'mlmat DESC'"),
        ({"where": "formula = 'NaCl2'"}, MlmatError, "is in the store and fits --where \"formula = 'NaCl2'\""),
    ],
)
def test_messages_say_what_to_write(
    screened: Store, tmp_path: Path, wish: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        export(screened, str(tmp_path / "a.db"), ExportSelection(**wish))
    assert "mlmat_" not in str(caught.value)


@pytest.mark.slow
def test_pairs_through_the_face_of_ase(store: Store, tmp_path: Path) -> None:
    from crystals import relax

    say(store, "/a.db", salt(5.7), GIVEN)
    method(store, "m", label="toy")
    relaxed = relax(store, structure_id(salt(5.7)), salt(5.6), "m", energy=-2.0)
    bring(store, tmp_path / "old.extxyz", salt(5.7), -9.0)
    db = store.asedb()
    found = list(db.select(checked=True))
    assert [row.checked for row in found] == [True, True]
    assert db.count(checked=1) == db.count("checked=True") == 2
    assert db.count(checked=0) == 0
    assert [row.data["id"] for row in found] == ["mp-7", "mp-7"]
    assert [row.structure_id for row in db.select("energy")] == [relaxed]


@pytest.mark.slow
def test_a_relaxed_structure_comes_back_without_a_trace(store: Store, tmp_path: Path) -> None:
    from crystals import relax

    say(store, "/source.db", salt(5.7), GIVEN)
    method(store, "m", label="toy")
    relax(store, structure_id(salt(5.7)), salt(5.6), "m", energy=-2.0)
    export(store, str(tmp_path / "a.db"))
    ingest(store, [tmp_path / "a.db"])
    assert store.sql("SELECT count(*) AS n FROM result")["n"][0] == 1
    keys = store.sql("SELECT key FROM key_value WHERE path LIKE '%/a.db'")["key"]
    assert sorted(keys) == ["checked", "gap"]


def test_a_result_that_came_with_a_file_goes_out_with_what_that_file_says(store: Store, tmp_path: Path) -> None:
    import ase.io

    frames = []
    for step, energy in enumerate((-1.0, -2.0)):
        atoms = crystal()
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        atoms.info["step"] = step
        frames.append(atoms)
    ase.io.write(tmp_path / "run.extxyz", frames)
    ingest(store, [tmp_path / "run.extxyz"])
    export(store, str(tmp_path / "out.extxyz"))
    found = {frame.info["step"]: frame.get_potential_energy() for frame in ase.io.read(tmp_path / "out.extxyz", ":")}
    assert found == {0: -1.0, 1: -2.0}
    assert export(store, str(tmp_path / "one.extxyz"), ExportSelection(where="key_values['step'] = '1'")).written == 1
    assert ase.io.read(tmp_path / "one.extxyz").get_potential_energy() == -2.0
