"""ASE's own tests of its databases, with a store behind `ase.db.connect`."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ase.db
import pytest
from ase.build import bulk

from mlmat.asedb.interface import AseDatabase, register

upstream = pytest.importorskip("ase.test.db", reason="this ASE comes without its tests")

COMMAND = f"#!{sys.executable}\nfrom mlmat.asedb.interface import main\nmain()\n"


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    """`ase.db.connect` knows stores; registering twice is the same as once."""
    register()
    register()


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One of ASE's modules of tests. Where a name of a file is written into it, `.db` means a store."""
    made = pytest.importorskip(f"ase.test.db.{name}")
    connect = ase.db.connect
    monkeypatch.setattr(made, "connect", lambda file, **options: connect(stored(file), **options), raising=False)
    return made


def stored(file: Any) -> str:
    return str(file).removesuffix(".db") + ".duckdb" if str(file).endswith(".db") else str(file)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
        ("test_db2", "test_db2", {"dbtype": "duckdb"}),
        ("test_db2", "test_sqlite_user", {}),
        ("test_update", "test_db", {"name": "x.duckdb"}),
        ("test_metadata", "test_metadata", {"name": "md.duckdb"}),
        ("test_sql_db_ext_tables", "test_extract_from_table", {}),
        ("test_sql_db_ext_tables", "test_write_atoms_row", {}),
        ("test_sql_db_ext_tables", "test_external_table_upon_update", {}),
        ("test_sql_db_ext_tables", "test_external_table_upon_update_with_float", {}),
    ],
)
def test_of_ase(
    name: str, function: str, arguments: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    getattr(module(name, monkeypatch), function)(testdir=here, **arguments)
    assert list(here.glob("*.duckdb"))
    assert not list(here.glob("*.db"))


class Commands:
    """ASE's command line in this process, and a shell whose `ase` knows stores."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.path.mkdir()
        (self.path / "ase").write_text(COMMAND)
        (self.path / "ase").chmod(0o755)

    def ase(self, *arguments: str) -> str:
        from ase.cli.main import main

        with contextlib.redirect_stdout(io.StringIO()) as out:
            main(args=[str(argument) for argument in arguments])
        return out.getvalue()

    def shell(self, text: str) -> None:
        path = f"{self.path}:{os.environ['PATH']}"
        subprocess.run(["bash", "-ec", text], check=True, capture_output=True, env=os.environ | {"PATH": path})


@pytest.mark.parametrize("function", ["test_insert_into", "test_analyse", "test_show_values", "test_table",
                                      "test_table_csv", "test_long"])  # fmt: skip
def test_of_ases_command_line(function: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = module("test_cli", monkeypatch)
    with ase.db.connect(here / "x.duckdb") as db:
        db.write(ase.Atoms())
        db.write(found.molecule("H2O"), key_value_pairs={"carrots": 3})
        db.write(bulk("Ti"), key_value_pairs={"oranges": 42, "carrots": 4})
    getattr(found, function)(cli=Commands(here), dbfile=str(here / "x.duckdb"))


@pytest.mark.slow
def test_of_ases_commands_in_a_pipeline(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module("test_db", monkeypatch).test_db(dbtype="duckdb", cli=Commands(here), testdir=here)


def test_ase_reads_and_writes_stores_like_files(here: Path) -> None:
    from ase.io import read, write

    write("a.duckdb", [bulk("Cu"), bulk("Fe")])
    write("a.duckdb", bulk("Ti"), append=True)
    assert [str(atoms.symbols) for atoms in read("a.duckdb", ":")] == ["Cu", "Fe", "Ti2"]
    assert str(read("a.duckdb@Fe")[0].symbols) == "Fe"
    assert isinstance(ase.db.connect("a.duckdb"), AseDatabase)
    with pytest.raises(ValueError, match="Unknown database type"):
        ase.db.connect("a.nothing")
