"""Extended XYZ and ASE's trajectories: many frames, broken ones, molecules."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from good_files import as_traj, as_xyz, rock_salt

from mlmat.materials.structure import structure_id
from mlmat.reader import Limits, read

FRAME = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 {}\nNa 0 0 0\nCl 2 2 2\n'


def xyz(text):
    return list(read("x.xyz", text.encode(), Limits()))


def test_every_frame_is_a_block_with_its_own_text():
    frames = [FRAME.format(f"step={i}") for i in range(5)]
    found = xyz("".join(frames))
    assert [b.text for b in found] == frames
    assert [b.name for b in found] == list("01234")
    assert [b.key_values for b in found] == [{"step": i} for i in range(5)]


def test_blank_lines_between_frames_and_no_line_end():
    found = xyz("\n\n" + FRAME.format("") + "\n \n" + FRAME.format("").rstrip())
    assert [b.outcome for b in found] == ["stored"] * 2


def test_one_broken_frame():
    found = xyz(FRAME.format("") + FRAME.format("").replace("Cl 2 2 2", "Cl 2 2") + FRAME.format(""))
    assert [b.outcome for b in found] == ["stored", "unreadable", "stored"]
    assert found[1].reason.startswith("not extended XYZ")


def test_what_comes_before_the_break_is_kept():
    found = xyz(FRAME.format("") + "Na 1 1 1\n" + FRAME.format(""))
    assert [b.outcome for b in found] == ["stored", "unreadable"]
    assert found[1].reason == "line 5 is not a number of atoms: Na 1 1 1"
    found = xyz(FRAME.format("") + FRAME.format("").replace("Cl 2 2 2\n", ""))
    assert found[1].reason == "line 5 says 2 atoms, but the file ends after 1"


def test_a_molecule():
    (block,) = xyz("2\nwater, or not\nO 0 0 0\nH 0 0 1\n")
    assert block.outcome == "rejected"
    assert block.reason.startswith("no cell: not a crystal")
    (block,) = xyz(FRAME.format('pbc="F F F"'))
    assert block.reason == "not periodic in any direction: not a crystal"


def test_cell_vectors_below_the_atoms():
    (block,) = xyz("2\nnothing\nNa 0 0 0\nCl 2 2 2\nVEC1 4 0 0\nVEC2 0 4 0\nVEC3 0 0 4\n")
    assert block.outcome == "stored"
    assert np.allclose(block.atoms.cell, np.eye(3) * 4)


@pytest.mark.parametrize(
    ("pairs", "values"),
    [
        ("gap=1.5 n=3 ok=T name=salt", {"gap": 1.5, "n": 3, "ok": True, "name": "salt"}),
        ('name="rock salt" flag', {"name": "rock salt", "flag": True}),
        ("gap=nan", {}),
        ("vector=1,2,3", {}),
        ("spacegroup='F m -3 m'", {"spacegroup": "F m -3 m"}),
    ],
)
def test_the_comment_line(pairs, values):
    (block,) = xyz(FRAME.format(pairs))
    assert block.outcome == "stored"
    assert block.key_values == values


def test_results_that_cannot_be_right():
    (block,) = xyz(FRAME.format("energy=nan dipole='1 2' free_energy=-2.5"))
    assert block.results == {"free_energy": -2.5}
    assert block.warnings == ("results left out, not finite or of another shape: energy, dipole",)


def test_a_stress_of_six_components():
    (block,) = xyz(FRAME.format('stress="1 2 3 4 5 6" calculator=vasp'))
    assert block.results["stress"].tolist() == [1, 2, 3, 4, 5, 6]
    assert block.results["calculator"] == "vasp"
    assert block.key_values == {}
    (block,) = xyz(FRAME.format('stress="1 6 5 6 2 4 5 4 3"'))
    assert block.results["stress"].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_stress_that_is_none():
    (block,) = xyz(FRAME.format("stress=high"))
    assert block.outcome == "stored"
    assert block.warnings == ("stress left out: high is no tensor",)


def test_a_frame_without_positions():
    (block,) = read("x.traj", as_traj(rock_salt()).replace(b'"positions."', b'"position_."'))
    assert (block.outcome, block.reason) == ("unreadable", "a broken frame: it has no positions")


def test_forces_by_another_name():
    text = (
        FRAME.format("")
        .replace("pos:R:3", "pos:R:3:force:R:3")
        .replace("0 0 0\n", "0 0 0 1 2 3\n")
        .replace("2 2 2\n", "2 2 2 4 5 6\n")
    )
    (block,) = xyz(text)
    assert block.results["forces"].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "columns", ["species:S:1:pos:R:999999999", "species:S:1:pos:R:3:x:R:1", "species:S:1:pos:R:99999999999"]
)
def test_columns_that_are_not_there(columns):
    for properties in (columns, f"[{columns}]", f"'{columns}' Properties=\"{columns}\""):
        (block,) = xyz(FRAME.format("").replace("species:S:1:pos:R:3", properties))
        assert block.outcome == "unreadable"
        assert "columns, the first atom has 4" in block.reason


def test_unknown_elements():
    (block,) = xyz(FRAME.format("").replace("Na", "Qq"))
    assert block.outcome == "rejected"
    assert "Qq" in block.reason
    (block,) = xyz(FRAME.format("").replace("Na", "X"))
    assert block.reason == "unknown element 0 at atom 1: not an atomic number"


def test_constraints_are_left_out_with_a_warning():
    atoms = rock_salt()
    atoms.set_constraint(FixAtoms([0]))
    (block,) = read("x.traj", as_traj(atoms))
    assert block.warnings == ("constraints are not kept",)
    assert structure_id(block.atoms) == structure_id(atoms)
    text = io.StringIO()
    from ase.io.extxyz import write_xyz

    write_xyz(text, atoms, columns=["symbols", "positions", "move_mask"])
    (block,) = xyz(text.getvalue())
    assert block.warnings == ("constraints (move_mask) are not kept",)


def test_frames_of_different_crystals():
    frames = [rock_salt(), Atoms("Cu", cell=[2.6] * 3, pbc=True), rock_salt()[:3]]
    for file, data in (("x.traj", as_traj(frames)), ("x.xyz", as_xyz(frames))):
        assert [structure_id(b.atoms) for b in read(file, data)] == list(map(structure_id, frames))


def test_a_trajectory_that_lost_its_end():
    data = as_traj([rock_salt() for _ in range(4)])
    whole = list(read("x.traj", data))
    assert [b.outcome for b in whole] == ["stored"] * 4
    found = list(read("x.traj", data[: int(len(data) * 0.7)]))
    assert 1 < len(found) <= 4
    assert found[0].outcome == "stored"
    assert {b.outcome for b in found[1:]} <= {"stored", "unreadable"}
    assert found[-1].outcome == "unreadable"


def test_a_header_with_too_many_frames():
    data = bytearray(as_traj(rock_salt()))
    data[32:40] = (2**60).to_bytes(8, "little")
    (block,) = read("x.traj", bytes(data))
    assert block.reason == "broken trajectory: it ends before its header says"


def test_another_file_of_the_same_container():
    from ase.io.ulm import Writer

    file = io.BytesIO()
    file.close = lambda: None
    writer = Writer(file, "w", "something")
    writer.write(a=1)
    writer.close()
    (block,) = read("x.traj", file.getvalue())
    assert block.reason == "not a trajectory of ASE 3.9 or newer"


def test_a_pickle_is_not_loaded():
    class Harm:
        def __reduce__(self):
            return (pytest.fail, ("it was loaded",))

    for name in ("x.traj", "x.json", "x.xyz"):
        (block,) = read(name, pickle.dumps(Harm()))
        assert block.outcome == "unreadable"


def test_info_of_a_trajectory_that_is_no_scalar():
    atoms = rock_salt()
    atoms.info = {"a": [1, 2], "b": "x", "c": {"d": 1}, "e": np.float64(0.5), "f": json.dumps([1])}
    (block,) = read("x.traj", as_traj(atoms))
    assert block.key_values == {"b": "x", "e": 0.5, "f": "[1]"}
