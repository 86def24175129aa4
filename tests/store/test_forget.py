"""What is forgotten goes with all that hangs on it, and nothing else does."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from click.testing import CliRunner
from hand_made import add, block, by_hand, method, packed, record, result, salt

import mlmat
from mlmat.cli import main
from mlmat.errors import MlmatError, StoreError, StoreLocked, UsageError
from mlmat.project import Project
from mlmat.store.tables import consistency

CSV = "id,formula,energy\na,NaCl,-6.0\nb,Na,-1.0\nc,Cl,-1.5\n"
#: Tables that hold nothing of what was forgotten.
EMPTY = ("source", "structure", "result", "method", "produced", "same_crystal", "hull_row", "hull_system", "repeated",
         "entry", "import_row", "mixture", "exclusion", "exclusion_reach")  # fmt: skip


@pytest.fixture
def bench(empty_store_file: Path, tmp_path: Path) -> Project:
    return mlmat.open(shutil.copy(empty_store_file, tmp_path / "store.duckdb"))


def ingest(bench: Project, folder: Path, **crystals: Atoms) -> Path:
    folder.mkdir(exist_ok=True)
    for name, atoms in crystals.items():
        atoms.write(folder / f"{name}.cif")
    bench.ingest(folder, processes=1)
    return folder


def counts(bench: Project, *tables: str) -> dict[str, int]:
    return {name: len(bench.sql(f"SELECT 1 AS x FROM {name}")) for name in tables or EMPTY}


def wrong(bench: Project) -> list[str]:
    """What does not hold between the tables; rows made by hand may have no run."""
    with bench._reading() as con:
        found = {name: consistency.broken(con, query)[0] for name, query in consistency.checks(con).items()}
    return [name for name, count in found.items() if count and "of no run" not in name]


def screen(bench: Project) -> Any:
    return bench.screen("mlmat.example_runner", config="threads")


def test_a_folder_goes_with_its_structures_and_results_and_comes_again_as_new(bench: Project, tmp_path: Path) -> None:
    good = ingest(bench, tmp_path / "good", Al=bulk("Al"), Cu=bulk("Cu"))
    bad = ingest(bench, tmp_path / "bad", Cu=bulk("Cu"), Ag=bulk("Ag"), Al=bulk("Al") * (2, 1, 1))
    screen(bench)
    bench.reduce("candidates")
    bench.exclude(sources=[bad / "Ag.cif"], why="no silver")
    bench.exclude(where="formula = 'Cu'", why="no copper")
    assert len(bench.sql("FROM same_crystal")) == 2
    going = bench.forget(source=bad, dry_run=True).going
    assert (going.counts["blocks of files"], going.counts["structures"], going.counts["results"]) == (3, 2, 2)
    assert (going.staying, going.counts["exclusions"]) == (1, 1)
    assert counts(bench, "structure") == {"structure": 4}
    done = bench.forget(source=bad)
    assert done.going == going
    assert counts(bench, "source", "structure", "result", "result_emt", "same_crystal", "exclusion") == {
        "source": 2, "structure": 2, "result": 2, "result_emt": 2, "same_crystal": 0, "exclusion": 1,
    }  # fmt: skip
    assert wrong(bench) == []
    assert bench.status()["methods"][0]["ok"] == 2
    bench.include(where="true")
    assert bench.ingest(bad).outcomes == {"stored": 2, "duplicate": 1}
    assert screen(bench).ok == 2
    assert wrong(bench) == []
    assert {check.level for check in bench.verify(sample=1).itertuples()} <= {"ok", "note"}
    assert done.copy is not None
    before = mlmat.open(done.copy)
    assert counts(before, "source", "structure", "result") == {"source": 5, "structure": 4, "result": 4}
    del good


def test_the_oldest_duplicate_takes_the_place_of_what_was_stored(bench: Project, tmp_path: Path) -> None:
    first = ingest(bench, tmp_path / "one", Cu=bulk("Cu"))
    second = ingest(bench, tmp_path / "two", Cu=bulk("Cu"))
    ingest(bench, tmp_path / "three", Cu=bulk("Cu"))
    [atoms] = bench.structures()
    bench.forget(source=first)
    found = bench.sql("SELECT path, outcome, reason FROM source ORDER BY source_id")
    assert found["outcome"].tolist() == ["stored", "duplicate"]
    assert str(second) in found["reason"][1]
    [again] = bench.structures()
    assert again == atoms
    assert bench.ingest(first).outcomes == {"duplicate": 1}


def test_a_member_of_an_archive_comes_back_when_the_archive_is_read_again(bench: Project, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for metal in ("Al", "Cu", "Ag"):
        bulk(metal).write(folder / f"{metal}.cif")
    archive = shutil.make_archive(str(tmp_path / "metals"), "zip", folder)
    bench.ingest(archive)
    bench.forget(source=f"{archive}!Cu.cif")
    assert sorted(bench.sql("SELECT formula FROM structure")["formula"]) == ["Ag", "Al"]
    assert bench.ingest(archive).outcomes == {"stored": 1}
    bench.forget(source=archive)
    assert counts(bench)["source"] == 0
    assert bench.ingest(archive).outcomes == {"stored": 3}
    assert wrong(bench) == []


def test_an_unreadable_file_leaves_nothing(bench: Project, tmp_path: Path) -> None:
    (tmp_path / "my_runner.cif").write_text("import ase\n")
    bench.ingest(tmp_path / "my_runner.cif")
    assert bench.status()["outcomes"][0]["outcome"] == "unreadable"
    bench.forget(source=tmp_path / "my_runner.cif")
    assert bench.status()["outcomes"] == []


def test_a_run_takes_what_it_brought(bench: Project, tmp_path: Path) -> None:
    ingest(bench, tmp_path / "one", Cu=bulk("Cu"))
    ingest(bench, tmp_path / "two", Al=bulk("Al"))
    runs = bench.sql("SELECT run_id::VARCHAR AS run_id FROM run ORDER BY run_id")["run_id"]
    screen(bench)
    [run] = bench.sql("SELECT run_id::VARCHAR AS run_id FROM run WHERE command = 'screen'")["run_id"]
    bench.forget(run=run)
    assert counts(bench, "result", "structure", "method") == {"result": 0, "structure": 2, "method": 0}
    assert "emt" not in dict(bench.reductions()), "nothing of the runner is left"
    assert screen(bench).ok == 2
    bench.forget(run=runs[1])
    assert bench.sql("SELECT formula FROM structure")["formula"].tolist() == ["Cu"]
    assert counts(bench, "result")["result"] == 1
    assert run not in {record["run_id"] for record in bench.runs()}
    assert wrong(bench) == []
    assert [check.what for check in bench.verify(sample=0).itertuples() if check.level == "wrong"] == []


def test_relaxed_structures_go_with_what_made_them_and_stay_with_what_else_gives_them(bench: Project) -> None:
    rows = {name: block(f"/data/{name}.cif", salt(a)) for name, a in (("one", 5.6), ("two", 5.7), ("own", 5.5))}
    add(bench, *rows.values())
    for name in "mno":
        method(bench, name)
    results = {name: result(rows[name]["structure_id"], "m", energy=-1.0) for name in rows}
    made = [(results["one"], salt(5.4)), (results["two"], salt(5.4)), (results["one"], salt(5.5))]
    record(bench, *results.values(), produced=made[:2])
    [shared] = bench.sql("SELECT DISTINCT structure_id FROM produced")["structure_id"]
    refined = result(shared, "n", energy=-2.0)
    record(bench, refined, produced=[(refined, salt(5.3))])
    [last] = bench.sql("SELECT structure_id FROM produced WHERE method_id = 'n'")["structure_id"]
    turned = result(last, "o", energy=-3.0)
    record(bench, turned, produced=[(turned, salt(5.4))])  # a circle: it gives what it comes from
    bench.forget(source="/data/one.cif", backup=False)
    assert counts(bench, "structure", "result", "produced") == {"structure": 4, "result": 4, "produced": 3}
    assert wrong(bench) == []
    bench.forget(source="/data/two.cif", backup=False)
    assert counts(bench, "structure", "result", "produced", "method") == {
        "structure": 1, "result": 1, "produced": 0, "method": 1
    }  # fmt: skip
    assert wrong(bench) == []


def test_a_structure_that_a_file_gives_stays_when_the_run_that_also_made_it_goes(bench: Project) -> None:
    one, own = block("/data/one.cif", salt(5.6)), block("/data/own.cif", salt(5.5))
    add(bench, one, own)
    run = method(bench, "m")
    found = result(one["structure_id"], "m", energy=-1.0, run_id=run)
    record(bench, found, produced=[(found, salt(5.5))])
    before = next(iter(bench.structures(where="path = '/data/own.cif'")))
    bench.forget(run=run[:20])
    assert counts(bench, "structure", "result", "produced") == {"structure": 2, "result": 0, "produced": 0}
    assert next(iter(bench.structures(where="path = '/data/own.cif'"))) == before


def test_a_method_goes_with_what_is_made_of_it(bench: Project) -> None:
    row = block("/data/one.cif", salt())
    add(bench, row)
    for name in ("raw", "other"):
        method(bench, name, runner="toy")
    method(bench, "corr", runner="derived")
    by_hand(bench, "UPDATE method SET derived_from = 'raw' WHERE method_id = 'corr'")
    found = [result(row["structure_id"], name, energy=-1.0) for name in ("raw", "raw", "other")]
    record(bench, *found, values=[{"half": 1.0}] * 3)
    by_hand(bench, f"INSERT INTO corrected VALUES ('corr', '{found[0]['result_id']}', -0.5, NULL)",
            "INSERT INTO expected_error VALUES ('raw', 'e_above_hull', 'all', 0.1, NULL, NULL)",
            "INSERT INTO unfit_element VALUES ('raw', 'Pu', 'x')")  # fmt: skip
    bench.mix("both", ["raw", "other"])
    bench.reduce("hull")
    going = bench.forget(method="raw", dry_run=True).going
    assert [name.rpartition("(")[2] for name in going.methods] == ["corr)", "raw)"]
    assert going.mixtures == ["both"]
    bench.forget(method="raw", backup=False)
    tables = ("method", "result", "result_toy", "corrected", "mixture", "repeated", "expected_error", "unfit_element")
    assert list(counts(bench, *tables).values()) == [1, 1, 1, 0, 0, 0, 0, 0]
    assert wrong(bench) == []
    assert len(bench.sql("FROM toy")) == 1
    bench.forget(method="toy", backup=False)
    assert not len(bench.sql("FROM duckdb_tables() WHERE table_name = 'result_toy'"))


def test_an_import_goes_but_for_what_another_file_says_too(bench: Project, tmp_path: Path) -> None:
    for name, text in (
        ("one", CSV),
        ("two", CSV.replace("c,Cl,-1.5\n", "d,NaCl2,-7.0\n")),
        ("new", "id,formula,energy\na,NaCl,-6.5\n"),
    ):
        (tmp_path / f"{name}.csv").write_text(text)
        bench.import_results(tmp_path / f"{name}.csv", "DFT")
    assert counts(bench, "result", "import_row") == {"result": 5, "import_row": 7}
    bench.forget(imported=tmp_path / "one.csv")
    assert counts(bench, "result", "import_row", "entry") == {"result": 4, "import_row": 4, "entry": 4}
    assert wrong(bench) == []
    assert bench.import_results(tmp_path / "one.csv", "DFT").outcomes["imported"] == 1
    for name in ("one", "two", "new"):
        bench.forget(imported=tmp_path / f"{name}.csv", backup=False)
    assert counts(bench) == dict.fromkeys(EMPTY, 0)
    assert bench.import_results(tmp_path / "two.csv", "DFT").outcomes["imported"] == 3
    with pytest.raises(UsageError, match="imported, not ingested"):
        bench.forget(source=tmp_path / "two.csv")


def test_a_later_import_that_only_met_the_rows_takes_nothing_along(bench: Project, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(CSV)
    for _ in range(2):
        bench.import_results(tmp_path / "one.csv", "DFT")
    runs = bench.sql("SELECT run_id::VARCHAR AS run_id FROM run ORDER BY run_id")["run_id"]
    bench.forget(run=runs[1], backup=False)
    assert counts(bench, "result", "import_row", "method") == {"result": 3, "import_row": 3, "method": 1}
    assert [check.level for check in bench.verify(sample=0).itertuples()].count("ok") >= 3
    assert wrong(bench) == []
    bench.forget(run=runs[0], backup=False)
    assert counts(bench) == dict.fromkeys(EMPTY, 0)


def test_one_result_goes_and_is_pending_again(bench: Project) -> None:
    row = block("/data/one.cif", salt())
    add(bench, row)
    method(bench, "m")
    first, second = result(row["structure_id"], energy=-1.0), result(row["structure_id"], energy=-2.0)
    record(bench, first, second)
    bench.forget(result=second["result_id"], backup=False)
    assert bench.reduce("ranking")["energy_per_atom"].tolist() == [-0.5]
    assert counts(bench, "repeated") == {"repeated": 0}
    bench.forget(result=first["result_id"], backup=False)
    assert counts(bench, "result", "structure") == {"result": 0, "structure": 1}
    assert wrong(bench) == []


def test_rows_of_the_ase_face_go_with_their_notes(bench: Project, tmp_path: Path) -> None:
    folder = ingest(bench, tmp_path / "in", Cu=bulk("Cu"))
    db = bench.asedb()
    [row] = db.select()
    db.update(row.id, tag="looked at")
    number = db.write(bulk("Ag"), note="mine")
    bench.forget(source=folder, backup=False)
    assert [one.formula for one in bench.asedb().select()] == ["Ag"]
    bench.forget(source=f"asedb:{number}", backup=False)
    assert counts(bench, "ase_row", "structure", "source") == {"ase_row": 0, "structure": 0, "source": 0}


def test_who_is_at_work_is_not_disturbed(bench: Project, tmp_path: Path) -> None:
    folder = ingest(bench, tmp_path / "in", Cu=bulk("Cu"))
    screen(bench)
    [(method_id,)] = bench.sql("SELECT method_id FROM method").itertuples(index=False)
    for wish in ({"method": method_id}, {"source": folder}):
        with bench.driver(method_id, "somebody"), pytest.raises(StoreLocked, match="somebody"):
            mlmat.open(bench.path).forget(**wish)
    with bench.archive_reader("a reader"), pytest.raises(StoreLocked, match="a reader"):
        bench.forget(source=folder)
    assert counts(bench, "result", "structure") == {"result": 1, "structure": 1}
    assert not list(tmp_path.glob("*.forget-*"))


def test_results_in_the_journal_of_a_dead_driver_do_not_come_back(bench: Project) -> None:
    row = block("/data/one.cif", salt())
    add(bench, row)
    run = method(bench, "m")
    journal = bench.journal(run)
    journal.append(packed([result(row["structure_id"], energy=-1.0, run_id=run)]))
    os.close(journal._fd)  # as its end closes it
    assert bench.forget(method="m", dry_run=True).going.counts["results"] == 1
    bench.forget(method="m", backup=False)
    bench.execute("SELECT 1")
    assert counts(bench, "result", "method") == {"result": 0, "method": 0}
    assert wrong(bench) == []


def test_copies_do_not_collide_and_a_store_can_be_put_back(bench: Project, tmp_path: Path) -> None:
    for metal in ("Cu", "Ag"):
        ingest(bench, tmp_path / metal, one=bulk(metal))
    (tmp_path / "store.duckdb.forget-1").touch()
    copies = [bench.forget(source=tmp_path / metal) for metal in ("Cu", "Ag")]
    assert [one.copy.name for one in copies if one.copy] == ["store.duckdb.forget-2", "store.duckdb.forget-3"]
    assert counts(bench)["structure"] == 0
    subprocess.run(str(copies[0].back), shell=True, check=True)
    assert counts(mlmat.open(bench.path))["structure"] == 2


def test_without_room_for_the_copy_nothing_happens(bench: Project, tmp_path: Path, monkeypatch: Any) -> None:
    ingest(bench, tmp_path / "in", Cu=bulk("Cu"))
    folder = tmp_path / "in"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(StoreError, match="no copy of it could be made first"):
        bench.forget(source=folder)
    assert counts(bench)["structure"] == 1
    assert bench.forget(source=folder, backup=False).copy is None


KILLED = """
import os, signal, sys
import mlmat
from mlmat.store.tables import structures as _structures
first = _structures.take_out
def killed(con, going):
    first(con, going)
    os.kill(os.getpid(), signal.SIGKILL)
_structures.take_out = killed
mlmat.open(sys.argv[1]).forget(source=sys.argv[2])
"""


def test_a_kill_in_the_middle_loses_nothing(bench: Project, tmp_path: Path) -> None:
    folder = ingest(bench, tmp_path / "in", Cu=bulk("Cu"), Ag=bulk("Ag"))
    before = counts(bench)
    assert subprocess.run([sys.executable, "-c", KILLED, bench.path, folder], check=False).returncode == -signal.SIGKILL
    assert counts(bench) == before
    assert bench.forget(source=folder).copy is not None
    assert counts(bench)["structure"] == 0


def test_what_is_not_there_is_one_line(bench: Project) -> None:
    for wish in (
        {"source": "nowhere"},
        {"run": "018f0000"},
        {"run": ""},
        {"method": "x"},
        {"imported": "x.csv"},
        {"result": "1"},
        {},
    ):
        with pytest.raises(MlmatError) as error:
            bench.forget(**wish)
        assert "\n" not in str(error.value)


def test_the_command_shows_asks_and_says_how_to_get_it_back(bench: Project, tmp_path: Path) -> None:
    folder = ingest(bench, tmp_path / "in", Cu=bulk("Cu"))

    def forget(*arguments: object) -> Any:
        return CliRunner().invoke(main, ["forget", *map(str, arguments), "--db", str(bench.path)])

    assert forget().exit_code == 2
    unasked = forget("--source", folder)
    assert (unasked.exit_code, counts(bench)["structure"]) == (2, 1)
    assert "1 block of a file" in unasked.output
    assert "add --yes" in unasked.output
    done = forget("--source", folder, "--yes")
    assert done.exit_code == 0, done.output
    assert f"mv {bench.path}.forget-1 {bench.path}" in done.output
    assert counts(bench)["structure"] == 0
    assert bench.sql("SELECT command, outcome FROM run ORDER BY run_id DESC LIMIT 1").values.tolist() == [
        ["forget", "finished"]
    ]
    assert forget("--source", folder, "--yes").exit_code == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_any_sequence_leaves_a_store_that_is_true(bench: Project, tmp_path: Path, seed: int) -> None:
    """Blocks, results, relaxed structures, imports and exclusions come and go in any order."""
    choose = random.Random(seed)
    for name in "mn":
        method(bench, name)
    steps: list[Callable[[], object]] = [
        lambda: add(bench, block(f"/data/{choose.randrange(4)}.cif", salt(5 + choose.randrange(6) / 10))),
        lambda: _compute(bench, choose),
        lambda: _compute(bench, choose),
        lambda: _import(bench, choose, tmp_path),
        lambda: bench.exclude(sources=[f"/data/{choose.randrange(4)}*"], why="x"),
        lambda: bench.reduce("candidates"),
        lambda: bench.forget(source=f"/data/{choose.randrange(4)}.cif", backup=False),
        lambda: bench.forget(result=_one(bench, choose, "result_id::VARCHAR", "result"), backup=False),
        lambda: bench.forget(method=_one(bench, choose, "method_id", "method"), backup=False),
        lambda: bench.forget(imported=tmp_path / f"{choose.randrange(2)}.csv", backup=False),
    ]
    for _ in range(25):
        step = choose.choices(steps, [6, 4, 4, 2, 1, 1, 2, 2, 0.5, 1])[0]
        try:
            step()
        except (StoreError, UsageError, IndexError):
            continue
        assert wrong(bench) == []
    for path in bench.sql("SELECT DISTINCT path FROM source")["path"]:
        bench.forget(source=path, backup=False)
    for name in bench.sql("SELECT method_id FROM method")["method_id"]:
        bench.forget(method=name, backup=False)
    assert counts(bench) == dict.fromkeys(EMPTY, 0)


def _one(bench: Project, choose: random.Random, column: str, table: str) -> str:
    return str(choose.choice(sorted(bench.sql(f"SELECT {column} AS name FROM {table}")["name"])))


def _compute(bench: Project, choose: random.Random) -> None:
    """One more result of a structure, which may become another one that may be there already."""
    name = choose.choice("mn")
    if name not in set(bench.sql("SELECT method_id FROM method")["method_id"]):
        method(bench, name)
    one = result(_one(bench, choose, "structure_id", "structure"), name, energy=-choose.random())
    record(bench, one, values=[{"half": 1.0}], produced=[(one, salt(5 + choose.randrange(8) / 10))])


def _import(bench: Project, choose: random.Random, folder: Path) -> None:
    lines = [f"{key},NaCl,{-choose.randrange(3)}.0" for key in choose.sample("abcd", 2)]
    path = folder / f"{choose.randrange(2)}.csv"
    path.write_text("\n".join(["id,formula,energy", *lines, ""]))
    bench.import_results(path, "DFT")
