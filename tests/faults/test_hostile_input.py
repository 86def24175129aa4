"""Files that want to do harm: a row with the reason, bounded memory and time, and the files beside them are read."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faults.hostile_files import HEAVY, POSCAR, Expected, Maker, ulm
from faults.mutations import check, mutate_for
from faults.tools import finish, injected, seed
from small_cifs import cif

from mlmat.store import Store

#: What the process that takes most may have, in MiB (a text of 240 MiB is there several times); seconds of one ingest.
MEMORY, MORE_MEMORY = 2_000, {"long_cif_lines": 2_600}
SECONDS = 240
#: Linux counts what the parent had to what a process had at most: the parent must be a small one.
SMALL_PARENT = """import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
ESCAPE = "\x1b[31m\x1b]0;owned\x07\x9b2J"
NAME = f"{ESCAPE}<script>alert(1)</script>\u202e"


def ingest(folder: Path, db: Path, *options: object) -> tuple[int, str, int, float]:
    """Exit code, output, peak memory in MiB of the command and of the processes that read, and seconds."""
    start = time.monotonic()
    command = [
        sys.executable,
        "-c",
        SMALL_PARENT,
        sys.executable,
        "-m",
        "mlmat",
        "ingest",
        folder,
        "--db",
        db,
        *options,
    ]
    done = subprocess.run(
        list(map(str, command)), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said, _, peak = done.stdout.rpartition("peak ")
    return done.returncode, said, int(peak) // 1024, time.monotonic() - start


def ledger(db: Path) -> dict[str, tuple[str, str]]:
    """Outcome and reason by file, and by FILE!MEMBER of containers; of a file with many blocks, the last."""
    rows = Store(db).arrow("FROM source WHERE current ORDER BY path, member, block_index").to_pylist()
    names = (Path(row["path"]).name + ("!" + (row["member"] or "") if of_container(row) else "") for row in rows)
    return {name: (row["outcome"], row["reason"] or "") for name, row in zip(names, rows, strict=True)}


def of_container(row: dict[str, Any]) -> bool:
    return row["path"].endswith((".zip", ".tar", ".tgz", ".db", ".jsonl", ".csv", ".parquet"))


def differences(expected: Expected, found: dict[str, tuple[str, str]]) -> list[str]:
    def fits(name: str) -> bool:
        (outcome, words), (was, reason) = expected[name], found.get(name, ("no row", ""))
        return outcome == was and words in reason

    return [f"{name}: {found.get(name)} instead of {expected[name]}" for name in expected if not fits(name)]


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("maker", HEAVY, ids=lambda maker: maker.__name__)
def test_files_that_fill_the_memory_or_never_end(maker: Maker, tmp_path: Path) -> None:
    folder, db = tmp_path / "files", tmp_path / "x.duckdb"
    folder.mkdir()
    expected = maker(folder) | {"zz_good.cif": ("stored", "")}
    (folder / "zz_good.cif").write_text(cif(7.0))
    code, said, memory, seconds = ingest(folder, db, "--column", "cif", "--processes", 2)
    wrong = differences(expected, ledger(db))
    assert not wrong, (wrong, said)
    assert code == 0
    assert memory < MORE_MEMORY.get(maker.__name__, MEMORY)
    assert seconds < SECONDS
    assert "Traceback" not in said
    injected(f"hostile input: {maker.__name__.replace('_', ' ')}", len(expected) - 1)


# -- small ones, all in one folder ---------------------------------------------------------------


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


SMALL: dict[str, tuple[str | bytes, str, str]] = {
    "nul.cif": (cif().replace("Cu1", "Cu\0"), "unreadable", "NUL characters"),
    "latin1.cif": (b"# \xff\xfe\xe9\n" + cif(4.01).encode(), "stored", ""),
    "deep.json": (f'{{"sites": {_nested(20_000)}}}', "unreadable", "nested too deeply"),
    "less_deep.json": (f'{{"sites": {_nested(700)}}}', "rejected", ""),
    "infinite.json": ('{"numbers": [1], "positions": [[1e999, 0, 0]], "cell": [4, 4, 4], "pbc": [1, 1, 1]}', "", ""),
    "digits.json": ('{"numbers": [' + "9" * 5_000 + '], "positions": []}', "unreadable", ""),
    "module.json": (
        json.dumps(
            {"@module": "mlmat_hostile_module", "@class": "Structure", "sites": [], "lattice": {"@module": "os"}}
        ),
        "unreadable",
        "no atoms",
    ),
    "object.traj": (ulm({"numbers": {"__ase_objtype__": "atoms"}, "positions": 1, "cell": 1, "pbc": 1}), "", ""),
    "itself.traj": (ulm(b'{"a.": {"a.": {}}}').replace(b"ASE-Trajectory  ", b"ASE-Trajectory\0\0"), "unreadable", ""),
    "pickle.traj": (b"\x80\x04cposix\nsystem\n(S'touch owned'\ntR.", "unreadable", ""),
    "operations.cif": (
        cif().replace("'x, y, z'\n", "".join(f"'x+1/{i},y,z'\n" for i in range(1, 2_000))),
        "rejected",
        "symmetry operations",
    ),
    "formula.cif": (cif(4.02) + "_chemical_formula_sum '" + "(" * 10_000 + "Cu'\n", "stored", ""),
    "twice.cif": (cif(4.03) + "_cell_length_a 5\n", "unreadable", "duplicate tag"),
    "POSCAR": (f"{POSCAR}-1\nDirect\n0 0 0\n", "unreadable", ""),
    "nan.vasp": (f"{POSCAR}1\nDirect\nnan inf 1e999\n", "rejected", "not a finite number"),
}


def _special(folder: Path) -> Expected:
    """Pipes, sockets, devices, links in circles, and folders without end."""
    os.mkfifo(folder / "pipe.cif")
    socket.socket(socket.AF_UNIX).bind(os.path.relpath(folder / "socket.cif"))
    (folder / "zero.cif").symlink_to("/dev/zero")
    (folder / "zero.zip").symlink_to("/dev/zero")
    (folder / "random.db").symlink_to("/dev/urandom")
    (folder / "circle.cif").symlink_to(folder / "circle.cif")
    (folder / "itself").symlink_to(folder)
    for i in range(9):  # each leads to all the others: more ways than anybody can go
        (folder / f"maze{i}").mkdir()
        for j in range(9):
            (folder / f"maze{i}" / f"to{j}").symlink_to(folder / f"maze{j}")
    deep = str(folder)
    for _ in range(1_200):  # more than Python's stack
        deep += "/d"
        os.mkdir(deep)  # noqa: PTH102
    (Path(deep) / "deep.cif").write_text(cif(4.04))
    special = dict.fromkeys(("pipe.cif", "socket.cif", "zero.cif"), ("unreadable", "not a regular file"))
    links = {"circle.cif": ("unreadable", "symbolic links"), "deep.cif": ("stored", "")}
    return special | links | dict.fromkeys(("zero.zip!", "random.db!"), ("unreadable", "not a regular file"))


@pytest.mark.timeout(120)
def test_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    folder, db = tmp_path / "files", tmp_path / "x.duckdb"
    # Too deep for pytest, which removes old folders in a recursion.
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", folder], check=True))
    folder.mkdir()
    (tmp_path / "mlmat_hostile_module.py").write_text("open('owned', 'w')\nclass Structure: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    for name, (content, *_) in SMALL.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    expected = {name: (outcome, words) for name, (_, outcome, words) in SMALL.items() if outcome} | _special(folder)
    code, said, memory, _ = ingest(folder, db)
    found = ledger(db)
    assert not differences(expected, found), said
    assert all(found[name][0] in ("rejected", "unreadable") for name, (_, outcome, _) in SMALL.items() if not outcome)
    assert code == 0
    assert memory < 600
    assert not (tmp_path / "owned").exists()
    assert "Traceback" not in said
    assert ingest(folder, db)[0] == 0
    subprocess.run(["rm", "-r", folder / "d"], check=True)  # too deep for pytest to clean up
    injected("hostile input: small files", len(expected))


# -- texts ---------------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A store of files whose names, blocks, formulas and values want to write on the terminal."""
    folder, db = tmp_path / f"dir{NAME.replace('/', '')}", tmp_path / "x.duckdb"
    folder.mkdir()
    (folder / "new\nline.cif").write_text(cif(4.0, name=NAME) + f"_chemical_formula_sum 'Cu {ESCAPE}'\n")
    (folder / "bad.cif").write_text(f"data_{NAME}\n_cell_length_a {ESCAPE}\n")
    (folder / f"{NAME.replace('/', '')}.vasp").write_text(f"{NAME}\n")
    (folder / "pairs.xyz").write_text(
        f'1\nLattice="4 0 0 0 4 0 0 0 4.5" Properties=species:S:1:pos:R:3 {NAME}="{NAME}" energy=-1\nCu 0 0 0\n'
    )
    (folder / "table.csv").write_text(f'id,cif,"{NAME}"\n{NAME},"{cif(4.7)}",{NAME}\n')
    code, said, *_ = ingest(folder, db, "--column", "cif")
    assert code == 0
    clean(said.replace("\r", "\n"))  # the progress bar goes back to the start of its line
    return db


def clean(text: str) -> None:
    """Nothing in a text that a terminal would act on."""
    bad = sorted({repr(c) for c in text if c != "\n" and (not c.isprintable() or c == "\x9b")})
    assert not bad, bad


def test_texts_are_cleaned_before_they_reach_a_terminal(named: Path, tmp_path: Path) -> None:
    ids = Store(named).sql("SELECT structure_id FROM structure")["structure_id"]
    assert len(ids) == 2
    said = [finish("show", one, "--db", named) for one in ids]
    said += [finish("status", "--db", named)]
    said += [finish("reduce", name, "--db", named) for name in ("provenance", "key_value", "imported")]
    said += [finish("sql", "FROM source", "--db", named)]
    said += [finish("sql", f"""SELECT 1 AS "{NAME}" """, "--db", named)]
    for text in said:
        clean(text)
    assert any("\N{REPLACEMENT CHARACTER}[31m" in text for text in said)
    with subprocess.Popen([sys.executable, "-m", "mlmat", "ingest", f"/no{NAME}", "--db", named],
                          stderr=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stderr
        clean(process.stderr.read())
    out = tmp_path / "out.csv"
    finish("sql", "SELECT path FROM source", "--db", named, "-o", out)
    assert NAME.replace("/", "") in out.read_text(), "files hold values as they are"
    injected("hostile input: texts for a terminal", len(said) + 1)


def test_texts_are_escaped_in_html(named: Path) -> None:
    import mlmat

    store = mlmat.open(named)
    method = f"<img src=x onerror=alert(1)>{NAME}"
    assert "<script" not in store._repr_html_()
    renamed = Store(named).arrow("SELECT path FROM source LIMIT 1").to_pandas()
    assert "<script" not in renamed._repr_html_()
    assert "<img" not in mlmat.project._table(("method",), [[method]])


def test_csv_on_a_terminal_is_cleaned_too(named: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "mlmat", "sql", "SELECT path, key_values FROM source", "--db", named]
    for form in ("csv", "json", "table"):
        subprocess.run([*command, "--format", form], stdout=theirs, check=True, timeout=60)
        time.sleep(0.1)
        clean(os.read(ours, 1 << 20).decode().replace("\r\n", "\n"))
    os.close(ours)
    os.close(theirs)


# -- files that change while they are read -------------------------------------------------------


@pytest.mark.faults
def test_files_that_grow_or_vanish_while_they_are_read(tmp_path: Path) -> None:
    folder, db = tmp_path / "files", tmp_path / "x.duckdb"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i}.cif").write_text(cif(4 + i / 100))
    grow = (
        "import os, sys, time\nend = time.monotonic() + 6\ni = 0\n"
        "while time.monotonic() < end:\n"
        "    i = (i + 1) % 300\n    name = f'{sys.argv[1]}/{i}.cif'\n"
        "    text = open(name).read() if os.path.exists(name) else None\n"
        "    open(name, 'a').write('# ' + 'x' * 100_000 + '\\n')\n"
        "    if i % 3 == 0: os.unlink(name)\n"
        "    elif i % 3 == 1: os.truncate(name, 50)\n"
    )
    vandal = subprocess.Popen([sys.executable, "-c", grow, str(folder)])
    try:
        codes = [ingest(folder, db, "--again")[0] for _ in range(3)]
    finally:
        vandal.wait(30)
    assert set(codes) <= {0, 1}
    assert ingest(folder, db)[0] in (0, 1)
    found = ledger(db)
    assert {outcome for outcome, _ in found.values()} <= {"stored", "duplicate", "unreadable"}
    there = {path.name for path in folder.iterdir()}
    assert there <= set(found)
    injected("hostile input: files that change while they are read", 300)


# -- anything ------------------------------------------------------------------------------------


def test_mutations_for_a_moment() -> None:
    mutate_for(2.0, seed())


@pytest.mark.faults
@pytest.mark.timeout(120)
def test_mutations() -> None:
    injected("hostile input: mutated files", mutate_for(20.0, seed()))


def test_the_check_of_mutations_sees_what_is_wrong() -> None:
    from dataclasses import replace

    from mlmat.reader import read

    (block,) = read("x.cif", cif().encode())
    check(block)
    assert block.atoms
    for bad in (replace(block, reason="why"), replace(block, outcome="rejected"), replace(block, name="\x1b")):
        with pytest.raises(AssertionError):
            check(bad)
    block.atoms.positions[0, 0] = float("nan")
    with pytest.raises(AssertionError):
        check(block)
