from __future__ import annotations

import gzip

import numpy as np
import pytest
from cif_texts import ALL_ROCK_SALT, CUBIC, ROCK_SALT, cif

from mlmat.reader import Limits

P1 = ["x,y,z"]
NACL = cif(*ROCK_SALT, symbol="F m -3 m")


def test_a_good_block(block):
    b = block(NACL)
    assert (b.outcome, b.reason, b.formula, len(b.atoms)) == ("stored", None, "ClNa", 8)
    assert b.text == NACL
    assert b.name == "x"
    assert b.parser.startswith("mlmat.cif ")
    assert b.atoms.pbc.all()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"# only a comment\n", "data block"),
        (b"<!DOCTYPE html><html></html>\n", "data_"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0", "NUL"),
        ("data_x\n_cell_length_a 1\n".encode("utf-16-be"), "NUL"),
        (b"\xff\xfed", "UTF-16"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (gzip.compress(NACL.encode())[:-20], "gzip"),
        (b"data_x\n_audit_creation_method none\n", "no atom sites"),
        (cif("? ? ? ? ? ?"), "no atom sites"),
        (cif(*ROCK_SALT, cell=[None] * 6), "no cell"),
        (cif(*ROCK_SALT, cell=["?", 5, 5, 90, 90, 90]), "_cell_length_a"),
        (cif("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 1"), "Wrong number of values"),
        (NACL + "_cell_length_a 5.7\n", "duplicate tag _cell_length_a"),
        (NACL.replace("_cell_length_a 5.64", "_cell_length_a"), "_cell_length_a has no value"),
        (NACL.replace("loop_", "_x\n;\nnever closed\nloop_"), "unterminated"),
        (cif("Na 0 0", tags=("type_symbol", "fract_x", "fract_y")), "_atom_site_fract_z is missing"),
        (cif("0 0 0", tags=("fract_x", "fract_y", "fract_z")), "without labels"),
        (cif("Na 0 0 0", tags=("type_symbol", "Cartn_x", "Cartn_y", "Cartn_z")), "Cartesian"),
    ],
)
def test_unreadable(block, content, word):
    b = block(content)
    assert b.outcome == "unreadable"
    assert word in b.reason
    assert b.atoms is None


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (cif("Na1 Na 0 0 0 1", "H1 H ? ? ? 1", symbol="P 1"), "coordinate x of site H1 is not given"),
        (cif("Na1 Na 0 . 0 1", symbol="P 1"), "coordinate y of site Na1 is not given"),
        (cif("Na1 Na 0,5 0 0 1", symbol="P 1"), "0,5"),
        (cif("Na1 Na nan 0 0 1", symbol="P 1"), "Na1"),
        (cif("Na1 Na inf 0 0 1", symbol="P 1"), "Na1"),
        (cif("Na1 Na 1e308 0 0 1", symbol="P 1"), "Na1"),
        (cif(*ROCK_SALT, cell=[0, *CUBIC[1:]]), "_cell_length_a makes no sense: 0"),
        (cif(*ROCK_SALT, cell=[-5.64, *CUBIC[1:]]), "_cell_length_a makes no sense: -5.64"),
        (cif(*ROCK_SALT, cell=["5,64", *CUBIC[1:]]), "_cell_length_a is not a number: 5,64"),
        (cif(*ROCK_SALT, cell=["nan", *CUBIC[1:]]), "_cell_length_a"),
        (cif(*ROCK_SALT, cell=[*CUBIC[:5], 180]), "_cell_angle_gamma"),
        (cif(*ROCK_SALT, cell=[*CUBIC[:3], 60, 60, 130]), "impossible cell angles: 60, 60, 130"),
        (cif("C1 C 0 0 0 1", cell=[0.3, 5, 5, 90, 90, 90], ops=P1), "0.3 Å apart"),
        (cif("C1 C 0 0 0 1", cell=[9, 9, 9, 1, 1, 1.9], ops=P1), "Å apart"),
        (cif("Na1 Na 0 0 0 0.8", "K1 K 0 0 0 0.6", symbol="F m -3 m"), "1.4 on the site of Na1, K1"),
        (cif("Na1 Na 0 0 0 1", "K1 K 0 0 0 1", symbol="F m -3 m"), "2 on the site of Na1 and K1"),
        (cif("Na1 Na 0 0 0 0.8", "K1 K 0 .5 .5 0.6", symbol="F m -3 m"), "1.4 on the site of Na1, K1"),
        (cif("Na1 Na 0 0 0 4"), "occupancy of site Na1"),
        (cif("Na1 Na 0 0 0 -0.5"), "occupancy of site Na1"),
        (cif("Na1 Na 0 0 0 1", "Xx1 Xx .5 .5 .5 1"), "unknown element Xx at site Xx1"),
        (cif("Na1 Na 0 0 0 1", "M1 Fe/Mg .5 .5 .5 1"), "unknown element Fe/Mg at site M1"),
        (cif(*ROCK_SALT, ops=["x,y,z", "x+4/159,y,z"]), "x+4/159,y,z"),
        (cif(*ROCK_SALT, ops=["x,y,z", "-x,-y,z+1/2", "-x,y,-z"]), "not a group"),
        (cif(*ROCK_SALT, ops=["x,y,z", "x,y"]), "x,y"),
        (cif(*ROCK_SALT, ops=["x,y,z", "x,x,z"]), "not a symmetry operation: x,x,z"),
        (cif(*ROCK_SALT, ops=["x,y,z", "x,y,z+1/0"]), "not understood"),
        (cif(*ROCK_SALT, ops=["x,y,z", "banana"]), "banana"),
    ],
)
def test_rejected(block, content, word):
    b = block(content)
    assert b.outcome == "rejected"
    assert word in b.reason
    assert b.atoms is None


@pytest.mark.parametrize(
    ("content", "formula"),
    [
        (
            cif(
                "Li1 Li .125 .125 .125 1", "Mn1 Mn .5 .5 .5 .75", "Ni1 Ni .5 .5 .5 .25", "O1 O .2632 .2632 .2632 1",
                cell=[8.17] * 3 + [90] * 3, symbol="F d -3 m :2",
            ),
            "LiMn1.5Ni0.5O4",
        ),
        (cif("Cu1 Cu 0 0 0 0.333", "Au1 Au 0 0 0 0.667", symbol="F m -3 m"), "Au0.667Cu0.333"),
        (cif("Na1 Na 0 0 0 0.98", "Cl1 Cl .5 .5 .5 1", symbol="F m -3 m"), "ClNa0.98"),
        (cif("M1 '0.75Si + 0.25Al' 0 0 0 1", "O1 O .5 .5 .5 1", symbol="F m -3 m"), "Al0.25OSi0.75"),
    ],
)  # fmt: skip
def test_partial_occupancy_is_disordered_and_never_rounded(block, content, formula):
    b = block(content)
    assert (b.outcome, b.formula, b.atoms) == ("disordered", formula, None)
    assert "partial occupancy" in b.reason


def test_disorder_groups(block):
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "disorder_assembly", "disorder_group")
    two = block(cif("O1 O 0 0 0 A 1", "O2 O .1 0 0 A 2", tags=tags, symbol="P 1"))
    assert two.outcome == "disordered"
    assert "disorder groups at O1, O2" in two.reason
    minus = block(cif("O1 O 0 0 0 . -1", tags=tags, symbol="P 1"))
    assert minus.outcome == "disordered"
    one = block(cif("O1 O 0 0 0 A 1", "O2 O .3 0 0 . .", tags=tags, symbol="P 1"))
    assert one.outcome == "stored"
    assert any("disorder group at O1" in w for w in one.warnings)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (cif(*ROCK_SALT, symbol="F m -3 m", formula="Mg O"), "the formula has MgO, the sites Cl4Na4"),
        (cif("Li1 Li 0 0 0 1", "O1 O .5 .5 .5 1", symbol="F m -3 m", formula="H Li O"), "1 H per formula unit missing"),
        (cif("Ni1 Ni 0 0 0 1", "O1 O .5 .5 .5 1", ops=P1, formula="Ni O2 H2"), "2 H per formula unit missing"),
        (cif("C1 C 0 0 0 1", "C2 C .05 0 0 1", ops=P1), "C1 and C2 at 0.282 Å"),
        (cif("C1 C 0 0 0 1", "C2 C .98 0 0 1", ops=P1), "C1 and C2"),
        (cif("O1 OH 0 0 0 1", "Ca Ca .5 .5 .5 1", ops=P1), "O1 stands for a group with hydrogen"),
        (cif(*ROCK_SALT, cell=[5.64, 5.64, 6.1, 90, 90, 90], symbol="F m -3 m"), "does not have the symmetry"),
    ],
)
def test_flagged_blocks_keep_their_atoms(block, content, word):
    b = block(content)
    assert b.outcome == "flagged"
    assert word in b.reason
    assert b.atoms is not None


def test_hydrogen_molecule_is_not_too_close(block):
    b = block(cif("H1 H 0 0 0 1", "H2 H .131 0 0 1", ops=P1))
    assert (b.outcome, b.formula) == ("stored", "H")


def test_a_formula_with_more_than_one_way_to_write_it(block):
    for formula in ("Na Cl", "Na4 Cl4", "Cl1 Na1", "NaCl", "NA CL", "(Na Cl)2"):
        assert block(cif(*ROCK_SALT, symbol="F m -3 m", formula=formula)).outcome == "stored"


def test_occupancies_within_rounding_of_one(block):
    b = block(cif("Na1 Na 0 0 0 0.9999", "Cl1 Cl .5 .5 .5 1.0001", symbol="F m -3 m"))
    assert b.outcome == "stored"
    assert any("Na1 (0.9999)" in w for w in b.warnings)


@pytest.mark.parametrize("missing", [".", "?"])
def test_occupancies_not_given(block, missing):
    b = block(cif(f"Na1 Na 0 0 0 {missing}", "Cl1 Cl .5 .5 .5 1", symbol="F m -3 m"))
    assert (b.outcome, len(b.atoms)) == ("stored", 8)
    assert any("occupancy not given at Na1" in w for w in b.warnings) == (missing == "?")


def test_what_an_export_says_of_itself(block):
    text = NACL + "_mlmat_energy -27.5\n_mlmat_rank 1\n_mlmat_method 'mace/small x'\n_mlmat_id '12'\n_mlmat_gap ?\n"
    assert block(text).key_values == {"energy": -27.5, "rank": 1, "method": "mace/small x", "id": "12"}
    assert block(text).results == {}
    assert block(NACL).key_values == {}


def test_initial_moments_and_charges_of_an_export(block):
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
    text = cif("Fe1 Fe 0 0 0 2.5 -1", "O1 O .5 .5 .5 -0.5 1", tags=(*tags, "m", "q"), ops=P1)
    text = text.replace("_atom_site_m", "_mlmat_atom_site_initial_magnetic_moment")
    b = block(text.replace("_atom_site_q", "_mlmat_atom_site_initial_charge"))
    assert b.atoms.get_initial_magnetic_moments().tolist() == [2.5, -0.5]
    assert b.atoms.get_initial_charges().tolist() == [-1, 1]
    b = block(text.replace("_atom_site_q", "_mlmat_atom_site_initial_charge").replace("2.5 -1", "? ?"))
    assert b.outcome == "stored"
    assert not b.atoms.has("initial_magmoms")


def test_dummies_and_empty_sites_are_left_out(block):
    tags = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "calc_flag", "occupancy")
    b = block(cif("Na1 Na 0 0 0 d 1", "Q1 C ? ? ? dum 1", "K1 K .5 .5 .5 d 0", tags=tags, symbol="P 1"))
    assert (b.outcome, b.formula) == ("stored", "Na")
    assert any("Q1" in w for w in b.warnings)
    assert any("K1" in w for w in b.warnings)


def test_deuterium_is_hydrogen_with_a_warning(block):
    b = block(cif("Li1 Li 0 0 0 1", "D1 D .5 .5 .5 1", symbol="F m -3 m", formula="Li D"))
    assert (b.outcome, b.formula) == ("stored", "HLi")
    assert any("deuterium (D) at D1" in w for w in b.warnings)
    assert np.allclose(b.atoms.get_masses()[b.atoms.numbers == 1], 2.014)


@pytest.mark.parametrize(
    ("site", "formula", "expected"),
    [
        ("Ow O2- 0 0 0", None, "O"),
        ("Ca2+ Ca2+ 0 0 0", None, "Ca"),
        ("A1 AL 0 0 0", None, "Al"),
        ("CA1 C 0 0 0", None, "C"),
        ("X1 Cval 0 0 0", None, "C"),
        ("X1 Zn3+2 0 0 0", None, "Zn"),
        ("Fe1 '?' 0 0 0", None, "Fe"),
        ("CA1 . 0 0 0", "Ca", "Ca"),
        ("CA1 . 0 0 0", "C", "C"),
        ("CA1 . 0 0 0", None, "Ca"),
        ("O1- . 0 0 0", None, "O"),
        ("FeM1 . 0 0 0", None, "Fe"),
        ("AL2 . 0 0 0", "AL", "Al"),
        ("NO1 . 0 0 0", None, "N"),
        ("Nb1A . 0 0 0", None, "Nb"),
        ("'C 1' . 0 0 0", None, "C"),
    ],
)
def test_elements_of_types_and_labels(block, site, formula, expected):
    items = {"formula": formula} if formula else {}
    b = block(cif(site, tags=("label", "type_symbol", "fract_x", "fract_y", "fract_z"), symbol="P 1", **items))
    assert (b.outcome, b.formula) == ("stored", expected)


@pytest.mark.parametrize("kind", ["NH4", "Nh", "Vac", "Wx", "T", "0.5(1)Fe+Mg", "Fe0.5Mg0.5", "Fe,Mg", "1"])
def test_types_that_are_no_element_are_never_guessed(block, kind):
    b = block(cif(f"Na1 '{kind}' 0 0 0 1", symbol="P 1"))
    assert b.outcome in ("rejected", "flagged")


def test_too_many_sites_are_rejected_before_they_are_made(block):
    one = cif("Na1 Na .11 .23 .31 1", cell=[20.0] * 3 + [90] * 3, symbol="F m -3 m")
    assert block(one, Limits(max_sites=192)).outcome == "stored"
    b = block(one, Limits(max_sites=191))
    assert b.outcome == "rejected"
    assert "too large" in b.reason
    listed = block(cif(*ALL_ROCK_SALT, ops=P1), Limits(max_sites=7))
    assert (listed.outcome, "8 sites" in listed.reason) == ("rejected", True)


@pytest.mark.parametrize("data", [gzip.compress(b" " * 5_000_000), b" " * 5_000_000])
def test_files_that_are_too_large(block, data):
    b = block(data, Limits(max_bytes=1_000_000))
    assert b.outcome == "rejected"
    assert "too large" in b.reason


@pytest.mark.parametrize(
    "data",
    [
        NACL.encode("utf-8-sig"),
        NACL.encode("utf-16"),
        NACL.replace("\n", "\r\n").encode(),
        NACL.replace("\n", "\r").encode(),
        NACL.replace("data_x", "data_x\n_publ_author_name 'Müller'").encode("latin-1"),
        gzip.compress(NACL.encode()),
        gzip.compress(NACL[:50].encode()) + gzip.compress(NACL[50:].encode()),
    ],
)
def test_encodings(block, data):
    b = block(data)
    assert (b.outcome, b.formula, len(b.atoms)) == ("stored", "ClNa", 8)


def test_every_block_is_a_row_of_its_own(blocks):
    parts = [
        NACL,
        "data_log\n_x\n;\ndata_inside_a_text\n;\n",
        NACL,
        "data_bad\n_x 'open\n",
        cif("Mg1 Mg 0 0 0 1", ops=P1),
    ]
    text = "# head\n" + "".join(parts)
    found = blocks(text)
    assert [b.name for b in found] == ["x", "log", "x", "bad", "x"]
    assert [b.index for b in found] == [0, 1, 2, 3, 4]
    assert [b.outcome for b in found] == ["stored", "unreadable", "stored", "unreadable", "stored"]
    assert "".join(b.text for b in found) == text
    assert found[2].text == NACL
    line = text[: text.index("'open")].count("\n") + 1
    assert f"line {line}:" in found[3].reason


def test_an_empty_duplicate_of_a_tag_is_only_a_warning(block):
    b = block(cif(*ROCK_SALT, symbol="F m -3 m", formula="Na Cl").replace("loop_", "_chemical_formula_sum ''\nloop_"))
    assert (b.outcome, b.declared_formula) == ("stored", "Na Cl")
    assert any("duplicate tag _chemical_formula_sum" in w for w in b.warnings)


def test_reasons_are_one_printable_line(block):
    b = block(cif("'a\tb\x1b[31m' Xx 0 0 0 1", symbol="P 1"))
    assert b.outcome != "stored"
    assert b.reason.isprintable()
    long = block(cif(f"{'Y' * 3000} Xx 0 0 0 1", symbol="P 1"))
    assert len(long.reason) <= 300


def test_dotted_tags_of_newer_dictionaries(block):
    text = cif(*ROCK_SALT, symbol="F m -3 m").replace("_atom_site_", "_atom_site.").replace("_cell_", "_cell.")
    assert (block(text).outcome, len(block(text).atoms)) == ("stored", 8)
