"""Hostile files: each maker writes some into a folder and says what has to become of them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from ase.build import bulk
from ase.db import connect
from small_cifs import cif

MB = 1024**2
#: For each file (or FILE!MEMBER) its outcome, and a word of the reason.
Expected = dict[str, tuple[str, str]]
Maker = Callable[[Path], Expected]
CELL = "".join(f"_cell_length_{x} 100\n" for x in "abc") + "".join(
    f"_cell_angle_{x} 90\n" for x in ("alpha", "beta", "gamma")
)
SITES = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
LATTICE = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
POSCAR = "x\n1\n4 0 0\n0 4 0\n0 0 4\nCu\n"


# -- bombs ---------------------------------------------------------------------------------------


def compressed_bombs(folder: Path) -> Expected:
    """2.5 to 5 GB of nothing in a few MB, as gzip, bzip2 and xz; and just too little to be refused by its size."""
    (folder / "a.cif.gz").write_bytes(gzip.compress(bytes(50 * MB)) * 100)
    (folder / "b.xyz.bz2").write_bytes(bz2.compress(bytes(25 * MB)) * 100)
    (folder / "c.vasp.xz").write_bytes(lzma.compress(bytes(50 * MB), preset=0) * 50)
    (folder / "d.cif.gz").write_bytes(gzip.compress(b" " * (50 * MB)) * 5)
    large = ("rejected", "too large: more than 256 MiB")
    return {"a.cif.gz": large, "b.xyz.bz2": large, "c.vasp.xz": large, "d.cif.gz": ("unreadable", "empty")}


def _understated(path: Path) -> None:
    """Let the directory say that the first member has a thousand bytes."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, 1000)
    path.write_bytes(data)


def zip_bombs(folder: Path) -> Expected:
    """Members that grow, archives in archives, and a directory that lies about 800 MB."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.cif", bytes(50 * MB))
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("grows.cif", bytes(100 * MB))
        archive.writestr("in.zip", inner.getvalue())
        archive.writestr("packed.cif.gz", gzip.compress(bytes(50 * MB)) * 6)
        archive.writestr("good.cif", cif(4.5))
    for name, kind in (("bz2.zip", zipfile.ZIP_BZIP2), ("deflate.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(folder / name, "w", kind) as archive:
            with archive.open("lies.cif", "w", force_zip64=True) as file:
                for _ in range(16):
                    file.write(bytes(50 * MB))
            archive.writestr("good.cif", cif(4.5))
        _understated(folder / name)
    return {
        "a.zip!grows.cif": ("rejected", "times its size"),
        "a.zip!in.zip": ("rejected", "an archive inside an archive"),
        "a.zip!packed.cif.gz": ("rejected", "too large"),
        "a.zip!good.cif": ("stored", ""),
        "bz2.zip!lies.cif": ("unreadable", "broken in the archive"),
        "bz2.zip!good.cif": ("duplicate", ""),
        "deflate.zip!lies.cif": ("unreadable", "broken in the archive"),
        "deflate.zip!good.cif": ("duplicate", ""),
    }


def _header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def _sparse(name: str, size: int) -> bytes:
    """The header of a member that is one hole."""
    header = bytearray(_header(name, tarfile.GNUTYPE_SPARSE, 0))
    header[398:410] = header[386:398] = b"%011o\0" % 0
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar_bombs(folder: Path) -> Expected:
    """Headers of a name of 900 MB, holes that become bytes, links, devices and paths that lead out."""
    names = gzip.compress(b"1" * (100 * MB), 1) * 9
    for name, kind in (("pax.tgz", tarfile.XHDTYPE), ("longname.tgz", tarfile.GNUTYPE_LONGNAME)):
        (folder / name).write_bytes(gzip.compress(_header("x", kind, 900 * MB)) + names)
    (folder / "holes.tar").write_bytes(b"".join(_sparse(f"{i}.cif", 200 * MB) for i in range(50)) + bytes(1024))
    (folder / "grows.tgz").write_bytes(gzip.compress(_header("x.cif", tarfile.REGTYPE, 3000 * MB)) + names * 4)
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    with tarfile.open(folder / "links.tar", "w") as archive:
        for i, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"{i}.cif")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name in ("../up.cif", "/etc/abs.cif"):
            info = tarfile.TarInfo(name)
            info.size = len(cif())
            archive.addfile(info, io.BytesIO(cif().encode()))
    broken = ("rejected", "a header of 943718400 bytes")
    return {
        "pax.tgz!": broken,
        "longname.tgz!": broken,
        "holes.tar!49.cif": ("rejected", "a sparse file"),
        "grows.tgz!x.cif": ("rejected", "too large: 3000 MiB"),
        **{f"links.tar!{i}.cif": ("rejected", "a link or device") for i in range(len(kinds))},
        "links.tar!../up.cif": ("rejected", "leads out"),
        "links.tar!/etc/abs.cif": ("rejected", "absolute"),
    }


def parquet_bombs(folder: Path) -> Expected:
    """The same text of 20 MB again and again, in a few kB."""
    text = pa.array(["data_" + "x" * (20 * MB)])
    pq.write_table(pa.table({"cif": text.take(pa.array([0] * 80))}), folder / "again.parquet", compression="zstd")
    return {"again.parquet!": ("rejected", "times its size")}


# -- lines, values, brackets without end ---------------------------------------------------------


def _filled(path: Path, head: str, fill: str, size: int = 240 * MB, tail: str = "") -> None:
    part = (fill * (MB // len(fill))).encode()
    with path.open("wb") as file:
        file.write(head.encode())
        for _ in range(size // len(part)):
            file.write(part)
        file.write(tail.encode())


def gigabyte_lines(folder: Path) -> Expected:
    """Files of a gigabyte that are one line; sparse, so that they cost nothing."""
    said: Expected = {}
    for name, head in (("a.cif", "data_x\n_cell_length_a "), ("a.xyz", "1\n"), ("POSCAR", ""), ("a.json", "[")):
        _filled(folder / name, head, " ", 0)
        os.truncate(folder / name, 1024 * MB)
        said[name] = ("unreadable", "too large: 1074 MB, the limit is 268 MB")
    _filled(folder / "a.jsonl", '{"id": "x", "sites": "', " ", 0)
    os.truncate(folder / "a.jsonl", 1024 * MB)
    _filled(folder / "a.csv", 'id,cif\n1,"data_', " ", 0)
    os.truncate(folder / "a.csv", 1024 * MB)
    return said | {"a.jsonl!": ("rejected", "too large"), "a.csv!": ("rejected", "too large")}


def long_cif_lines(folder: Path) -> Expected:
    _filled(folder / "digits.cif", "data_x\n_cell_length_a ", "1")
    _filled(folder / "values.cif", "data_x\nloop_\n_atom_site_label\n", "1 ")
    return {"digits.cif": ("unreadable", "no structure"), "values.cif": ("rejected", "too large: a block of")}


def long_xyz_and_poscar_lines(folder: Path) -> Expected:
    _filled(folder / "pairs.xyz", f"1\n{LATTICE} ", "a=1 ", tail="\nCu 0 0 0\n")
    _filled(folder / "counts.vasp", POSCAR, "1 ")
    _filled(folder / "comment.vasp", "", "Cu ", tail="\n1\n")
    return {
        "pairs.xyz": ("rejected", "too large: a comment line"),
        "counts.vasp": ("unreadable", "line 7 is too long"),
        "comment.vasp": ("unreadable", "ends before line"),
    }


def brackets(folder: Path) -> Expected:
    """JSON whose values take 25 times the memory of its text."""
    _filled(folder / "lists.json", '{"sites":[', "[],", tail="[]]}")
    _filled(folder / "objects.json", '{"numbers":1,"positions":[', '{"a":1},', tail="[]]}")
    _filled(folder / "deep.json", '{"sites":', "[", 20 * MB)
    _filled(folder / "lines.jsonl", '{"id":"x","sites":[', "[],", tail="[]]}\n")
    large = ("rejected", "of memory")
    return {
        "lists.json": large,
        "objects.json": large,
        "deep.json": ("unreadable", "nested too deeply"),
        "lines.jsonl!": ("rejected", "too large"),
    }


def wide_tables(folder: Path) -> Expected:
    names = ",".join(f"column{i}" for i in range(1_000_000))
    (folder / "wide.csv").write_text(f"cif,{names}\n" + "data_x" + ",1" * 1_000_000)
    _filled(folder / "commas.csv", "cif", ",")
    _filled(folder / "row.csv", "cif\n", "x,")
    few = [f"column{i}" for i in range(5_000)]
    (folder / "some.csv").write_text("cif," + ",".join(few) + '\n"' + cif(4.9) + '"' + ",1" * len(few) + "\n")
    large = ("rejected", "a row is too large")
    return {
        "wide.csv!": large,
        "commas.csv!": large,
        "row.csv!": ("unreadable", "holds no structures"),
        "some.csv!1": ("stored", ""),
    }


# -- numbers without end -------------------------------------------------------------------------


def many_blocks(folder: Path) -> Expected:
    """A hundred thousand blocks in one CIF."""
    (folder / "blocks.cif").write_text("".join(f"data_{i}\n_cell_length_a {i}\n" for i in range(100_000)))
    return {"blocks.cif": ("unreadable", "no structure")}


def many_frames(folder: Path) -> Expected:
    (folder / "frames.xyz").write_text("1\n\nH 0 0 0\n" * 2_000_000)
    return {"frames.xyz": ("rejected", "more than 250,000 blocks")}


def many_atoms(folder: Path) -> Expected:
    """A thousand million atoms, after symmetry or by what a file says."""
    start = f"data_x\n{CELL}_symmetry_Int_Tables_number 225\n{SITES}"
    sites = "".join(f"Cu{i} 0.{i * 7919 % 99991:05d} 0.{i * 31337 % 99989:05d} 0.1234\n" for i in range(9_999))
    (folder / "symmetry.cif").write_text(start + sites)
    (folder / "sites.cif").write_text(start + "Cu 0.1 0.2 0.3\n" * 2_000_000)
    (folder / "crowd.cif").write_text(f"data_x\n{CELL}{SITES}" + "Cu 0.1 0.2 0.3\n" * 9_999)
    (folder / "z.cif").write_text(cif(4.6) + "_cell_formula_units_Z 1000000000\n")
    (folder / "many.vasp").write_text(f"{POSCAR}999999999\nDirect\n0 0 0\n")
    (folder / "many.xyz").write_text(f"999999999\n{LATTICE}\nCu 0 0 0\n")
    return {
        "symmetry.cif": ("rejected", "more than 10000 sites in the cell after symmetry"),
        "sites.cif": ("rejected", "sites listed"),
        "crowd.cif": ("flagged", "on top of each other"),
        "z.cif": ("stored", ""),
        "many.vasp": ("rejected", "999999999 sites"),
        "many.xyz": ("unreadable", "999999999 atoms, but the file ends"),
    }


def arrays_that_are_not_there(folder: Path) -> Expected:
    """Trajectories and databases that speak of gigabytes which they do not have, or make them up."""
    hollow = {"numbers.": {"ndarray": [[10**9], "int64", 48]}, "positions.": {"ndarray": [[10**9, 3], "float64", 48]}}
    spread = {"numbers": {"__ndarray__": [[800_000_000], "float64", 0]}, "positions": [], "cell": [], "pbc": []}
    objects = {"numbers.": {"ndarray": [[1], "O", 48]}, "positions": [], "cell": [], "pbc": []}
    for name, item in (("hollow", hollow), ("spread", spread), ("objects", objects)):
        (folder / f"{name}.traj").write_bytes(ulm(item))
    rows = folder / "rows.db"
    with connect(rows) as db:
        for size in (4.0, 4.1, 4.2):
            db.write(bulk("Ag", "sc", a=size))
    with sqlite3.connect(rows) as con:
        n = 4 * MB
        blobs = "numbers = zeroblob(?), positions = zeroblob(?)"
        con.execute(f"UPDATE systems SET natoms = ?, {blobs} WHERE id = 2", (n, 4 * n, 24 * n))
    con.close()
    computed = "numbers AS (zeroblob(900000000)), positions AS (zeroblob(900000000)), natoms, pbc"
    endless = "WITH RECURSIVE c(name, value) AS (SELECT 1, 1 UNION ALL SELECT name + 1, value FROM c) SELECT * FROM c"
    for name, script in (
        (
            "computed",
            f"CREATE TABLE information(name, value); CREATE TABLE systems(id INTEGER PRIMARY KEY, {computed})",
        ),
        ("view", f"CREATE VIEW information AS {endless}; CREATE TABLE systems(id INTEGER PRIMARY KEY)"),
        ("rows_view", f"CREATE TABLE information(name, value); CREATE VIEW systems AS {endless}"),
    ):
        with sqlite3.connect(folder / f"{name}.db") as con:
            con.executescript(script + ";")
            if name != "rows_view":
                con.execute("INSERT INTO systems(id) VALUES (1)")
        con.close()
    broken = ("unreadable", "a broken frame")
    return {
        "hollow.traj": broken,
        "spread.traj": ("unreadable", ""),
        "objects.traj": broken,
        "rows.db!1": ("stored", ""),
        "rows.db!2": ("rejected", "too large"),
        "rows.db!3": ("stored", ""),
        "computed.db!": ("unreadable", "too big"),
        "view.db!": ("unreadable", "not an ase.db"),
        "rows_view.db!": ("unreadable", "not an ase.db"),
    }


def ulm(*items: object, tag: bytes = b"ASE-Trajectory") -> bytes:
    """An ULM file of items that are written as they are."""
    body, places = bytearray(48), []
    for item in items:
        text = item if isinstance(item, bytes) else json.dumps(item).encode()
        places.append(len(body))
        body += struct.pack("<q", len(text)) + text
    at = len(body)
    body += b"".join(struct.pack("<q", place) for place in places)
    body[:48] = struct.pack("<8s16s3q", b"- of Ulm", tag.ljust(16), 3, len(places), at)
    return bytes(body)


HEAVY: tuple[Maker, ...] = (
    compressed_bombs, zip_bombs, tar_bombs, parquet_bombs, gigabyte_lines, long_cif_lines, long_xyz_and_poscar_lines,
    brackets, wide_tables, many_blocks, many_frames, many_atoms, arrays_that_are_not_there,
)  # fmt: skip
