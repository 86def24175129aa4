from __future__ import annotations

import gzip

import numpy as np
from ase import Atoms
from cif_texts import ALL_ROCK_SALT, ROCK_SALT, cif, p1
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmat.materials.structure import structure_id
from mlmat.reader import Limits
from mlmat.reader.cif import read

LIMITS = Limits(max_sites=500, max_bytes=1_000_000)
OUTCOMES = {"stored", "disordered", "flagged", "rejected", "unreadable"}
SEEDS = [
    cif(*ROCK_SALT, symbol="F m -3 m", number=225, formula="Na Cl", z=4),
    cif(*ALL_ROCK_SALT, ops=["x,y,z"], formula="Na Cl"),
    cif("Mg1 Mg .333 .667 .25 1", cell=[3.2, 3.2, 5.2, 90, 90, 120], symbol="P 63/m m c"),
    cif("O1 O .1 .2 .3(1) .5", "H1 D ? . 1/2 .", ops=["x,y,z", "-x,1/2+y,-z"], symbol="P 21") * 2,
]
FRAGMENTS = [
    "?",
    ".",
    "nan",
    "1e400",
    "-1",
    "0",
    "'",
    ";",
    "\n;\n",
    "data_",
    "loop_",
    "_a",
    "x+1/3",
    "Fe",
    "90",
    "(",
    ",",
]


def check(data: bytes) -> None:
    found = list(read("x.cif", data, LIMITS))
    assert found
    assert [b.index for b in found] == list(range(len(found)))
    for b in found:
        assert b.outcome in OUTCOMES
        assert (b.reason is None) == (b.outcome == "stored")
        assert (b.atoms is not None) == (b.outcome in ("stored", "flagged"))
        for line in (b.reason or "", *b.warnings, b.name):
            assert line.isprintable()
        if b.atoms is not None:
            assert 0 < len(b.atoms) <= LIMITS.max_sites
            assert np.isfinite(b.atoms.positions).all()
            assert np.isfinite(b.atoms.cell.array).all()
            assert b.atoms.cell.volume > 0


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_make_rows(data):
    check(data)
    check(b"data_x\n" + data)
    check(gzip.compress(data))


@settings(deadline=None)
@given(st.text(max_size=500))
def test_any_text_makes_rows(text):
    check(("data_x\n" + text).encode("utf-8", "surrogatepass"))


@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_files_make_rows(seed, data):
    text = seed
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(len(text), at + 12)))
        text = text[:at] + data.draw(st.sampled_from([*FRAGMENTS, ""])) + text[end:]
    check(text.encode())


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_exchanged_words_make_rows(seed, data):
    words = seed.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(FRAGMENTS))
    check(" ".join(words).encode())


@st.composite
def crystals(draw) -> Atoms:
    # Values on a grid of their own keep clear of the rounding boundaries of the id.
    lengths = [draw(st.integers(400, 1200)) / 100 for _ in range(3)]
    angles = [float(draw(st.integers(70, 110))) for _ in range(3)]
    spots = draw(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=8, unique=True))
    shift = np.array([draw(st.integers(-1500, 1500)) / 1000 for _ in range(3)])
    numbers = [draw(st.integers(1, 94)) for _ in spots]
    atoms = Atoms(numbers=numbers, cell=[*lengths, *angles], pbc=True)
    atoms.set_scaled_positions(np.array(spots) / 4 + shift)
    return atoms


@settings(max_examples=examples(150), deadline=None)
@given(crystals())
def test_random_crystals_read_back_equal(atoms):
    fract = atoms.get_scaled_positions(wrap=False)
    (b,) = read("x.cif", p1(atoms).encode(), LIMITS)
    assert b.outcome == "stored"
    assert (b.atoms.numbers == atoms.numbers).all()
    assert np.allclose(b.atoms.positions, fract @ b.atoms.cell.array, atol=1e-9)
    assert np.allclose(b.atoms.cell.cellpar(), atoms.cell.cellpar(), atol=1e-9)
    written = Atoms(atoms.numbers, cell=atoms.cell.cellpar(), pbc=True, scaled_positions=fract)
    assert structure_id(b.atoms) == structure_id(written)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.tuples(*[st.integers(0, 23)] * 3),
    st.sampled_from(["F m -3 m", "I a -3 d", "P 63/m m c", "F d -3 m:2", "C 1 2/m 1"]),
)
def test_orbits_of_any_site_are_those_of_gemmi(spot, symbol):
    import gemmi

    fract = np.array(spot) / 24
    cell = [30.0, 30.0, 40.0, 90, 90, 120] if "63" in symbol else [30.0] * 3 + [90] * 3
    (b,) = read("x.cif", cif(f"C1 C {' '.join(map(str, fract))} 1", cell=cell, symbol=symbol).encode(), LIMITS)
    group = gemmi.find_spacegroup_by_name(symbol).operations()
    orbit = {tuple(np.rint(np.array(op.apply_to_xyz(list(fract))) * 72).astype(int) % 72) for op in group}
    mine = np.rint(b.atoms.get_scaled_positions() * 72).astype(int) % 72
    assert len(b.atoms) == len(orbit)
    assert {tuple(row) for row in mine} == orbit
