"""Files of every format, cut, flipped, spliced and stuffed with words that make trouble."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import hypothesis
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hypothesis import strategies as st
from small_cifs import cif

from mlmat.reader import Block, Limits, read

OUTCOMES = {"stored", "disordered", "flagged", "rejected", "unreadable"}
NAMES = ("x.cif", "x.mcif", "POSCAR", "x.extxyz", "x.traj", "x.json", "x.jsonl", "-")
#: Words that some format understands, and values that nothing should believe.
TOKENS = (
    b"data_", b"loop_", b"save_", b"_atom_site_label", b"\n;", b"'", b'"', b"?", b".", b"#", b"\0", b"\xff\xfe",
    b"nan", b"inf", b"-1", b"0", b"1e999", b"1e308", b"999999999", b"-9223372036854775808", b"1/0", b"x,y,z", b"Xx",
    b"[", b"]", b"{", b"}", b",", b":", b"null", b"true", b'{"__ndarray__": [[9], "float64", [1]]}', b'"@class": "X"',
    b"Lattice=", b"Properties=species:S:9", b":R:999", b"Direct", b"Selective", b"\r", b"\n\n", b"\n", b"()", b"_(9)",
    b"\xc3\xa9", "\u202e".encode(), b"VEC1 1 0 0", b"\x00\x00\x00\x00\x00\x00\x00\x80", b"\xff" * 8, b"\x1b[2J", b"D",
)  # fmt: skip


class Wound(NamedTuple):
    """What is done at a place (0 to 1 of the file): a kind, a length in bytes, another place, a word."""

    kind: str
    place: float
    length: int
    other: float
    token: bytes


KINDS = ("flip", "cut", "splice", "repeat", "insert", "replace", "end")
SHARE = st.floats(0, 1, exclude_max=True)
WOUNDS = st.lists(
    st.builds(Wound, st.sampled_from(KINDS), SHARE, st.integers(1, 60), SHARE, st.sampled_from(TOKENS) | st.binary()),
    max_size=8,
)


def _salt() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.64) * (1, 1, 2)
    atoms.rattle(0.01, seed=1)
    atoms.set_initial_magnetic_moments([0.5] * len(atoms))
    atoms.info["gap"] = 5.0
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((len(atoms), 3)), stress=np.arange(6.0))
    return atoms


def _written(form: str) -> bytes:
    file: io.StringIO | io.BytesIO = io.BytesIO() if form == "traj" else io.StringIO()
    file.close = lambda: None  # type: ignore[method-assign]
    write(file, _salt(), format=form)
    value = file.getvalue()
    return value if isinstance(value, bytes) else value.encode()


@cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """A name and a good file of every format."""
    atoms = _salt()
    symbols, positions, cell = atoms.get_chemical_symbols(), atoms.positions.tolist(), atoms.cell.array.tolist()
    row = {"numbers": atoms.numbers.tolist(), "positions": positions, "cell": cell, "pbc": [True] * 3, "energy": -1.0}
    fractions = atoms.get_scaled_positions().tolist()
    sites = [{"species": [{"element": s, "occu": 1}], "abc": x} for s, x in zip(symbols, fractions, strict=True)]
    kinds = [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in sorted(set(symbols))]
    said = {
        "species": kinds, "species_at_sites": symbols, "cartesian_site_positions": positions, "lattice_vectors": cell,
        "dimension_types": [1, 1, 1],
    }  # fmt: skip
    symmetric = cif().replace("'P 1'", "'F m -3 m'").replace("0.125 0.25 0.3", "0 0 0").replace("'x, y, z'", "'x,y,z'")
    texts = {
        "x.cif": cif() + cif(5.0, occupancy=0.5, name="two"),
        "y.cif": symmetric.replace("loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n", ""),
        "x.json": json.dumps({"1": row | {"key_value_pairs": {"gap": 1.0}}, "ids": [1], "nextid": 2}),
        "y.json": json.dumps({"@class": "Structure", "lattice": {"matrix": cell}, "sites": sites}),
        "x.jsonl": json.dumps({"type": "structures", "id": "a/1", "attributes": said}) + "\n",
    }
    files = {"POSCAR": "vasp", "x.extxyz": "extxyz", "x.traj": "traj"}
    return (*((n, t.encode()) for n, t in texts.items()), *((n, _written(form)) for n, form in files.items()))


def wounded(data: bytes, wounds: Iterable[Wound]) -> bytes:
    """The data with all that is done to it."""
    for kind, place, length, other, token in wounds:
        at, there = int(place * len(data)), int(other * len(data))
        before, piece, after = data[:at], data[at : at + length], data[at + length :]
        flipped = bytes(b ^ (1 << length % 8) for b in piece)
        data = {
            "flip": before + flipped + after,
            "cut": before + after,
            "splice": before + data[there:],
            "repeat": before + piece * 3 + after,
            "insert": before + token + piece + after,
            "replace": before + token + after,
            "end": before,
        }[kind]
    return data


def check(block: Block) -> None:
    """What ingest relies on, of every block of every file."""
    assert block.outcome in OUTCOMES
    assert (block.reason is None) == (block.outcome == "stored")
    assert (block.atoms is not None) == (block.outcome in ("stored", "flagged"))
    for text in (block.reason or "", *block.warnings, block.name, block.declared_formula or ""):
        assert text.isprintable()
        assert len(text) <= 300
    for key, value in block.key_values.items():
        assert key.isprintable()
        assert not isinstance(value, float) or np.isfinite(value)
    for value in block.results.values():
        assert isinstance(value, str) or np.isfinite(value).all()
    if block.atoms is not None:
        from mlmat.materials.structure import to_row

        assert np.isfinite(block.atoms.positions).all()
        assert np.isfinite(block.atoms.cell.array).all()
        assert to_row(block.atoms)["structure_id"]


def _read_and_check(name: str, data: bytes) -> None:
    blocks = list(read(name, data, Limits(max_sites=2_000)))
    assert blocks, "every file has a row"
    assert [block.index for block in blocks] == list(range(len(blocks)))
    for block in blocks:
        check(block)


def mutate_for(seconds: float, first: int) -> int:
    """Read damaged files of every format, and bytes without any, for so many seconds; how many there were."""
    end, count = time.monotonic() + seconds, 0
    damaged = st.builds(
        lambda original, wounds: (original[0], wounded(original[1], wounds)), st.sampled_from(originals()), WOUNDS
    )

    @hypothesis.settings(max_examples=100, database=None, derandomize=False)
    @hypothesis.given(damaged | st.tuples(st.sampled_from(NAMES), st.binary(max_size=2_000)))
    def one(file: tuple[str, bytes]) -> None:
        nonlocal count
        count += 1
        _read_and_check(*file)

    while time.monotonic() < end:
        first += 1
        hypothesis.seed(first)(one)()
    return count
