"""The driver is killed at any moment: nothing that was acknowledged is lost, nothing counts twice, nothing is stuck."""

from __future__ import annotations

import gzip
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest
from faults.kills import Victim, asked, committing, killed, recording, writing
from faults.many import RUNNER, store_of, write_files
from faults.tools import finish

OLD = Path(__file__).parents[1] / "store" / "fixtures" / "store-0001.duckdb.gz"
KILLS = int(os.environ.get("MLMAT_FAULT_KILLS", "100"))
LEDGER = (
    "SELECT path, member, block, block_index, outcome, reason, structure_id, file_sha256, warnings, key_values, "
    "file_mtime_ns > 0 AS whole FROM source WHERE current ORDER BY ALL",
    "SELECT * EXCLUDE (id) FROM structure ORDER BY structure_id",
)
RESULTS = (
    "SELECT structure_id, method_id, status, energy, error_class, error_message FROM current_result ORDER BY ALL",
    "SELECT structure_id, count(*) AS n FROM result GROUP BY ALL ORDER BY ALL",
    "SELECT structure_id, parent_id, method_id, role FROM produced ORDER BY ALL",
    "SELECT structure_id, energy, forces, label FROM quick ORDER BY ALL",
    "SELECT * EXCLUDE (id) FROM structure ORDER BY structure_id",
)
#: Blocks, results and structures that an old store is blown up to.
MANY = 60_000


def share(of: int) -> int:
    """So many of a hundred kills."""
    return max(1, round(KILLS * of / 100))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "cifs"
    write_files(folder, 2_300)
    return folder


@pytest.fixture(scope="module")
def archive(files: Path) -> Path:
    path = files.with_name("all.zip")
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(files.iterdir()):
            file.write(one, one.name)
    return path


@pytest.fixture(scope="module")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 400 structures, to be screened."""
    return store_of(400, tmp_path_factory.mktemp("crystals"))


def nothing(_: Path) -> None:
    """No store: the command makes it."""


def copied(store: Path) -> Callable[[Path], object]:
    return lambda db: shutil.copy(store, db)


def ingest(kind: str, source: Path) -> Victim:
    return Victim(
        kind, nothing, lambda db: ("ingest", source, "--db", db), asked(*LEDGER), moments=(writing, committing)
    )


def screen(config: str, store: Path, seconds: float) -> Victim:
    more = ("--config", config, "--set", f"seconds={seconds}")
    return Victim(
        f"screen ({config})",
        copied(store),
        lambda db: ("screen", "--runner", RUNNER, *more, "--db", db),
        asked(*RESULTS),
        moments=(writing, committing, recording),
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ingest", "screen"])
def test_a_few_kills(command: str, tmp_path: Path) -> None:
    if command == "ingest":
        write_files(tmp_path / "cifs", 80)
        victim = ingest("ingest", tmp_path / "cifs")
    else:
        victim = screen("threads", store_of(80, tmp_path), 0.005)
    killed(victim, 2, tmp_path / "runs")


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_ingest(files: Path, tmp_path: Path) -> None:
    killed(ingest("ingest", files), share(20), tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_ingest_of_an_archive(archive: Path, tmp_path: Path) -> None:
    killed(ingest("ingest of an archive", archive), share(10), tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_screen_in_threads(crystals: Path, tmp_path: Path) -> None:
    killed(screen("threads", crystals, 0.01), share(30), tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_screen_on_workers(crystals: Path, tmp_path: Path) -> None:
    killed(screen("local", crystals, 0.02), share(12), tmp_path)


# -- readers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def screened(crystals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = shutil.copy(crystals, tmp_path_factory.mktemp("screened") / "s.duckdb")
    finish("screen", "--runner", RUNNER, "--config", "threads", "--set", "seconds=0", "--db", store)
    return Path(store)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("out.csv", ("reduce", "ranking", "-o")),
        ("out.extxyz", ("export", "--overwrite")),
        ("out", ("export", "--overwrite")),
    ],
)
def test_readers(target: str, arguments: Sequence[str], screened: Path, tmp_path: Path) -> None:
    """A store stays as it is, byte for byte, and what stands where the output belongs is whole or not there."""
    before = screened.read_bytes()
    whole: list[bytes] = []

    def command(db: Path) -> Sequence[object]:
        return (*arguments, db.with_name(target), "--db", db)

    def written(db: Path) -> bytes:
        found = db.with_name(target)
        parts = sorted(found.iterdir()) if found.is_dir() else [found]
        return b"".join(part.read_bytes() for part in parts)

    def check(db: Path) -> None:
        assert db.read_bytes() == before
        assert not db.with_name(target).exists() or written(db) in whole

    def table(db: Path) -> object:
        whole.append(written(db))
        return whole[-1]

    def writing(db: Path) -> bool:
        return any(db.parent.glob(f".{target}.*.part"))

    victim = Victim("reduce and export", copied(screened), command, table, moments=(writing,), check=check)
    killed(victim, share(3), tmp_path)


# -- migrations ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the first version wrote, with many more rows."""
    path = tmp_path_factory.mktemp("old") / "s.duckdb"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    with duckdb.connect(str(path)) as con:
        for table, new in (("source", "uuid()"), ("result", "uuid()"), ("structure", "structure_id || '-' || i")):
            one = f"(FROM {table} WHERE {table}_id IS NOT NULL LIMIT 1)"
            con.execute(
                f"INSERT INTO {table} SELECT o.* REPLACE ({new} AS {table}_id) FROM {one} AS o, range({MANY}) AS r(i)"
            )
    return path


def contents(path: Path) -> set[str]:
    """What an old or a new store holds, looked at without mlmat, which would migrate it."""
    tables = ("source", "structure", "method", "run", "result", "produced")
    with duckdb.connect(str(path), read_only=True) as con:
        rows = [con.execute(f"SELECT '{t}', count(*), bit_xor(hash({t}_id)) FROM {t}").fetchall() for t in tables[:5]]
    return {repr(row) for row in rows}


def copying(db: Path) -> bool:
    """The copy of a store is being made."""
    return db.with_name("s.duckdb.schema-1.part").exists()


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_migration(old: Path, tmp_path: Path) -> None:
    before = contents(old)

    def whole_copy(db: Path) -> None:
        copy = db.with_name("s.duckdb.schema-1")
        assert not copy.exists() or contents(copy) == before

    victim = Victim(
        "migration",
        copied(old),
        lambda db: ("status", "--db", db),
        asked("SELECT max(version) FROM mlmat_schema", "SELECT count(*), max(id) - min(id) FROM structure"),
        moments=(writing, copying, committing),
        most=2,
        seen=contents,
        check=whole_copy,
    )
    killed(victim, share(19), tmp_path)
