from __future__ import annotations

import numpy as np
import pytest
from cif_texts import ALL_ROCK_SALT, ROCK_SALT, cif

from mlmat.materials.structure import space_group, structure_id

MONOCLINIC = (7.0, 8.0, 9.0, 90, 100, 90)
HEXAGONAL = (3.209, 3.209, 5.211, 90, 90, 120)
SILICON = [5.43] * 3 + [90] * 3
PYRITE = ("Fe1 Fe .1 .2 .3 1", "S1 S .4 .15 .2 1", "S2 S .8 .3 .4 1")


@pytest.mark.parametrize("fract", [".333 .667", "0.3333 0.6667", "0.33333333 .66666667", "0.3333(3) 0.6667(3)"])
def test_hcp_at_a_rounded_third_has_two_atoms(block, fract):
    b = block(cif(f"Mg1 Mg {fract} .25 1", cell=HEXAGONAL, symbol="P 63/m m c", number=194))
    assert (b.outcome, len(b.atoms)) == ("stored", 2)
    assert np.allclose(b.atoms.get_scaled_positions()[0, :2], [1 / 3, 2 / 3], atol=1e-9)
    assert space_group(b.atoms, 1e-5)[0] == 194


@pytest.mark.parametrize(
    ("symbol", "cell", "sites", "n", "number"),
    [
        ("P 21/n", MONOCLINIC, PYRITE, 12, 14),
        ("P 21/c", MONOCLINIC, PYRITE, 12, 14),
        ("P2(1)/c", MONOCLINIC, PYRITE, 12, 14),
        ("P 1 21/a 1", MONOCLINIC, PYRITE, 12, 14),
        ("C 2/m", MONOCLINIC, PYRITE, 24, 12),
        ("F d -3 m :2", SILICON, ("Si1 Si .125 .125 .125 1",), 8, 227),
        ("F d -3 m :1", SILICON, ("Si1 Si 0 0 0 1",), 8, 227),
        ("F d -3 m S", SILICON, ("Si1 Si 0 0 0 1",), 8, 227),
        ("Fd-3m:1", SILICON, ("Si1 Si 0 0 0 1",), 8, 227),
        ("R -3 m :R", [4.5] * 3 + [57.0] * 3, ("Bi1 Bi .23 .23 .23 1",), 2, 166),
        ("R -3 m", [4.5] * 3 + [57.0] * 3, ("Bi1 Bi .23 .23 .23 1",), 2, 166),
        ("R -3 m :H", [4.5, 4.5, 11.9, 90, 90, 120], ("Bi1 Bi 0 0 .23 1",), 6, 166),
        ("R -3 m", [4.5, 4.5, 11.9, 90, 90, 120], ("Bi1 Bi 0 0 .23 1",), 6, 166),
        ("Fm3m", [5.64] * 3 + [90] * 3, ROCK_SALT, 8, 225),
    ],
)
def test_a_symbol_that_settles_the_setting(block, symbol, cell, sites, n, number):
    b = block(cif(*sites, cell=cell, symbol=symbol))
    assert (b.outcome, b.reason, len(b.atoms)) == ("stored", None, n)
    assert space_group(b.atoms)[0] == number
    assert any("no symmetry operations listed" in w for w in b.warnings)


def test_the_setting_of_p21n_is_not_that_of_p21c(block):
    n, c = (block(cif(*PYRITE, cell=MONOCLINIC, symbol=s, number=14)) for s in ("P 21/n", "P 21/c"))
    assert n.outcome == c.outcome == "stored"
    assert structure_id(n.atoms) != structure_id(c.atoms)
    listed = ["x,y,z", "1/2-x,1/2+y,1/2-z", "-x,-y,-z", "1/2+x,1/2-y,1/2+z"]
    assert structure_id(n.atoms) == structure_id(block(cif(*PYRITE, cell=MONOCLINIC, ops=listed)).atoms)


def test_a_hall_symbol_settles_the_origin(block):
    b = block(cif("Si1 Si .125 .125 .125 1", cell=SILICON, symbol="F d -3 m", hall="-F 4vw 2vw 3"))
    assert (b.outcome, len(b.atoms)) == ("stored", 8)


def test_an_origin_that_nothing_settles_is_flagged(block):
    b = block(cif("Si1 Si 0 0 0 1", cell=SILICON, symbol="F d -3 m"))
    assert b.outcome == "flagged"
    assert "F d -3 m:1 or F d -3 m:2" in b.reason


@pytest.mark.parametrize("number", [14, 48, 62, 227])
def test_a_number_alone_is_ambiguous_where_it_has_several_settings(block, number):
    b = block(cif("Si1 Si .1 .2 .3 1", cell=[20.0] * 3 + [90] * 3, number=number))
    assert (b.outcome, "ambiguous" in b.reason) == ("flagged", True)


@pytest.mark.parametrize(("number", "n"), [(1, 8), (225, 8)])
def test_a_number_alone_settles_where_it_has_one_setting(block, number, n):
    sites = ALL_ROCK_SALT if number == 1 else ROCK_SALT
    b = block(cif(*sites, number=number))
    assert (b.outcome, len(b.atoms)) == ("stored", n)


@pytest.mark.parametrize(("origin", "x"), [("1", "0"), ("2", ".125")])
def test_formula_and_z_settle_the_origin(block, origin, x):
    b = block(cif(f"Si1 Si {x} {x} {x} 1", cell=SILICON, symbol="F d -3 m", formula="Si", z=8))
    assert (b.outcome, len(b.atoms)) == ("stored", 8)
    assert any(f"F d -3 m:{origin}" in w and "only setting" in w for w in b.warnings)


def test_symbol_and_number_that_contradict_each_other(block):
    b = block(cif(*ROCK_SALT, symbol="F m -3 m", number=221))
    assert b.outcome == "flagged"
    assert "F m -3 m" in b.reason
    assert "221" in b.reason


def test_an_unknown_symbol(block):
    b = block(cif(*ROCK_SALT, symbol="F q -3 m"))
    assert b.outcome == "flagged"
    assert "F q -3 m" in b.reason


def test_no_symmetry_at_all(block):
    whole = block(cif(*ALL_ROCK_SALT))
    assert (whole.outcome, len(whole.atoms)) == ("stored", 8)
    assert any("P 1 assumed" in w for w in whole.warnings)
    agreeing = block(cif(*ALL_ROCK_SALT, formula="Na Cl", z=4))
    assert agreeing.outcome == "stored"
    part = block(cif(*ROCK_SALT, formula="Na Cl", z=4))
    assert part.outcome == "flagged"
    assert "Z = 4" in part.reason


def test_a_symbol_over_a_whole_cell_adds_nothing(block):
    for extra in ({}, {"formula": "Na Cl", "z": 4}):
        b = block(cif(*ALL_ROCK_SALT, symbol="F m -3 m", **extra))
        assert (b.outcome, len(b.atoms)) == ("stored", 8)
        assert any("all atoms of the cell are listed" in w for w in b.warnings)


def test_p1_operations_under_a_higher_symbol(block):
    whole = block(cif(*ALL_ROCK_SALT, ops=["x,y,z"], symbol="F m -3 m", number=225))
    assert whole.outcome == "stored"
    assert any("F m -3 m" in w for w in whole.warnings)
    part = block(cif(*ROCK_SALT, ops=["x,y,z"], symbol="F m -3 m", number=225))
    assert part.outcome == "flagged"
    assert "P 1" in part.reason
    assert "F m -3 m" in part.reason


def test_listed_operations_rule_over_another_setting_of_the_symbol(block):
    ops = ["x,y,z", "1/2-x,1/2+y,1/2-z", "-x,-y,-z", "1/2+x,1/2-y,1/2+z"]
    b = block(cif(*PYRITE, cell=MONOCLINIC, ops=ops, symbol="P 1 21/c 1", number=14))
    assert b.outcome == "stored"
    assert any("P 1 21/n 1" in w for w in b.warnings)
    same = block(cif(*PYRITE, cell=MONOCLINIC, ops=ops, symbol="P 21/n", number=14))
    assert same.warnings == ()


@pytest.mark.parametrize(
    "ops",
    [
        ["X, Y, Z", "X,+Y+.5,Z+1/2", "1/2+x,y,0.5+Z", "x+1/2 , y+1/2 , z"],
        ["x,y,z", "x,0.5+y,0.5+z", "x+0.50,y,z+.5", "+x+1/2,1/2+y,+z"],
        ["x,y,z", "x,y-1/2,z-1/2", "x+3/2,y,z+1/2", "x+1/2,y+1/2,z", "x,y,z"],
    ],
)
def test_operations_in_odd_styles(block, ops):
    b = block(cif(*ROCK_SALT, ops=ops))
    assert (b.outcome, len(b.atoms)) == ("stored", 8)


def test_the_identity_may_be_missing(block):
    b = block(cif("C1 C .1 .2 .3 1", ops=["-x,-y,-z"]))
    assert (b.outcome, len(b.atoms)) == ("stored", 2)
    assert any("lack x,y,z" in w for w in b.warnings)


def test_translations_of_a_supercell(block):
    b = block(cif("C1 C .1 .2 .3 1", cell=[15, 5, 5, 90, 90, 90], ops=[f"x+{k}/5,y,z" for k in range(5)]))
    assert (b.outcome, len(b.atoms)) == ("stored", 5)


def test_angles_not_given(block):
    forced = block(cif(*ROCK_SALT, cell=[5.64] * 3 + [None] * 3, symbol="F m -3 m"))
    assert forced.outcome == "stored"
    free = block(cif(*PYRITE, cell=[7, 8, 9, 90, "?", 90], symbol="P 1 21/c 1"))
    assert free.outcome == "flagged"
    assert "_cell_angle_beta" in free.reason


def test_modulated_structures_are_flagged(block):
    b = block(cif(*ALL_ROCK_SALT, ops=["x,y,z"], cell_modulation_dimension=1))
    assert b.outcome == "flagged"
    assert "modulated" in b.reason


MAGNETIC = """
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
{ops}
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
{moments}
"""


def test_moments_turn_with_their_atoms(block):
    ops = "1 x,y,z,+1\n2 -x+1/2,y,-z+1/2,-1"
    b = block(cif("Mn1 Mn .1 .2 .3 1", "O1 O .5 .6 .2 1") + MAGNETIC.format(ops=ops, moments="Mn1 1 2 3"))
    assert (b.outcome, b.formula, len(b.atoms)) == ("stored", "MnO", 4)
    assert np.allclose(b.atoms.get_initial_magnetic_moments(), [[1, 2, 3], [1, -2, 3], [0, 0, 0], [0, 0, 0]])


def test_moments_are_given_along_the_cell_edges(block):
    text = cif("Mn1 Mn 0 0 0 1", cell=[3, 3, 5, 90, 90, 120]) + MAGNETIC.format(ops="1 x,y,z,+1", moments="Mn1 0 2 0")
    moments = block(text).atoms.get_initial_magnetic_moments()
    assert np.allclose(moments, [[-1, 3**0.5, 0]])


def test_magnetic_centrings_double_the_atoms(block):
    centring = "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx,y,z+1/2,-1\n"
    text = cif("Mn1 Mn 0 0 0 1") + centring + MAGNETIC.format(ops="1 x,y,z,+1", moments="Mn1 0 0 4")
    assert np.allclose(block(text).atoms.get_initial_magnetic_moments()[:, 2], [4, -4])


def test_moments_that_the_operations_forbid_are_dropped_with_a_warning(block):
    ops = "1 x,y,z,+1\n2 -x,-y,-z,-1"
    b = block(cif("Mn1 Mn 0 0 0 1") + MAGNETIC.format(ops=ops, moments="Mn1 0 0 4"))
    assert b.outcome == "stored"
    assert not b.atoms.has("initial_magmoms")
    assert any("Mn1" in w for w in b.warnings)


def test_a_site_moved_onto_its_special_position_is_told(block):
    b = block(cif("C1 C 0.004 0 0 1", ops=["x,y,z", "-x,-y,-z"]))
    assert (b.outcome, len(b.atoms)) == ("stored", 1)
    assert any("C1 by 0.023 Å" in w for w in b.warnings)
    far = block(cif("C1 C 0.03 0 0 1", ops=["x,y,z", "-x,-y,-z"]))
    assert far.outcome == "flagged"
    assert "C1 and C1 at 0.338 Å" in far.reason


def test_sites_stay_in_the_order_of_the_file_with_their_images(block):
    b = block(cif("Na1 Na .1 .2 .3 1", "Cl1 Cl 1.5 .6 -.2 1", ops=["x,y,z", "-x,-y,-z"]))
    assert b.atoms.get_chemical_symbols() == ["Na", "Na", "Cl", "Cl"]
    expected = [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [1.5, 0.6, -0.2], [0.5, 0.4, 0.2]]
    assert np.allclose(b.atoms.get_scaled_positions(wrap=False), expected)
    assert np.allclose(b.atoms.cell.array[0], [5.64, 0, 0])
