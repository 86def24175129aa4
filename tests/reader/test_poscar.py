from __future__ import annotations

import numpy as np
import pytest

from mlmat.reader import Limits, read

HEAD = "salt\n1.0\n4 0 0\n0 4 0\n0 0 4\n"
TAIL = "Na Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


def block(text, name="POSCAR"):
    (found,) = read(name, text.encode(), Limits())
    return found


@pytest.mark.parametrize(
    "name", ["POSCAR", "CONTCAR", "POSCAR_1", "mp-2_POSCAR", "x.poscar", "x.vasp", "POSCAR.mp-22862", "contcar-2"]
)
def test_names(name):
    assert block(HEAD + TAIL, name).outcome == "stored"


def test_the_comment_is_the_name():
    assert block(HEAD + TAIL).name == "salt"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends(end):
    text = (HEAD + TAIL).replace("\n", end)
    b = block(text)
    assert b.outcome == "stored"
    assert b.text == text


def test_scale():
    unit = HEAD.replace("4", "1")
    for scale in ("4.0", "-64", "4 4 4", "4.0 ! in Angstrom", "0.4d1"):
        b = block(unit.replace("1.0", scale) + TAIL)
        assert np.allclose(b.atoms.cell, 4 * np.eye(3))
        assert np.allclose(b.atoms.positions[1], 2)
    b = block(HEAD.replace("1.0", "1 2 3") + TAIL)
    assert np.allclose(b.atoms.cell.lengths(), (4, 8, 12))


def test_cartesian_coordinates_are_scaled_too():
    b = block(HEAD.replace("1.0", "1.5") + "Na Cl\n1 1\nkartesisch\n0 0 0\n2 2 2\n")
    assert np.allclose(b.atoms.positions[1], 3)
    b = block(HEAD.replace("1.0", "-216") + "Na Cl\n1 1\nC\n0 0 0\n2 2 2\n")
    assert np.allclose(b.atoms.positions[1], 3)


def test_selective_dynamics_and_velocities():
    b = block(HEAD + "Na Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T F T\n.5 .5 .5 F F F\n\n0 0 0\n0 0.1 0\n")
    assert b.outcome == "stored"
    assert b.warnings == ("selective dynamics is not kept", "velocities, and what else follows the atoms, are not kept")
    zero = block(HEAD + TAIL + "\n 0.00000000E+00 0.00000000E+00 0.00000000E+00\n" * 2)
    assert zero.warnings == ()


@pytest.mark.parametrize(
    ("symbols", "formula"),
    [
        ("Na_pv Cl", "ClNa"),
        ("Li_sv_GW O_s", "LiO"),
        ("Si/3b2e1a Fe/00", "FeSi"),
        ("Na Cl ! two", "ClNa"),
        ("H.5 C", "CH"),
    ],
)
def test_names_of_potentials(symbols, formula):
    assert block(HEAD + TAIL.replace("Na Cl", symbols)).formula == formula


def test_deuterium():
    b = block(HEAD + TAIL.replace("Na", "D"))
    assert b.formula == "ClH"
    assert b.warnings == ("isotopes of hydrogen at D1: kept as H",)
    assert b.atoms.get_masses()[0] == pytest.approx(2.014)


def test_one_element_in_several_groups():
    b = block(HEAD + "O Na O\n1 2 1\nD\n0 0 0\n.5 .5 .5\n0 .5 0\n.5 0 0\n")
    assert b.atoms.get_chemical_symbols() == ["O", "Na", "Na", "O"]


def test_vasp_4():
    nameless = TAIL.removeprefix("Na Cl\n")
    named = block((HEAD + nameless).replace("salt", "Na Cl"))
    assert named.formula == "ClNa"
    assert named.warnings == ("VASP 4: elements taken from the comment: Na Cl",)
    behind = block((HEAD + nameless).replace("0 0 0\n.5 .5 .5", "0 0 0 Na\n.5 .5 .5 Cl"))
    assert behind.atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert "behind the coordinates" in behind.warnings[0]
    for comment in ("salt", "Na", "Na Cl O", "Na chloride", ""):
        b = block((HEAD + nameless).replace("salt", comment))
        assert b.outcome == "rejected"
        assert "which elements? Write their symbols" in b.reason


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("1.0\n", "one\n", "line 2: expected a scaling factor, found: one"),
        ("1.0\n", "1 2\n", "line 2"),
        ("1.0\n", "0\n", "the scaling factor makes no sense: 0"),
        ("1.0\n", "nan\n", "the scaling factor makes no sense: nan"),
        ("1.0\n", "1 -1 1\n", "the scaling factor makes no sense"),
        ("0 4 0\n", "0 4\n", "line 4: expected three numbers (cell vector), found: 0 4"),
        ("0 4 0\n", "4 0 0\n", "no volume"),
        ("4 0 0\n", "nan 0 0\n", "cell vectors: component x in row 1 is not a finite number"),
        ("Na Cl\n1 1", "Na Cl\n1", "2 elements, but 1 numbers of atoms"),
        ("Na Cl\n1 1", "Na Cl\n-1 1", "line 7: expected numbers of atoms"),
        ("Na Cl\n1 1", "Na Cl\n0 0", "no atoms"),
        ("Na Cl\n1 1", "Na Cl\n999999999 1", "too large"),
        ("Na Cl", "Na Xx", "unknown element Xx at atom 2"),
        ("Direct\n", "", "line 8: expected Direct or Cartesian"),
        (".5 .5 .5\n", "", "line 10: expected three numbers (coordinates of an atom), found: an empty line"),
        ("\n.5 .5 .5\n", "", "the file ends before line 10"),
        (".5 .5 .5", ".5 .5-.5 .5", "line 10"),
        (".5 .5 .5", "nan .5 .5", "component x of atom 2 is not a finite number"),
        (".5 .5 .5", "1e6 .5 .5", "position of atom 2 makes no sense"),
    ],
)
def test_what_is_wrong(old, new, word):
    text = HEAD + TAIL
    assert old in text
    b = block(text.replace(old, new, 1))
    assert b.outcome in ("rejected", "unreadable")
    assert word in b.reason
    assert b.text
