"""The commands as a user types them."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hand_made import crystal, method, record, result

from mlmat.cli import main
from mlmat.store import Store

CRYSTALS = Path(__file__).parent.parent / "examples" / "crystals"
SOME = ("Al_fcc", "C_diamond", "C_graphite", "Si", "MgO")


def mlmat(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five crystals, screened by EMT: aluminium and both carbons work, silicon and MgO fail."""
    folder = tmp_path_factory.mktemp("cli")
    path = folder / "store.duckdb"
    files = [CRYSTALS / f"{name}.cif" for name in SOME]
    assert mlmat("ingest", *files, "--db", path).exit_code == 0
    done = mlmat("screen", "--runner", "mlmat.example_runner", "--config", "threads", "--db", path)
    assert done.exit_code == 0, done.output
    return path


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = "import sys; from mlmat.cli import main; print([m for m in %r if m in sys.modules])"
    heavy = ["duckdb", "pandas", "ase", "parsl", "torch", "mace", "pymatgen", "numpy", "pyarrow"]
    out = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    best = min(_seconds([sys.executable, "-m", "mlmat", "--help"]) for _ in range(3))
    assert best < 0.3


def _seconds(command: list[str]) -> float:
    """Of a core: what else the machine does is not the command's fault."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


COMMANDS = main.list_commands(click.Context(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = mlmat(name, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"mlmat {name}" in result.output
    described = [p for p in main.get_command(click.Context(main), name).params if isinstance(p, click.Option)]
    assert all(p.help for p in described)


def test_ingest_says_what_became_of_every_block(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    (tmp_path / "copy.cif").write_text((CRYSTALS / "Si.cif").read_text())
    (tmp_path / "broken.cif").write_text("this is no CIF")
    (tmp_path / "notes.txt").write_text("")
    first = mlmat("ingest", CRYSTALS / "Si.cif", tmp_path, "--db", db)
    assert first.exit_code == 0
    assert [line.split() for line in first.stdout.splitlines()[1:4]] == [
        ["stored", "1"],
        ["duplicate", "1"],
        ["unreadable", "1"],
    ]
    assert "passed over" in first.output
    again = mlmat("ingest", CRYSTALS / "Si.cif", tmp_path, "--db", db)
    assert "nothing new" in again.output


def test_nothing_readable_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    for i in range(4):
        (tmp_path / f"{i}.cif").write_text("this is no CIF")
    for said in ("4 blocks", "nothing new"):
        result = mlmat("ingest", tmp_path, "--db", db)
        assert result.exit_code == 1
        assert result.stdout.startswith(said)
        found = [line for line in result.output.splitlines() if line.startswith("not read: ")]
        assert [line.split(": ")[1] for line in found] == [f"{tmp_path}/{i}.cif" for i in range(3)]
        assert all(line.split(": ", 2)[2] for line in found)
    mixed = mlmat("ingest", tmp_path, CRYSTALS / "Si.cif", "--db", db)
    assert (mixed.exit_code, "not read" in mixed.output) == (0, False)
    assert mlmat("ingest", tmp_path, CRYSTALS / "Si.cif", "--db", db).exit_code == 0
    assert mlmat("ingest", tmp_path / "0.cif", "--db", db).exit_code == 1


def test_the_hint_does_not_list_what_was_superseded(tmp_path: Path) -> None:
    db, path = tmp_path / "s.duckdb", tmp_path / "a.cif"
    for text in ("this is no CIF", "nor is this"):
        path.write_text(text)
        hint = mlmat("ingest", path, "--db", db).stdout.splitlines()[-1]
    query = hint.partition('"')[2].rstrip('"')
    assert len(json.loads(mlmat("sql", query, "--format", "json", "--db", db).output)) == 1


def test_show_says_what_came_along_and_what_it_relaxed_to(tmp_path: Path) -> None:
    db, table = tmp_path / "s.duckdb", tmp_path / "t.csv"
    rows = [{"cif": (CRYSTALS / "Al_fcc.cif").read_text(), "gap": 0.5, "label": "one"}]
    pd.DataFrame(rows).to_csv(table, index=False)
    mlmat("ingest", table, "--column", "cif", "--db", db)
    store = Store(db)
    (found,) = store.structures()
    method(store, "m")
    parent = result(found.info["structure_id"], energy=-1.0)
    record(store, parent, produced=[(parent, crystal(a=4.04))])
    shown = mlmat("show", parent["structure_id"][:4], "--db", db).output
    assert "gap = 0.5, label = one" in shown
    assert f"relaxed_id {store.reduce('ranking')['relaxed_id'][0]}" in shown


def test_screen_goes_on_where_it_was(db: Path) -> None:
    again = mlmat("screen", "--runner", "mlmat.example_runner", "--config", "threads", "--db", db)
    assert again.exit_code == 0
    assert "nothing to do" in again.output
    retried = mlmat("screen", "--runner", "mlmat.example_runner", "--config", "threads", "--retry-failed", "--db", db)
    assert "2 structures" in retried.output
    assert "2 failed" in retried.output


def test_screen_takes_what_is_asked_for(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    mlmat("ingest", *[CRYSTALS / f"{name}.cif" for name in SOME], "--db", db)
    common = ("screen", "--runner", "mlmat.example_runner", "--config", "threads", "--db", db)
    carbon_or_magnesia = "path LIKE '%/C!_%' ESCAPE '!' OR chemical_formula_reduced = 'MgO'"
    assert mlmat(*common, "--where", carbon_or_magnesia).stdout.startswith("3 structures")
    nothing = mlmat(*common, "--where", "formula = 'Xx'")
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing to do: no structure fits --where \"formula = 'Xx'\"\n")
    done = mlmat(*common, "--where", "formula IN ('C', 'O4Mg4')").stdout
    assert "all 3 structures asked for have results" in done
    assert "(1 failed: --retry-failed takes them again)" in done
    assert "--limit 0 asks for no structure; 2 are pending" in mlmat(*common, "--limit", 0).stdout
    assert mlmat(*common, "--limit", 1).stdout.startswith("1 structure ")
    assert mlmat(*common).stdout.startswith("1 structure ")
    assert "no structure is pending" in mlmat(*common).stdout
    assert (
        "no structure among what emt returned fits"
        in mlmat(*common, "--of", "emt", "--where", "formula = 'O2Si'").stdout
    )


def test_formulas_are_understood_in_any_order(db: Path, tmp_path: Path) -> None:
    assert mlmat("show", "O2Mg2", "--db", db).stdout.splitlines()[0].split()[1] == "MgO"
    listed = mlmat("show", "C", "--db", db).stdout
    assert listed.count("examples/crystals/C_") == 2
    assert mlmat("export", tmp_path / "c.cif", "--where", "formula = 'C60'", "--db", db).exit_code == 0
    assert not mlmat("sql", "FROM structure WHERE formula_is(formula, 'OMg')", "--db", db).stderr
    for wrong in ("formula = 'OMg'", "chemical_formula_reduced IN ('OMg')", "formula = 'magnesia'"):
        asked = mlmat("sql", f"SELECT nsites FROM structure WHERE {wrong}", "--db", db)
        assert asked.exit_code == 0
        assert "formula_is(formula, " in asked.stderr
    assert not mlmat("sql", "SELECT formula FROM structure WHERE nsites > 1000", "--db", db).stderr


def test_sql_formats(db: Path, tmp_path: Path) -> None:
    query = "SELECT formula, energy_per_atom FROM ranking ORDER BY ALL"
    table = mlmat("sql", query, "--db", db).output.splitlines()
    assert table[0].split() == ["formula", "energy_per_atom"]
    assert table[1].startswith("Al ")
    rows = json.loads(mlmat("sql", query, "--format", "json", "--db", db).output)
    assert [row["formula"] for row in rows] == ["Al", "C", "C"]
    for name in ("t.csv", "t.parquet"):
        assert mlmat("sql", query, "-o", tmp_path / name, "--db", db).exit_code == 0
    parquet, csv = pd.read_parquet(tmp_path / "t.parquet"), pd.read_csv(tmp_path / "t.csv")
    assert parquet["energy_per_atom"].tolist() == csv["energy_per_atom"].tolist()
    assert mlmat("sql", "--db", db, stdin="SELECT 1 AS one").output.split() == ["one", "1"]


def test_sql_is_read_only_unless_told(db: Path) -> None:
    assert mlmat("sql", "CREATE TABLE tag (text VARCHAR)", "--write", "--db", db).exit_code == 0
    statement = "INSERT INTO tag VALUES ('good')"
    refused = mlmat("sql", statement, "--db", db)
    assert refused.exit_code == 1
    assert "read-only" in refused.output
    assert mlmat("sql", statement, "--write", "--db", db).exit_code == 0
    own = mlmat("sql", "DELETE FROM structure", "--write", "--db", db)
    assert (own.exit_code, own.output.count("\n")) == (1, 1)
    assert "mlmat forget" in own.output


def test_reduce_status_show_and_lists(db: Path) -> None:
    ranking = mlmat("reduce", "ranking", "--db", db).output
    assert "energy_per_atom" in ranking
    status = mlmat("status", "--db", db).output
    assert "3 ok, 2 failed, 0 pending" in status
    assert "NotImplementedError" in status
    failed = mlmat("sql", "SELECT structure_id FROM failures LIMIT 1", "--format", "csv", "--db", db).output.split()[1]
    shown = mlmat("show", failed[:8], "--db", db).output
    assert "Traceback" in shown
    assert "examples/crystals" in shown
    assert "mlmat.example_runner" in mlmat("runners").output
    assert "--set fmax=0.05" in mlmat("runners").output
    assert "ranking" in mlmat("reductions", "--db", db).output


def test_sodium_nitride_is_not_a_missing_value(db: Path) -> None:
    assert mlmat("sql", "SELECT 'NaN' AS formula, NULL AS x", "--db", db).output.split() == ["formula", "x", "NaN", "-"]


def test_control_characters_of_files_do_not_reach_the_terminal(db: Path) -> None:
    out = mlmat("sql", "SELECT chr(27) || '[31mred' AS reason", "--db", db).output
    assert "\x1b" not in out
    assert "red" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ingest", "/no/such/folder"), 1, "no such file or folder"),
        (("sql", "SELECT 1", "--db", "/no/such.duckdb"), 1, "mlmat ingest"),
        (("sql", "SELECT 1", "--db", __file__), 1, "not a DuckDB database"),
        (("sql", "SELECT 1", "--db", "/tmp"), 1, "this is a folder"),
        (("screen", "--runner", "no_such"), 2, "mace"),
        (("screen", "--runner", "./no_such.py"), 2, "no such runner file"),
        (("screen", "--runner", "mace", "--set", "relax=never"), 2, "cell"),
        (("screen", "--runner", "mace", "--set", "nonsense=1"), 2, "fmax"),
        (("screen", "--runner", "mace", "--set", "nonsense"), 2, "key=value"),
        (("screen", "--runner", "mace", "--set", "fmax=small"), 2, "a number"),
        (("screen", "--runner", "mace", "--set", "model=/no/such.model"), 1, "/no/such.model"),
        (("screen", "--runner", "mlmat.example_runner", "--config", "moon"), 2, "threads"),
        (("screen", "--runner", "mlmat.example_runner", "--where", "no_column = 1"), 1, "no_column"),
        (("screen", "--runner", "mlmat.example_runner", "--of", "nothing"), 2, "no method"),
        (("sql", "SELECT no_column FROM ranking"), 1, "no_column"),
        (("sql", "   "), 2, "no query"),
        (("reduce", "no_view"), 1, "ranking"),
        (("show", "ffffffffffff"), 1, "no structure"),
        (("show", "not-hex"), 1, "not a structure id"),
        (("show", "abc"), 1, "at least 4 hexadecimal digits"),
        (("show", "SiO2"), 1, "no structure of formula SiO2"),
        (("show", "CaF2"), 1, "and none of formula CaF2"),
        (("sql", "SELECT 1", "-o", "/tmp/x.doc"), 2, ".csv"),
    ],
)
def test_mistakes_get_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], code: int, said: str, db: Path, tmp_path: Path
) -> None:
    own = () if "--db" in arguments else ("--db", tmp_path / "new.duckdb" if arguments[0] == "ingest" else db)
    if "screen" in arguments and "moon" in arguments:
        own = (*own, "--retry-failed")
    result = mlmat(*arguments, *own)
    assert result.exit_code == code, result.output
    lines = [line for line in result.output.splitlines() if line.startswith("mlmat: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in result.output
    assert not (tmp_path / "new.duckdb").exists()


def test_debug_shows_the_traceback(db: Path) -> None:
    result = mlmat("--debug", "reduce", "no_view", "--db", db)
    assert result.exception is not None
    assert not isinstance(result.exception, SystemExit)


def test_output_into_a_closed_pipe_is_no_error(db: Path) -> None:
    command = f"{sys.executable} -m mlmat sql 'SELECT * FROM range(100000)' --format csv --db {db} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "range"
    assert done.stderr == ""
