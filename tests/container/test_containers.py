"""What all containers promise: their members one by one, and a reason for what cannot be read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db import connect
from hand_made_containers import NAMES, SIZES, make, make_ase_db, make_tar, make_zip, members, volumes
from hypothesis import given
from hypothesis import strategies as st
from small_cifs import cif

from mlmat.container import Options, Refused, bare_name, container_for, containers, unpacked
from mlmat.container._compressed import RATIO


def test_the_directory_is_the_registry() -> None:
    for one in containers():
        assert one.__doc__
        assert one.FORMAT
        assert all(pattern == pattern.lower() for pattern in one.PATTERNS)
    for name in NAMES:
        assert container_for(name.upper(), column=True) is not None
    assert container_for("a.cif") is None
    assert container_for("a.csv") is None
    assert container_for("a.jsonl") is not container_for("a.jsonl", column=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_member_is_found_under_a_name(name: str, tmp_path: Path) -> None:
    path, column = make(name, tmp_path)
    found = members(path, column)
    assert [one.error for one in found] == [None] * len(found)
    assert volumes(found) == [round(size**3, 6) for size in SIZES]
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert sum(one.other for one in found) == ("README" in names)


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_a_reason_and_never_an_exception(name: str, tmp_path: Path) -> None:
    path, column = make(name, tmp_path)
    whole = path.read_bytes()
    chance = random.Random(1)
    damaged = [b"", b"\0" * 2000, chance.randbytes(5000), whole[:20], whole[: len(whole) // 2], whole[:-30]]
    damaged += [whole[:at] + chance.randbytes(40) + whole[at + 40 :] for at in range(0, len(whole), len(whole) // 6)]
    for data in damaged:
        path.write_bytes(data)
        found = members(path, column)
        for one in found:
            assert one.error is None or ("\n" not in one.error and one.error)
    path.write_bytes(b"\x1f\x8b" + chance.randbytes(500))
    assert any(one.error for one in members(path, column))


def test_unsafe_names_links_and_archives_inside(tmp_path: Path) -> None:
    bad = ["/etc/x.cif", "../x.cif", "a/../../x.cif", "C:\\x.cif", "..\\x.cif", "in.zip", "in.tar.gz"]
    files = {name: cif() for name in ["good.cif", *bad]}
    link, device, hard = (tarfile.TarInfo(name) for name in ("link.cif", "device.cif", "hard.cif"))
    link.type, device.type, hard.type = tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.LNKTYPE
    link.linkname = hard.linkname = "/etc/passwd"
    tar = members(make_tar(tmp_path / "a.tar", files, [link, device, hard]))
    zipped = make_zip(tmp_path / "a.zip", files)
    with zipfile.ZipFile(zipped, "a") as archive:
        info = zipfile.ZipInfo("link.cif")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    for found, more in ((tar, 3), (members(zipped), 1)):
        assert [one.name for one in found if one.error is None] == ["good.cif"]
        assert {one.outcome for one in found if one.error} == {"rejected"}
        assert len(found) == 1 + len(bad) + more
        reasons = {one.name: one.error for one in found}
        assert "absolute" in str(reasons["/etc/x.cif"])
        assert "leads out" in str(reasons["../x.cif"])
        assert "unpack it first" in str(reasons["in.zip"])
        assert "link" in str(reasons["link.cif"])


def test_encrypted_members_are_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.cif": cif(), "b.cif": cif(4.1)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for head, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(head) + flags] |= 1
    path.write_bytes(data)
    first, second = members(path)
    assert "encrypted" in str(first.error)
    assert second.error is None


def _zip_bomb(path: Path) -> Path:
    return make_zip(path, {"bomb.cif": b"\0" * 30_000_000, "good.cif": cif()})


def _overlapping_zip(path: Path) -> Path:
    """One member listed ten times in the directory, as bombs do."""
    make_zip(path, {"0.cif": b"0" * 1000}, zipfile.ZIP_STORED)
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist += [_renamed(archive.filelist[0], f"{i}.cif") for i in range(1, 10)]
        archive._didModify = True  # type: ignore[attr-defined]
    return path


def _renamed(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    other = zipfile.ZipInfo(name)
    for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
        setattr(other, field, getattr(info, field))
    return other


def test_bombs_are_refused_without_being_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmat.container._compressed.ALWAYS", 1_000_000)
    path = _zip_bomb(tmp_path / "a.zip")
    found = {one.name: one for one in members(path, max_bytes=200_000_000)}
    assert "times its size" in str(found["bomb.cif"].error)
    assert found["good.cif"].error is None
    tar = make_tar(tmp_path / "a.tar.xz", {"good.cif": cif(), "bomb.cif": b"\0" * 30_000_000})
    good, rest = members(tar, max_bytes=1_000_000_000)[0], members(tar, max_bytes=20_000_000)[-1]
    assert good.error is None
    assert rest.error is not None
    assert f"{RATIO} times its size" in rest.error
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(b"cif\n" + (b"data_" + b"x" * 99_999 + b"\n") * 300))
    assert "times its size" in str(members(packed, "cif")[-1].error)


def test_a_sum_of_members_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmat.container.zip.ALWAYS", 1_000_000)
    path = make_zip(tmp_path / "a.zip", {f"{i}.cif": b"\0" * 1_000_000 for i in range(100)})
    found = members(path)
    assert found[-1].error is not None
    assert "times its size" in found[-1].error
    assert len(found) < 60
    overlapping = members(_overlapping_zip(tmp_path / "b.zip"))
    assert sum(len(one.data) for one in overlapping) <= 10_000


def test_members_and_lines_above_the_limit(tmp_path: Path) -> None:
    files = {"large.cif": "x" * 2_000, "small.cif": cif()}
    for path in (make_zip(tmp_path / "a.zip", files), make_tar(tmp_path / "a.tar", files)):
        large, small = members(path, max_bytes=1_000)
        assert "too large" in str(large.error)
        assert small.error is None
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"id": "a"}\n' + '"' + "x" * 5_000 + '"\n\n{"id": 7}')
    assert [(one.name, one.error is None) for one in members(lines, max_bytes=1_000)] == [
        ("a", True),
        ("2", False),
        ("7", True),
    ]


def test_an_archive_cut_off_gives_what_came_before(tmp_path: Path) -> None:
    files = {f"{i}.cif": cif(4 + i / 10) for i in range(30)}
    whole = make_tar(tmp_path / "a.tar", files).read_bytes()
    for end in (1024 * 10, 1024 * 10 + 100, 1024 * 10 + 600):
        (tmp_path / "a.tar").write_bytes(whole[:end])
        *before, last = members(tmp_path / "a.tar")
        assert len(before) in (9, 10)
        assert last.name == "<unreadable>"


PACKERS: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.sampled_from(PACKERS), st.integers(0, 900))
def test_compressed_files(parts: list[bytes], pack: Callable[[bytes], bytes], limit: int) -> None:
    data, whole = b"".join(map(pack, parts)), b"".join(parts)
    if len(whole) <= limit:
        assert unpacked(data, limit) == whole
    else:
        with pytest.raises(Refused, match="too large"):
            unpacked(data, limit)
    with pytest.raises(Refused, match=r"broken \w+ data"):
        unpacked(data[: -len(pack(parts[-1])) // 2], 10_000)


def test_names_without_their_compression() -> None:
    assert [bare_name(n) for n in ("a.cif.gz", "POSCAR.XZ", "b.bz2", "c.cif")] == ["a.cif", "POSCAR", "b", "c.cif"]


def test_tar_headers_do_not_pile_up(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i in range(3_000):
            archive.addfile(tarfile.TarInfo(f"{i}.txt"), io.BytesIO())
    assert sum(one.other for one in members(tmp_path / "a.tar")) == 3_000


def test_a_database_that_is_locked_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.1}))
    path = make_ase_db(tmp_path / "a.db")
    with closing(connect(path)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        container = container_for("a.db")
        assert container is not None
        with pytest.raises(Refused, match="locked") as refused:
            list(container.members(str(path), Options()))
        assert not refused.value.final
    assert len(members(path)) == 3


def test_rows_of_an_ase_db_are_what_ase_would_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    atoms = bulk("Cu") * (2, 1, 1)
    atoms.set_tags([1, 2])
    atoms.set_initial_magnetic_moments([[0, 0, 1.0], [0, 1.0, 0]])
    atoms.pbc = (True, False, True)
    plain = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    with connect(path) as db:
        for one in (atoms, plain):
            db.write(one, name="é", number=1e-17, data={"left": "out"})
    for row, found in zip(connect(path).select(), members(path), strict=True):
        (tmp_path / "one.json").write_bytes(found.data)
        (same,) = connect(tmp_path / "one.json").select()
        assert same.id == row.id
        assert same.key_value_pairs == row.key_value_pairs
        assert same.unique_id == row.unique_id
        for name in ("numbers", "positions", "cell", "pbc", "tags"):
            assert np.array_equal(same.get(name), row.get(name)), name
    stored = json.loads(members(path)[0].data)["1"]["initial_magmoms"]["__ndarray__"]
    assert stored == [[2, 3], "float64", [0, 0, 1, 0, 1, 0]], "vectors are vectors again"


def test_a_directory_that_lies_unpacks_nothing(tmp_path: Path) -> None:
    """The directory says a thousand bytes of what are 30 MB."""
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        path = make_zip(tmp_path / "a.zip", {"lies.cif": bytes(30_000_000), "good.cif": cif()}, kind)
        data = bytearray(path.read_bytes())
        struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, 1000)
        path.write_bytes(data)
        tracemalloc.start()
        lies, good = members(path)
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
        tracemalloc.stop()
        assert "broken in the archive" in str(lies.error)
        assert good.error is None


def test_tar_headers_and_holes_that_take_memory(tmp_path: Path) -> None:
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 900_000_000
    (tmp_path / "a.tar").write_bytes(long.tobuf(tarfile.GNU_FORMAT) + b"x" * 10_000)
    assert [one.error for one in members(tmp_path / "a.tar")] == [
        "broken tar archive: a header of 900000000 bytes; the rest is not read"
    ]
    hole = bytearray(tarfile.TarInfo("x.cif").tobuf(tarfile.GNU_FORMAT))
    hole[156:157], hole[386:410], hole[483:495] = b"S", b"%011o\0" % 0 * 2, b"%011o\0" % 900_000
    hole[148:156] = b" " * 8
    hole[148:156] = b"%06o\0 " % sum(hole)
    (tmp_path / "a.tar").write_bytes(hole + bytes(1024))
    assert [one.error for one in members(tmp_path / "a.tar")] == ["a sparse file: such a member is not read"]


def test_rows_of_nothing_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr("mlmat.container.table.ALWAYS", 1_000_000)
    pq.write_table(pa.table({"cif": pa.nulls(100_000, pa.string())}), tmp_path / "a.parquet")
    *rows, last = members(tmp_path / "a.parquet", "cif")
    assert len(rows) < 2_000
    assert "times its size" in str(last.error)


def test_rows_of_csv_without_end(tmp_path: Path) -> None:
    for text in ("cif," + "a" * 5_000_000 + "\n", 'cif\n"data_' + "x" * 3_000_000, "cif\n" + "a," * 1_500_000):
        (tmp_path / "a.csv").write_text(text)
        assert "too large" in str(members(tmp_path / "a.csv", "cif")[-1].error)


def test_computed_columns_and_data_of_an_ase_db_are_not_read(tmp_path: Path) -> None:
    path = make_ase_db(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as con:
        con.execute("ALTER TABLE systems ADD COLUMN more AS (zeroblob(900000000))")
        con.execute("UPDATE systems SET data = zeroblob(5000000) WHERE id = 2")
        con.commit()
    assert [one.error for one in members(path)] == [None] * 3
