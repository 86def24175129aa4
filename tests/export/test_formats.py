"""One contract for all formats, and what each has to be for the programs that read it."""

from __future__ import annotations

import inspect
import json
import sqlite3
from pathlib import Path

import ase.db
import ase.io
import gemmi
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.gui.images import Images
from crystals import COLUMNS, LABEL, Made, fill, read_again
from hand_made import add, block, method, record, result, salt, stored
from hypothesis import given
from hypothesis import strategies as st

from mlmat import provenance
from mlmat.errors import UsageError
from mlmat.export import ExportSelection, export, format_for, formats
from mlmat.export._keys import Unique, plain_text, typed
from mlmat.materials.structure import structure_id
from mlmat.store import Store

SUFFIXES = [suffix for form in formats() for suffix in form.SUFFIXES]
SLAB = "not periodic in three directions"


def some_crystals() -> list[Made]:
    found = []
    for atoms in (bulk("Si"), bulk("NaCl", "rocksalt", a=5.64), bulk("Fe", cubic=True), bulk("Cu") * (2, 1, 1)):
        n = len(atoms)
        found.append(Made(atoms, -1.5 * n, np.arange(3.0 * n).reshape(n, 3) / 7, np.linspace(-1, 1, 6) / 3, "a = b"))
    return found


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store, some_crystals())
    return store


def test_a_suffix_belongs_to_one_format() -> None:
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert format_for("best/") is format_for("best") is formats()[[f.SUFFIXES for f in formats()].index(("",))]
    assert format_for("A.JSONL").SUFFIXES == (".jsonl",)
    with pytest.raises(UsageError, match=r"a.pdf: no format has the suffix .pdf; there are .cif .csv"):
        format_for("a.pdf")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_keeps_the_contract(filled: Store, tmp_path: Path, suffix: str) -> None:
    form = format_for(f"x{suffix}")
    assert inspect.getdoc(form)
    assert inspect.getdoc(form.write)
    target = tmp_path / f"out{suffix}"
    done = export(filled, str(target))
    assert (done.written, done.method) == (4, LABEL)
    assert len(read_again(target)) == 4
    assert {structure_id(one.atoms) for one in read_again(target)} == {made.id for made in some_crystals()}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_takes_structures_without_results(store: Store, tmp_path: Path, suffix: str) -> None:
    (one,) = stored(store, salt())
    target = tmp_path / f"out{suffix}"
    assert export(store, str(target)).written == 1
    (found,) = read_again(target)
    assert structure_id(found.atoms) == one
    assert found.energy is None
    assert found.forces is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_slab_goes_where_it_can(store: Store, tmp_path: Path, suffix: str) -> None:
    slab = Atoms("CuO", positions=[(0, 0, 0), (0, 0, 1.8)], cell=[3, 3, 12], pbc=(True, True, False))
    stored(store, slab, salt())
    done = export(store, str(tmp_path / f"out{suffix}"))
    takes = suffix not in ("", ".cif")
    assert done.written == 1 + takes
    assert [SLAB in reason for reason in done.left_out] == [] if takes else [True]


def test_hostile_words_stay_words(store: Store, tmp_path: Path) -> None:
    words = [
        "12345678901234567890",
        "1e5",
        "T",
        "nan",
        "it's",
        "a \"b' c",
        "x\ny",
        "back\\slash",
        "_JSON {}",
        "Å=1 ü",
        "",
    ]
    many = some_crystals()[:1]
    for i, word in enumerate(words):
        made = Made(many[0].atoms * (i + 1, 1, 1), -1.0, np.zeros((2 * i + 2, 3)), np.zeros(6), word)
        many.append(made)
    fill(store, many[1:], label="1 2 3")
    for name in ("a.db", "a.json", "a.extxyz", "a.cif", "a.csv", "a.parquet", "a.jsonl", "cifs"):
        export(store, str(tmp_path / name), ExportSelection(order="nsites"))
        assert len(read_again(tmp_path / name)) == len(words), name
    for name in ("a.db", "a.extxyz"):
        facts = [one.facts for one in read_again(tmp_path / name)]
        assert [plain_text(fact.get("note", "")) for fact in facts] == [plain_text(word) for word in words]
        assert {fact["method"] for fact in facts} == {"_1 2 3"}


@given(
    st.one_of(
        st.integers(-999_999_999_999_999, 999_999_999_999_999),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
    )
)
def test_numbers_come_out_of_their_text(value: float) -> None:
    assert typed(str(value)) == value


@given(st.text())
def test_text_is_one_line_that_no_reader_takes_for_a_number(text: str) -> None:
    line = plain_text(text)
    assert "\n" not in line
    assert isinstance(ase.db.core.convert_str_to_int_float_bool_or_str(line), str)
    assert typed("007") == "007"


def test_names_are_given_once() -> None:
    named = Unique()
    assert [named(name) for name in ("a", "a", "a_2", "b", "a")] == ["a", "a_2", "a_2_2", "b", "a_3"]


def test_ase_databases_answer_selections_and_open_in_the_gui(filled: Store, tmp_path: Path) -> None:
    for name in ("a.db", "a.json"):
        export(filled, str(tmp_path / name))
        db = ase.db.connect(tmp_path / name)
        assert db.count("Na") == 1
        assert [row.formula for row in db.select("Na,energy_per_atom<-1,rank=1")] == ["NaCl"]
        assert db.get(space_group_it_number=227).method == LABEL
        assert db.metadata["key_descriptions"]["energy_per_atom"][2] == "eV"
        images = Images()
        images.read([str(tmp_path / name)], slice(0, None))
        assert len(images) == 4
        assert images.get_energy(images[0]) == pytest.approx(-1.5 * len(images[0]))
    with sqlite3.connect(tmp_path / "a.db") as con:
        assert con.execute("SELECT DISTINCT calculator FROM systems").fetchall() == [("toy",)]


def test_cifs_are_read_by_pymatgen_gemmi_and_ase(filled: Store, tmp_path: Path) -> None:
    from pymatgen.core import Structure

    export(filled, str(tmp_path / "cifs"))
    names = sorted(path.name for path in (tmp_path / "cifs").iterdir())
    by_name = {made.atoms.get_chemical_formula("reduce"): made for made in some_crystals()}
    assert [name.split("_")[:2] for name in names] == [["Cu", "225"], ["Fe", "229"], ["NaCl", "225"], ["Si", "227"]]
    for name, made in zip(names, (by_name[f] for f in ("Cu2", "Fe2", "NaCl", "Si2")), strict=True):
        path = tmp_path / "cifs" / name
        assert name.split("_")[2] == f"{made.id[:8]}.cif"
        assert len(Structure.from_file(path)) == len(made.atoms) == len(ase.io.read(path))
        assert structure_id(ase.io.read(path)) == made.id or made.atoms.has("initial_magmoms")
        small = gemmi.make_small_structure_from_block(gemmi.cif.read(str(path)).sole_block())
        assert small.cell.volume == pytest.approx(made.atoms.get_volume())
        assert [site.element.name for site in small.sites] == made.atoms.get_chemical_symbols()


def test_every_optimade_line_is_valid_by_the_models(filled: Store, tmp_path: Path) -> None:
    from optimade.models import StructureResource

    slab = Atoms("CuO", positions=[(0, 0, 0), (0, 0, 1.8)], cell=[3, 3, 0], pbc=(True, True, False))
    add(filled, block("/slab.cif", slab))
    for wish in (ExportSelection(), ExportSelection(method="none")):
        target = tmp_path / f"{wish.method}.jsonl"
        export(filled, str(target), wish)
        header, info, *lines = [json.loads(line) for line in target.read_text().splitlines()]
        assert header["x-optimade"]["meta"]["api_version"]
        assert (info["type"], info["id"]) == ("info", "structures")
        assert info["properties"]["_mlmat_forces"]["unit"] == "eV/angstrom"
        assert len(lines) == (4 if wish.method is None else 5)
        for line in lines:
            entry = StructureResource(**line)
            assert entry.attributes.nsites == len(entry.attributes.species_at_sites)
    assert any(line["attributes"]["nperiodic_dimensions"] == 2 for line in lines)


def test_tables_keep_types_and_arrays(filled: Store, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export(filled, str(tmp_path / "a.parquet"))
    kinds = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "a.parquet")}
    assert (kinds["energy"], kinds["rank"], kinds["converged"], kinds["fmax"]) == ("double", "int64", "bool", "double")
    assert kinds["forces"].startswith("list<")
    assert set(COLUMNS) <= set(kinds)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["spectrum"] for row in rows] == [[1.5, 2.5]] * 4
    assert {row["path"][:7] for row in rows} == {"/files/"}


def test_more_than_a_thousand_rows_in_every_table(store: Store, tmp_path: Path) -> None:
    one = block("/x.cif", bulk("Cu"))
    rows = []
    for i in range(1_010):
        made = {**one["structure"], "structure_id": f"{i:020x}"}
        own = {"source_id": provenance.new_id(), "path": f"/{i}.cif", "structure_id": made["structure_id"]}
        rows.append({**one, **own, "structure": made})
    add(store, *rows)
    method(store, "m")
    record(store, *(result(row["structure_id"], energy=float(i)) for i, row in enumerate(rows)))
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        assert export(store, str(tmp_path / name), ExportSelection(where="rank <= 1005")).written == 1005
        assert read(tmp_path / name)["energy"].tolist() == [float(i) for i in range(1005)]
