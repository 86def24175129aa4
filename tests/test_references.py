"""`mlmat ingest --references`: the elements that ship with mlmat, and systems of the Materials Project."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

import mlmat
from mlmat.cli import main
from mlmat.errors import ReadError, UsageError
from mlmat.references import _materials_project, check, files
from mlmat.store import Store

EXAMPLES = Path(__file__).parents[1] / "examples" / "crystals"


def test_the_elements_are_read_whole(store: Store, tmp_path: Path) -> None:
    (file,) = files(["elements", "elements"], tmp_path)
    text = file.read_text()
    assert "creativecommons.org/licenses/by/4.0" in text
    assert "Materials Project" in text
    workbench = mlmat.open(store.path)
    report = workbench.ingest(references=["elements"])
    blocks = text.count("\ndata_")
    assert report.outcomes == {"stored": blocks}
    found = store.sql("SELECT elements, nsites FROM structure")
    assert {len(elements) for elements in found["elements"]} == {1}
    assert len({elements[0] for elements in found["elements"]}) == 88
    assert found["nsites"].max() < 100
    assert store.pending("new").num_rows == blocks
    again = workbench.ingest(references=["elements"])
    assert (again.unchanged, dict(again.outcomes)) == (1, {})


def test_references_come_with_files_or_alone(tmp_path: Path) -> None:
    db = str(tmp_path / "x.duckdb")
    run = CliRunner().invoke(main, ["ingest", str(EXAMPLES / "MgO.cif"), "--references", "elements", "--db", db])
    assert run.exit_code == 0
    assert "2 files" in run.output
    nothing = CliRunner().invoke(main, ["ingest", "--db", str(tmp_path / "y.duckdb")])
    assert (nothing.exit_code, (tmp_path / "y.duckdb").exists()) == (2, False)


@pytest.mark.parametrize("name", ["", "element", "mp:", "mp:Li-", "mp:li-o", "mp:Li-Xx", "mp:Li O", "Li-O"])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check([name])
    with pytest.raises(UsageError):
        files([name], tmp_path)


def test_without_a_key_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    run = CliRunner().invoke(main, ["ingest", "--references", "mp:Li-Fe-P-O", "--db", str(tmp_path / "x.duckdb")])
    assert (run.exit_code, (tmp_path / "x.duckdb").exists()) == (1, False)
    assert "$MP_API_KEY" in run.output
    assert len(run.output.strip().splitlines()) == 1


@pytest.mark.skipif(find_spec("mp_api") is not None, reason="mp-api is installed here")
def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_KEY", "a key")
    with pytest.raises(ReadError, match=r"pip install 'mlmat\[mp\]'"):
        check(["mp:Li-O"])


def test_without_a_network_it_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # a port on which nobody listens
        with pytest.raises(ReadError, match=r"127\.0\.0\.1 cannot be reached \(Connection refused\)"):
            _materials_project.reach("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ReadError, match="cannot be reached"):
        _materials_project.reach("no-such-host.invalid", 443)
