"""What holds for every reader."""

from __future__ import annotations

import gzip
import pickle
import re
from importlib import import_module

import numpy as np
import pytest
from good_files import WRITERS, rock_salt
from hypothesis import given
from hypothesis import strategies as st

from mlmat.materials.structure import structure_id, to_row
from mlmat.reader import Limits, read, readers

NAMES = [reader.__name__.rpartition(".")[2] for reader in readers()]
OUTCOMES = {"stored", "disordered", "flagged", "rejected", "unreadable"}
GOOD = {name: (file, write(rock_salt())) for name, (file, write) in WRITERS.items()}
NOISE = np.random.default_rng(0).bytes(1_000_000)
BAD = {
    "nothing": b"",
    "blank lines": b"\n \n\n",
    "NUL": b"\0" * 1000,
    "noise": NOISE,
    "noise as text": NOISE.hex().encode(),
    "prose": b"Dear colleague,\nthe structure is attached.\n" * 20,
    "braces": b"{" * 100_000,
    "brackets": b"[" * 100_000,
    "an object": b"{}",
    "a list": b"[[[]], null, {}]",
    "a number": b"12\n",
    "numbers": b"1 2 3\n" * 20,
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>\n",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0",
    "UTF-16": "1\nLattice\n".encode("utf-16"),
    "gzip": gzip.compress(b"hello"),
}


def reader(name):
    return import_module(f"mlmat.reader.{name}")


def check(block):
    """What ingest relies on."""
    assert block.outcome in OUTCOMES
    assert (block.reason is None) == (block.outcome == "stored")
    for text in (block.reason or "", *block.warnings, block.name):
        assert len(text) <= 300
        assert text.isprintable()
    assert (block.atoms is not None) == (block.outcome in ("stored", "flagged"))
    assert re.fullmatch(r"mlmat\.\w+ \d+( \(\w+ [\w.]+\))?", block.parser)
    assert all(isinstance(value, str | int | float | bool) for value in block.key_values.values())
    if block.atoms is not None:
        assert to_row(block.atoms)["structure_id"]
    pickle.dumps(block)


def test_every_reader_has_a_good_file():
    assert sorted(NAMES) == sorted(WRITERS)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_reader_says_of_itself(name):
    module = reader(name)
    assert module.__doc__.endswith((".", ".\n"))
    assert module.FORMAT
    assert module.PATTERNS
    assert all(p == p.lower() for p in module.PATTERNS)
    assert list(reader("cif").read("x", b"", Limits()))


@pytest.mark.parametrize("name", NAMES)
def test_a_good_file(name):
    file, data = GOOD[name]
    for found in (list(read(file, data)), list(reader(name).read(file, data, Limits()))):
        assert len(found) == 1
        check(found[0])
        assert found[0].outcome == "stored", found[0].reason
        assert found[0].index == 0
        assert found[0].formula == "ClNa"
        assert found[0].parser.startswith(f"mlmat.{name} ")
        assert structure_id(found[0].atoms) == structure_id(rock_salt())
        assert found[0].atoms.pbc.all()


@pytest.mark.parametrize("name", NAMES)
def test_the_content_tells_the_reader_where_the_name_does_not(name):
    found = list(read("-", GOOD[name][1]))
    assert [b.outcome for b in found] == ["stored"]
    assert found[0].parser.startswith(f"mlmat.{name} ")
    assert [n for n in NAMES if reader(n).accepts(GOOD[name][1])] == [name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", BAD)
def test_bad_content_is_a_row_with_a_reason(name, bad):
    found = list(reader(name).read(GOOD[name][0], BAD[bad], Limits()))
    assert found
    for block in found:
        check(block)
        assert block.outcome in ("unreadable", "rejected")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_ends_early(name):
    file, data = GOOD[name]
    for end in range(0, len(data), max(1, len(data) // 40)):
        for block in reader(name).read(file, data[:end], Limits()):
            check(block)


@given(
    st.sampled_from(NAMES), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), max_size=5)
)
def test_a_damaged_file(name, wounds):
    file, data = GOOD[name]
    for place, content in wounds:
        at = int(place * len(data))
        data = data[:at] + content + data[at + len(content) :]
    for block in read(file, data):
        check(block)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_read_again_is_the_same(name):
    file, data = GOOD[name]
    first = list(read(file, data))
    for block in first:
        if block.text:
            assert [b.text for b in read(file, block.text.encode())] == [block.text]
    assert [b.text for b in read(file, data)] == [b.text for b in first]


@pytest.mark.parametrize("name", NAMES)
def test_more_sites_than_the_limit(name):
    found = list(read(*GOOD[name], Limits(max_sites=7)))
    assert [b.outcome for b in found] == ["rejected"]
    assert "too large: 8 sites" in found[0].reason
    assert "the limit is 7" in found[0].reason


@pytest.mark.parametrize("name", NAMES)
def test_atoms_that_are_too_close_are_flagged(name):
    atoms = rock_salt()
    atoms.positions[4] = atoms.positions[1] + [0.2, 0.1, 0.0]
    file, write = WRITERS[name]
    (block,) = read(file, write(atoms))
    check(block)
    assert block.outcome == "flagged"
    assert "atoms almost on top of each other: Na2 and Cl5 at 0.224 Å" in block.reason.replace(
        "Na1 and Cl4", "Na2 and Cl5"
    )


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"poscar", "cif"}))
def test_a_slab_stays_one(name):
    atoms = rock_salt()
    atoms.pbc = [True, True, False]
    file, write = WRITERS[name]
    (block,) = read(file, write(atoms))
    assert block.outcome == "stored"
    assert block.atoms.pbc.tolist() == [True, True, False]
    assert structure_id(block.atoms) == structure_id(atoms)


def test_a_slab_whose_third_vector_lies_in_its_plane():
    atoms = rock_salt()
    atoms.cell[2], atoms.pbc = [5, 5, 0], [True, True, False]
    (block,) = read("x.traj", WRITERS["traj"][1](atoms))
    assert (block.outcome, block.reason) == ("rejected", "the cell makes no sense: it has no volume")


@pytest.mark.parametrize("name", ["ase_json", "optimade", "traj", "xyz"])
def test_a_molecule_is_no_crystal(name):
    atoms = rock_salt()
    atoms.pbc = False
    file, write = WRITERS[name]
    (block,) = read(file, write(atoms))
    assert block.outcome == "rejected"
    assert "not periodic in any direction: not a crystal" in block.reason


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"cif"}))
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_positions_that_are_no_numbers(name, value):
    atoms = rock_salt()
    atoms.positions[2, 1] = value
    file, write = WRITERS[name]
    try:
        data = write(atoms)
    except (ValueError, RuntimeError):  # the writer refuses it
        data = write(rock_salt()).replace(b"2.82", b"NaN", 1) if name != "traj" else b""
    for block in read(file, data):
        check(block)
        assert block.outcome in ("rejected", "unreadable")


@pytest.mark.parametrize("name", ["ase_json", "optimade", "traj", "xyz"])
@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ([[1, 0, 0], [0, 5, 0], [1, 5, 0]], "no volume"),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 0.2]], "0.2 Å apart"),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 2e4]], "a vector of 2e+04 Å"),
        ([[5, 0, 0], [0, 5, 0], [0, 0, 0]], "a vector of length 0"),
        ([[0, 0, 0]] * 3, "no cell: not a crystal"),
    ],
)
def test_cells_that_make_no_sense(name, cell, word):
    atoms = rock_salt()[:1]
    atoms.cell = cell
    file, write = WRITERS[name]
    (block,) = read(file, write(atoms))
    check(block)
    assert block.outcome == "rejected"
    assert word in block.reason


def test_what_nothing_fits():
    (block,) = read("x.pdf", b"%PDF-1.4")
    check(block)
    assert block.outcome == "unreadable"
    assert all(
        word in block.reason for word in ("CIF", "POSCAR", "XYZ", "trajectory", "ase.db", "pymatgen", "OPTIMADE")
    )
    (block,) = read("x.json", b'{"a": 1}')
    assert "none of what is read here" in block.reason
    assert "POSCAR" not in block.reason
    (block,) = read("x.json", b" ")
    assert block.reason == "empty"


def test_a_file_beyond_the_limit_is_not_looked_at():
    (block,) = read("x.xyz", b"1" * 2000, Limits(max_bytes=1000))
    assert block.outcome == "rejected"
    assert "too large" in block.reason
