"""What is excluded counts in no hull, ranking, report, export or screen, until it is included again."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk, molecule
from click.testing import CliRunner
from hand_made import add, block, method, record, result, salt

import mlmat
from mlmat.cli import main
from mlmat.errors import QueryError, StoreError
from mlmat.project import Project
from mlmat.store.tables import consistency


@pytest.fixture
def bench(empty_store_file: Path, tmp_path: Path) -> Project:
    """Sodium, chlorine and two salts by method m, one of the salts nonsense; it is relaxed, and by n again."""
    db = tmp_path / "store.duckdb"
    db.write_bytes(empty_store_file.read_bytes())
    bench = mlmat.open(db)
    atoms = {"na": bulk("Na"), "cl": bulk("Cl", "fcc", a=5.0), "good": salt(), "bad": salt(4.8)}
    rows = {name: block(f"/data/{name}.cif", one) for name, one in atoms.items()}
    add(bench, *rows.values())
    method(bench, "m")
    method(bench, "n")
    energies = {"na": -1.0, "cl": -1.5, "good": -6.0, "bad": -9.0}
    found = {name: result(row["structure_id"], "m", energy=energies[name]) for name, row in rows.items()}
    record(bench, *found.values(), produced=[(found["bad"], salt(4.7))])
    [relaxed] = bench.sql("SELECT structure_id FROM produced")["structure_id"]
    record(bench, result(relaxed, "n", energy=-51.0), result(rows["good"]["structure_id"], "n", energy=-6.1))
    return bench


def ids(bench: Project) -> dict[str, str]:
    found = bench.sql("SELECT path, structure_id FROM source WHERE structure_id IS NOT NULL")
    return {Path(path).stem: structure for path, structure in found.itertuples(index=False)}


def above(bench: Project) -> dict[str, float]:
    """Energy above hull of each structure that competes by method m."""
    found = bench.sql("SELECT structure_id, e_above_hull FROM hull WHERE method_id = 'm' AND e_above_hull IS NOT NULL")
    names = {structure: name for name, structure in ids(bench).items()}
    return {names[structure]: round(energy, 6) for structure, energy in found.itertuples(index=False)}


def wrong(bench: Project) -> list[str]:
    """What does not hold between the tables; rows made by hand may have no run."""
    with bench._reading() as con:
        found = {name: consistency.broken(con, query)[0] for name, query in consistency.checks(con).items()}
    return [name for name, count in found.items() if count and "of no run" not in name]


EVERY = {"na": 0.0, "cl": 0.0, "good": 1.5, "bad": 0.0}
WITHOUT = {"na": 0.0, "cl": 0.0, "good": 0.0}


@pytest.mark.parametrize("how", ["structure", "where", "result", "results", "file", "folder", "pattern", "relaxed"])
def test_what_is_excluded_is_in_no_hull_ranking_or_export(bench: Project, tmp_path: Path, how: str) -> None:
    bad, good = ids(bench)["bad"], ids(bench)["good"]
    [its_result] = bench.sql("SELECT result_id::VARCHAR AS i FROM result WHERE energy = -9")["i"]
    [relaxed] = bench.sql("SELECT structure_id FROM produced")["structure_id"]
    assert above(bench) == EVERY
    wish = {
        "structure": ([bad[:8]], {}),
        "where": ([], {"where": "volume < 30 AND formula = 'ClNa'"}),
        "result": ([its_result], {}),
        "results": ([], {"where": "energy = -9", "results": True}),
        "file": ([], {"sources": ["/data/bad.cif"]}),
        "folder": (["/data"], {}),
        "pattern": ([], {"sources": [Path("/data/b?d*")]}),
        "relaxed": ([relaxed], {}),
    }[how]
    done = bench.exclude(*wish[0], why="nonsense", **wish[1])
    if how == "folder":
        assert above(bench) == {}
        assert done.structures == 5
        assert bench.include("/data").energies == 6
        return
    assert above(bench) == WITHOUT
    out = set(bench.sql("SELECT structure_id FROM structure SEMI JOIN excluded USING (structure_id)")["structure_id"])
    assert relaxed in out, "what a runner made of it alone goes with it, by every method"
    assert set(bench.reduce("ranking")["energy_per_atom"]) == {-1.0, -1.5, -3.0, -3.05}
    assert "/data/bad.cif" not in set(bench.reduce("candidates")["path"])
    if how in ("result", "file"):
        no_export_has_it(bench, tmp_path, bad)
    assert set(bench.reduce("excluded")["why"]) == {"nonsense"}
    assert not bench.reduce("excluded")["user_name"].isna().any()
    assert (good in out, wrong(bench)) == (False, [])
    again = bench.include(*wish[0], **wish[1])
    assert again.energies >= 1
    assert above(bench) == EVERY
    kept = bench.sql("SELECT why, included_at IS NOT NULL AS back, included_by FROM exclusion")
    assert kept["back"].all()
    assert not kept["included_by"].isna().any()


def no_export_has_it(bench: Project, tmp_path: Path, bad: str) -> None:
    assert bench.export(tmp_path / "out.extxyz", method="m").written == 3
    assert bench.export(tmp_path / "n.extxyz", method="n").written == 1
    energies = [row.get("energy") for row in bench.asedb("m").select()]
    assert sorted(energy for energy in energies if energy is not None) == [-6.0, -1.5, -1.0]
    with pytest.raises(Exception, match="not excluded"):
        bench.export(tmp_path / "asked.extxyz", method="m", query=f"SELECT '{bad}' AS structure_id")


def test_a_source_takes_along_what_it_alone_gave(bench: Project) -> None:
    add(bench, block("/other/good.cif", salt()), block("/other/ag.cif", bulk("Ag")))
    bench.exclude(sources=["/data/*"], why="a wrong batch")
    assert sorted(Path(path).name for path in bench.reduce("excluded")["path"].dropna()) == [
        "bad.cif", "cl.cif", "na.cif"
    ]  # fmt: skip
    add(bench, block("/other/na.cif", bulk("Na")))
    assert len(bench.sql("FROM exclusion_reach WHERE structure_id = $1", [ids(bench)["na"]])) == 0
    add(bench, block("/data/late.cif", bulk("Au")))
    assert "Au" in set(bench.reduce("excluded")["formula"]), "also what comes from there later"
    add(bench, block("/other/good.cif", None, "unreadable", reason="changed"))
    assert ids(bench)["good"] in set(bench.reduce("excluded")["structure_id"])
    assert wrong(bench) == []


def test_what_a_runner_made_of_something_that_counts_stays(bench: Project) -> None:
    [relaxed] = bench.sql("SELECT structure_id FROM produced")["structure_id"]
    other = salt(3.3)
    add(bench, block("/data/other.cif", other))
    its = result(ids(bench)["other"], "m", energy=-40.0)
    record(bench, its, produced=[(its, salt(4.7))])
    bench.exclude(ids(bench)["bad"], why="nonsense")
    assert relaxed not in set(bench.reduce("excluded")["structure_id"])
    bench.exclude(ids(bench)["other"], why="nonsense")
    assert relaxed in set(bench.reduce("excluded")["structure_id"])
    record(bench, (deeper := result(relaxed, "n", run_id=None, energy=-60.0)), produced=[(deeper, salt(2.8))])
    assert len(bench.reduce("excluded")) == 4, "generation after generation, as they come"
    bench.include(ids(bench)["other"])
    assert len(bench.reduce("excluded")) == 1
    assert wrong(bench) == []


def test_twice_is_once_and_what_is_not_there_is_said(bench: Project) -> None:
    bad = ids(bench)["bad"]
    assert bench.exclude(bad, why="one").changed == {"structure": 1}
    again = bench.exclude(bad[:6], bad, why="two")
    assert (again.asked, again.changed, again.energies) == ({"structure": 1}, {}, 0)
    assert list(bench.reduce("excluded")["why"].unique()) == ["one"]
    runs = len(bench.sql("FROM run"))
    for wrong_one in ("00000000", "018f0000-0000-7000", "nowhere.cif", "/data/x*"):
        with pytest.raises(StoreError, match=r"no structure|no result|nothing in this store") as error:
            bench.exclude(bad, wrong_one, why="x")
        assert "\n" not in str(error.value)
    with pytest.raises(StoreError, match="say why"):
        bench.exclude(bad, why=" ")
    with pytest.raises(QueryError):
        bench.exclude(where="nothing = 1", why="x")
    assert len(bench.sql("FROM run")) == runs
    assert bench.include(ids(bench)["good"]).changed == {}
    bench.exclude(sources=["/data/bad.cif"], why="three")
    told = bench.include(bad)
    assert (told.changed, told.energies) == ({"structure": 1}, 0)
    assert "/data/bad.cif" in told.others[0]


def test_a_look_changes_nothing(bench: Project) -> None:
    done = bench.exclude(where="true", why="x", dry_run=True)
    assert (done.changed, done.energies) == ({"structure": 5}, 6)
    assert not len(bench.sql("FROM exclusion"))
    assert not len(bench.sql("FROM run WHERE command = 'exclude'"))


def test_a_molecule_of_an_excluded_file_and_a_result_that_came_with_it(bench: Project) -> None:
    row = block("/data/water.xyz", molecule("H2O", vacuum=3))
    other = block("/other/water.xyz", molecule("H2O", vacuum=3))
    add(bench, row, other)
    method(bench, "file")
    record(bench, result(row["structure_id"], "file", energy=-10.0, source_id=row["source_id"]))
    bench.exclude(sources=["/data/water.xyz"], why="another functional")
    out = bench.reduce("excluded")
    assert out["structure_id"].isna().tolist() == [True], "the structure is that of another file, too"
    assert bench.sql("SELECT count(*) AS n FROM phase WHERE excluded")["n"][0] == 1


def test_screens_skip_what_is_excluded_and_say_so(tmp_path: Path) -> None:
    folder, db = tmp_path / "metals", tmp_path / "s.duckdb"
    folder.mkdir()
    for metal in ("Al", "Cu", "Ag"):
        bulk(metal).write(folder / f"{metal}.cif")

    def run(*arguments: str | Path) -> str:
        done = CliRunner().invoke(main, [*map(str, arguments), "--db", str(db)])
        assert done.exit_code == 0, done.output
        return done.output

    run("ingest", folder)
    said = run("exclude", folder / "Cu.cif", "--why", "not copper")
    assert "excluded: 1 source" in said
    assert "(2 from files, ready to screen)" in run("status")
    screened = run("screen", "--runner", "mlmat.example_runner", "--config", "threads")
    assert "1 excluded structure is left out" in screened
    assert "2 ok" in screened
    assert "1 is excluded" in run("screen", "--runner", "mlmat.example_runner", "--config", "threads")
    status = run("status")
    assert "excluded    1 structure and 0 single results" in status
    assert "2 ok, 0 failed, 0 pending" in status
    assert "included: 1 source" in run("include", folder / "Cu.cif")
    assert "1 ok" in run("screen", "--runner", "mlmat.example_runner", "--config", "threads")
    assert "not excluded" in run("include", folder / "Cu.cif")
    assert "excluded: 3 structures" in run("exclude", "--where", "nsites = 1", "--why", "all")
    assert not len(mlmat.open(db).reduce("ranking"))
    verified = CliRunner().invoke(main, ["verify", "--sample", "0", "--db", str(db)])
    assert "wrong" not in verified.output, verified.output


def test_show_says_what_is_excluded(bench: Project) -> None:
    [its_result] = bench.sql("SELECT result_id::VARCHAR AS i FROM result WHERE energy = -6.1")["i"]
    bench.exclude(ids(bench)["bad"], its_result, why="by hand")
    for name in ("bad", "good"):
        said = CliRunner().invoke(main, ["show", ids(bench)[name], "--db", str(bench.path)]).output
        assert said.count("excluded: by hand") == 1, said


def test_the_command_says_what_is_missing(tmp_path: Path, bench: Project) -> None:
    for arguments in (["exclude", "--why", "x"], ["exclude", "ab12"], ["include"], ["include", "--results", "ab12"]):
        done = CliRunner().invoke(main, [*arguments, "--db", str(bench.path)])
        assert done.exit_code == 2, done.output
    done = CliRunner().invoke(main, ["exclude", "ffffffff", "--why", "x", "--db", str(bench.path)])
    assert (done.exit_code, done.output) == (1, "mlmat: no structure ffffffff in this store\n")
