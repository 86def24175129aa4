"""What a store says can be made again, and is checked against what it was made from."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hand_made import by_hand

import mlmat
from mlmat.errors import UsageError
from mlmat.methods import replay
from mlmat.project import Project
from mlmat.verify import Check, verify
from mlmat.verify._compare import distances

CRYSTALS = Path(__file__).parent.parent / "examples" / "crystals"
RUNNER = """
from mlmat.runner import WrappedAtomsRunner


class Runner(WrappedAtomsRunner):
    columns = {"energy": "DOUBLE -- eV, total energy", "forces": "DOUBLE[3][] -- eV/Å", "half": "DOUBLE -- eV, half"}

    def __init__(self, files=(), *, scale: float = 1.0, pairs: list = [1, 2]):
        super().__init__(files)
        self.scale = scale

    def run(self, atoms):
        energy = -self.scale * sum(atoms.numbers)
        return {"energy": energy, "forces": 0 * atoms.positions, "half": energy / 2, "note": "text"}
"""


@pytest.fixture
def bench(store: Project, tmp_path: Path) -> Project:
    """A store with two files of its own, screened by a runner file."""
    bench = mlmat.open(store.path)
    (tmp_path / "toy.py").write_text(RUNNER)
    for name in ("Al_fcc", "Si"):
        shutil.copy(CRYSTALS / f"{name}.cif", tmp_path)
    bench.ingest(tmp_path)
    bench.screen(f"{tmp_path}/toy.py", {"scale": "0.5"}, config="threads")
    return bench


def checks(bench: Project, **options: object) -> dict[str, Check]:
    return {check.what.split(" (")[0]: check for check in verify(bench, **options)}  # type: ignore[arg-type]


def wrong(bench: Project, **options: object) -> list[str]:
    return [what for what, check in checks(bench, **options).items() if check.level == "wrong"]


def results(bench: Project, **options: object) -> Check:
    return next(check for what, check in checks(bench, **options).items() if what.startswith("results of"))


def test_a_good_store_is_good(bench: Project) -> None:
    found = checks(bench)
    assert {check.level for check in found.values()} == {"ok"}
    assert results(bench).looked_at == 2
    assert "bit by bit" in results(bench).says
    assert found["structure ids"].looked_at == found["source files"].looked_at == 2
    assert results(bench, sample=1).looked_at == 1
    assert not any(what.startswith("results") for what in checks(bench, sample=0))
    with pytest.raises(UsageError, match="no method"):
        checks(bench, method="nothing")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE result SET energy = energy + 1e-6 WHERE energy < -40", "energy"),
        ("UPDATE result_toy SET half = half * 1.01 WHERE half < -20", "half"),
        ("UPDATE result_toy SET forces = list_reverse(forces[2:]) WHERE len(forces) = 4", "forces"),
    ],
)
def test_a_number_that_was_changed_is_found(bench: Project, statement: str, said: str) -> None:
    by_hand(bench, statement)
    found = results(bench)
    assert (found.level, found.found, found.looked_at) == ("wrong", 1, 2)
    assert said in found.some[0]
    assert results(bench, tolerance=1000.0).level == ("wrong" if said == "forces" else "ok")


def test_a_runner_that_has_changed_is_no_wrong_number(bench: Project, tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(RUNNER.replace("-self.scale", "-2 * self.scale"))
    assert (results(bench).level, results(bench).found) == ("note", 0)
    assert "has changed (version sha256:" in results(bench).says
    (tmp_path / "toy.py").unlink()
    assert "there is no such runner file" in results(bench).says


def test_a_runner_that_fails_or_crashes_now_is_said(bench: Project, tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text(
        f"import os\nfrom pathlib import Path\n{RUNNER}"
        f"        if Path('{tmp_path}/crash').exists(): os._exit(3)\n"
        f"        if Path('{tmp_path}/fail').exists(): raise ValueError('not today')\n"
    )
    text = (tmp_path / "moody.py").read_text().replace('        return {"energy"', '        row = {"energy"')
    (tmp_path / "moody.py").write_text(text + "        return row\n")
    bench.screen(f"{tmp_path}/moody.py", config="threads")
    assert results(bench, method="moody").level == "ok"
    (tmp_path / "fail").touch()
    assert "fails now (ValueError: not today)" in results(bench, method="moody").some[0]
    (tmp_path / "crash").touch()
    assert "fails now (WorkerLost" in results(bench, method="moody").some[0]


def test_files_that_changed_or_went_are_noted(bench: Project, tmp_path: Path) -> None:
    (tmp_path / "Si.cif").unlink()
    with (tmp_path / "Al_fcc.cif").open("a") as file:
        file.write("# a remark\n")
    found = [check for check in verify(bench, sample=0) if check.what == "source files"]
    assert [(check.level, check.found, Path(check.some[0]).name) for check in found] == [
        ("note", 1, "Si.cif"),
        ("note", 1, "Al_fcc.cif"),
    ]


def test_results_of_a_run_that_another_copy_of_the_store_began_are_only_noted(bench: Project) -> None:
    by_hand(bench, "DELETE FROM run WHERE command = 'screen'")
    assert not wrong(bench, sample=0)
    assert "tables: results of no run" in [check.what for check in verify(bench, sample=0) if check.level == "note"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM structure", "results whose structure is missing"),
        ("DELETE FROM method", "results of no method"),
        ("INSERT INTO result FROM result LIMIT 1", "results that stand twice"),
        ("DELETE FROM result", "rows of toy without their result"),
        ("INSERT INTO result_toy FROM result_toy", "rows of toy that stand twice"),
        ("INSERT INTO structure FROM structure", "structures that stand twice"),
        ("INSERT INTO produced SELECT 'a', 'b', uuid(), 'c', 'x', NULL, NULL", "returned structures that are missing"),
        ("UPDATE source SET content = content || ' '", "texts that do not fit their SHA-256"),
        ("INSERT INTO source FROM source", "structures that two blocks claim to be first"),
    ],
)
def test_rows_that_point_nowhere_are_found(bench: Project, statement: str, said: str) -> None:
    by_hand(bench, statement)
    assert f"tables: {said}" in wrong(bench, sample=0)


def test_an_id_that_does_not_fit_its_atoms_is_found(bench: Project) -> None:
    assert wrong(bench, sample=0) == []
    by_hand(bench, "UPDATE structure SET lattice_vectors = list_reverse(lattice_vectors::DOUBLE[][])::DOUBLE[3][3], "
                  "atomic_numbers = [1::UTINYINT for _ in atomic_numbers]")  # fmt: skip
    assert wrong(bench, sample=0) == ["structure ids"]


def test_what_was_left_behind_is_found(bench: Project) -> None:
    (bench.folder / "scratch" / "a-run" / "run-abc").mkdir(parents=True)
    (bench.folder / "half.part").touch()
    bench.path.with_name("store.duckdb.schema-1.part").touch()
    by_hand(bench, "UPDATE run SET ended_at = NULL, pid = 4194305 WHERE command = 'screen'")
    found = checks(bench, sample=0)
    assert [found[what].level for what in ("runs", "scratch directories", "unfinished files")] == ["note"] * 3
    assert found["unfinished files"].found == 2
    (bench.folder / "journal").mkdir(exist_ok=True)
    (bench.folder / "journal" / "a.refused").write_bytes(b"results")
    assert wrong(bench, sample=0) == ["journals"]


def test_numbers_are_compared_as_they_are_meant() -> None:
    stored = {"energy": -500.0, "steps": 3, "ok": True, "note": "a", "forces": [[0.0, 1.0, 0.0]], "gap": None}
    assert set(distances(stored, stored).values()) == {0.0}
    assert "note" not in distances(stored, stored)
    assert distances(stored, stored | {"energy": -500.005})["energy"] == pytest.approx(1e-3)
    assert distances(stored, stored | {"steps": 4})["steps"] == 1
    assert distances(stored, stored | {"ok": False})["ok"] == 1
    assert distances(stored, stored | {"gap": 1.0})["gap"] == np.inf
    assert distances(stored, stored | {"energy": None})["energy"] == np.inf
    assert distances(stored, stored | {"forces": [[0.0, 1.0]]})["forces"] == np.inf
    turned = stored | {"forces": [[1.0, 0.0, 0.0]]}
    assert distances(stored, turned)["forces"] == 1
    assert distances(stored | {"relaxed": "abc"}, turned)["forces"] == 0


def shown(bench: Project, some_id: str) -> list[str]:
    command = [sys.executable, "-m", "mlmat", "show", some_id, "--db", str(bench.path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_command_that_show_prints_makes_the_same_number(bench: Project, tmp_path: Path) -> None:
    first = bench.sql("SELECT structure_id, result_id::VARCHAR AS result_id, energy, method_id FROM result").iloc[0]
    lines = shown(bench, first["result_id"])
    assert lines[0] == shown(bench, first["structure_id"])[0]
    (again,) = (line.split("again: ")[1] for line in lines if "again: " in line)
    assert shlex.split(again)[:2] == ["mlmat", "screen"]
    db = tmp_path / "fresh.duckdb"
    for words in (["ingest", str(tmp_path)], [*shlex.split(again)[1:], "--config", "threads"]):
        subprocess.run([sys.executable, "-m", "mlmat", *words, "--db", str(db)], check=True, capture_output=True)
    fresh = mlmat.open(db).sql("SELECT structure_id, energy, method_id FROM result")
    assert fresh.to_dict("records") == [{name: first[name] for name in fresh}]
    text = "\n".join(lines)
    assert all(name in text for name in ("file SHA-256", "block SHA-256", "scale=0.5", first["method_id"], "numpy 2."))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mlmat screen --runner mace", ("mace", {})),
        (
            "mlmat screen --set a=1 --runner=./r.py:R --set=b='x y=z'",
            ("/w/r.py:R", {"a": "1", "b": "x y=z"}),
        ),
        ("mlmat screen --runner /a/r.py", ("/a/r.py", {})),
        ("mlmat screen --set a=1", None),
        ("ipykernel -f x", None),
        ("it's", None),
        (None, None),
    ],
)
def test_a_recorded_command_line_is_read(words: str | None, expected: object) -> None:
    assert replay.given(words, "/w") == expected


def test_a_runner_of_our_own_gets_all_its_settings() -> None:
    method = {
        "runner": "mace",
        "settings": {"dtype": "float64", "relax": "none"},
        "model_name": "m",
        "model_sha256": "0",
    }
    run = {"arguments": "mlmat screen --runner mace --set batch_edges=9", "directory": "/"}
    reference, settings = replay.candidates(method, run)[0]
    assert (reference, settings) == ("mace", {"dtype": "float64", "relax": "none", "model": "m", "batch_edges": "9"})
    assert replay.candidates(method, None) == [("mace", {"dtype": "float64", "relax": "none", "model": "m"})]
    assert replay.command("a b", {"x": "it's"}, "--where", "a = 'b'") == (
        """mlmat screen --runner 'a b' --set "x=it's" --where "a = 'b'\""""
    )


def test_the_command_says_what_is_wrong_and_exits_so(bench: Project, tmp_path: Path) -> None:
    def said(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlmat", "verify", "--db", str(bench.path), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = said("-o", str(tmp_path / "checks.json"))
    assert (good.returncode, good.stdout) == (0, ""), good.stderr
    assert '"level": "ok"' in (tmp_path / "checks.json").read_text()
    by_hand(bench, "UPDATE result SET energy = 0.0")
    bad = said("--all")
    assert bad.returncode == 1
    (line,) = (line for line in bad.stdout.splitlines() if line.startswith("wrong"))
    assert "2 of 2 differ by more than 1e-08" in line
    assert "energy -" in line
    assert bench.verify()["level"].tolist().count("wrong") == 1
