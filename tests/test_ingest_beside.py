"""What files bring beside their structures: key-value pairs and results; and files that come through a pipe."""

from __future__ import annotations

import bz2
import lzma
from io import BytesIO
from pathlib import Path

import duckdb
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from click.testing import CliRunner, Result
from small_cifs import cif, everything, run

from mlmat.cli import main
from mlmat.errors import ReadError
from mlmat.ingest._results import results_of
from mlmat.reader import Block
from mlmat.store import Store, open_store
from mlmat.store.schema import migrations


def mlmat(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)


def computed(symbol: str, energy: float, calculator: str = "gpaw", **results: object) -> Atoms:
    atoms = bulk(symbol, cubic=symbol == "Si")
    atoms.calc = SinglePointCalculator(atoms, energy=energy, **results)
    atoms.calc.name = calculator
    return atoms


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An ase.db: two rows of one crystal, one by another calculator, one without results."""
    db = connect(tmp_path / "old.db")
    db.write(
        computed("Cu", -3.5, forces=[[0.0, 0.0, 0.25]], stress=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), gap=0.0, project="a"
    )
    db.write(computed("Cu", -3.25, free_energy=-3.3, magmoms=[0.5]), gap=0.25, good=True)
    db.write(computed("Ag", -2.5, "vasp"), gap=2.5, project="b")
    db.write(bulk("Al"), gap=3.5)
    return tmp_path / "old.db"


def test_results_in_an_ase_db_are_results_of_a_method_named_after_it(old: Path, tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    first = mlmat("ingest", old, "--db", db)
    assert first.exit_code == 0, first.output
    assert "3 results came with them" in first.output
    store = Store(db)
    found = store.sql(
        "SELECT m.method, r.external_id, r.energy, v.* FROM result AS r JOIN method AS m USING (method_id) "
        "JOIN result_imported AS v USING (result_id) ORDER BY r.external_id"
    )
    assert found["method"].tolist() == ["imported/old.db (gpaw)"] * 2 + ["imported/old.db (vasp)"]
    assert found["external_id"].tolist() == ["1", "2", "3"]
    assert found["energy"].tolist() == [-3.5, -3.25, -2.5]
    arrays = store.arrow(
        "SELECT forces, stress, magmoms, free_energy FROM result_imported ORDER BY result_id"
    ).to_pylist()
    stress = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert arrays[0] == {"forces": [[0, 0, 0.25]], "stress": stress, "magmoms": None, "free_energy": None}
    assert arrays[1] == {"forces": None, "stress": None, "magmoms": [0.5], "free_energy": -3.3}
    for name, _, comment in store.columns("result_imported"):
        assert comment, name
    ranking = store.sql("SELECT formula, rank, energy_per_atom FROM ranking ORDER BY energy_per_atom")
    assert list(ranking.itertuples(index=False, name=None)) == [("Cu", 1, -3.5), ("Cu", 2, -3.25), ("Ag", 1, -2.5)]
    status = mlmat("status", "--db", db).output
    assert "imported/old.db (gpaw)" in status
    assert "2 ok, 0 failed\n" in status
    copper = store.sql("SELECT structure_id FROM ranking WHERE formula = 'Cu'")["structure_id"][0]
    shown = mlmat("show", copper, "--db", db).output
    assert f"from {old}!1 [1]: stored" in shown
    assert "by imported/old.db (gpaw) [2] at" in shown
    assert "nothing new" in mlmat("ingest", old, "--db", db).output
    assert mlmat("ingest", old, "--again", "--db", db).exit_code == 0
    assert len(store.sql("FROM result")) == 3


def test_other_runners_still_find_imported_structures_pending(old: Path, tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    mlmat("ingest", old, "--db", db)
    done = mlmat("screen", "--runner", "mlmat.example_runner", "--config", "threads", "--db", db)
    assert done.stdout.startswith("3 structures"), done.output
    pairs = Store(db).reduce("method_comparison")
    assert len(pairs) == 2
    assert set(pairs["method_a"]) | set(pairs["method_b"]) > {"imported/old.db (gpaw)", "imported/old.db (vasp)"}


def test_a_changed_row_has_a_new_result_and_the_others_keep_theirs(old: Path, store: Store) -> None:
    run(store, old)
    before = set(store.sql("SELECT result_id FROM result")["result_id"])
    db = connect(old)
    db.update(2, atoms=computed("Cu", -4.0))
    report = run(store, old)
    assert (report.unchanged_members, report.results) == (3, 1)
    assert before < set(store.sql("SELECT result_id FROM result")["result_id"])
    energies = store.sql("SELECT external_id AS i, energy FROM current_result ORDER BY i")["energy"].tolist()
    assert energies == [-3.5, -4.0, -2.5]


def test_two_files_are_two_methods(tmp_path: Path, store: Store) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "x.traj", [computed("Cu", -1.0), computed("Cu", -2.0)])
    run(store, tmp_path / "a", tmp_path / "b")
    found = store.sql("SELECT method_id, count(*) AS n, max(external_id) AS last FROM result GROUP BY ALL")
    assert found["n"].tolist() == [2, 2]
    paths = store.sql("SELECT settings['path'] AS p FROM method ORDER BY p")["p"].tolist()
    assert paths == [f"{tmp_path}/{folder}/x.traj" for folder in ("a", "b")]


def test_results_that_make_no_sense_are_left_out_and_said() -> None:
    def block(**results: object) -> Block:
        return Block("b", 0, "", "stored", atoms=bulk("Cu"), results=results)

    good, problems = results_of(block(energy=-1.0, stress=[[1, 6, 5], [6, 2, 4], [5, 4, 3]], calculator="x", odd=1))
    assert good == {"energy": -1.0, "stress": [1, 2, 3, 4, 5, 6], "calculator": "x"}
    assert problems == []
    bad, problems = results_of(
        block(energy=float("nan"), forces=[[1.0, 2.0, 3.0]] * 2, magmoms="many", dipole=[0, 0, 1])
    )
    assert bad == {"dipole": [0, 0, 1], "calculator": ""}
    assert [p.partition(" ")[0] for p in problems] == ["energy", "forces", "magmoms"]


def test_key_value_pairs_choose_structures(old: Path, tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    mlmat("ingest", old, "--db", db)
    store = Store(db)
    assert [str(a.symbols) for a in store.structures("TRY_CAST(key_values['gap'] AS DOUBLE) > 1")] == ["Ag", "Al"]
    assert [str(a.symbols) for a in store.structures("key_values['project'] = 'b'")] == ["Ag"]
    pairs = store.sql("SELECT key, text, number, member FROM key_value WHERE member = '2' ORDER BY key")
    assert pairs["text"].tolist() == ["0.25", "true"]
    assert pairs["number"].tolist()[0] == 0.25
    assert mlmat("reduce", "key_value", "--db", db).output.startswith("structure_id")
    screened = mlmat("screen", "--runner", "mlmat.example_runner", "--config", "threads", "--db", db,
                     "--where", "TRY_CAST(key_values['gap'] AS DOUBLE) > 3")  # fmt: skip
    assert screened.stdout.startswith("1 structure "), screened.output


def test_pairs_that_changed_beside_the_same_structure(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for gap in (1, 2):
        path.write_text(f'id,cif,gap\nx,"{cif()}",{gap}\ny,"{cif(4.2)}",5\n')
        report = run(store, path, column="cif")
    assert report.unchanged_members == 1
    assert store.sql("SELECT number FROM key_value WHERE key = 'gap' ORDER BY 1")["number"].tolist() == [2, 5]


def test_a_table_says_which_columns_it_has(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'id,cif\nx,"{cif()}"\n')
    db = tmp_path / "s.duckdb"
    assert "--column" in mlmat("ingest", tmp_path, "--db", db).output
    assert "say which column" in mlmat("ingest", tmp_path / "t.csv", "--db", db).output
    assert "no column CIF; the table has: id, cif" in mlmat(
        "ingest", tmp_path / "t.csv", "--column", "CIF", "--db", db).output  # fmt: skip
    assert "stored             1" in mlmat("ingest", tmp_path, "--column", "cif", "--db", db).output


def test_compressed_files_of_any_format(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "plain.vasp", bulk("Si"), format="vasp")
    text = (tmp_path / "plain.vasp").read_bytes()
    (tmp_path / "plain.vasp").unlink()
    (tmp_path / "POSCAR.xz").write_bytes(lzma.compress(text))
    (tmp_path / "a.cif.bz2").write_bytes(bz2.compress(cif().encode()))
    (tmp_path / "b.cif.bz2").write_bytes(bz2.compress(cif(4.1).encode())[:-20])
    (tmp_path / "c.cif.xz").write_bytes(lzma.compress(b" " * 3_000_000))
    from mlmat.reader import Limits

    report = run(store, tmp_path, limits=Limits(max_bytes=1_000_000))
    assert dict(report.outcomes) == {"stored": 2, "unreadable": 1, "rejected": 1}
    reasons = store.sql("SELECT reason FROM source WHERE reason IS NOT NULL ORDER BY path")["reason"].tolist()
    assert reasons[0] == "broken bzip2 data: the file ends early"
    assert reasons[1].startswith("too large")


def test_standard_input(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    text = cif().encode()
    assert "unreadable         1" in mlmat("ingest", "-", "--db", db, stdin=b"").output
    assert "stored             1" in mlmat("ingest", "-", "--db", db, stdin=text).output
    assert "nothing new" in mlmat("ingest", "-", "--db", db, stdin=text).output
    assert "stored             1" in mlmat("ingest", "-", "--db", db, stdin=cif(4.1).encode()).output
    named = mlmat("ingest", "-", "--stdin-name", "x.cif.bz2", "--db", db, stdin=bz2.compress(cif(4.2).encode()))
    assert "stored             1" in named.output
    changed = mlmat("ingest", "-", "--stdin-name", "x.cif.bz2", "--db", db, stdin=bz2.compress(cif(4.3).encode()))
    assert "stored             1" in changed.output
    store = Store(db)
    rows = store.sql("SELECT path, member FROM source WHERE current")
    assert set(rows["path"]) == {"-"}
    assert len(set(rows["member"])) == len(rows) == 4
    alone = mlmat("ingest", tmp_path, "--stdin-name", "x.cif", "--db", db)
    assert alone.exit_code == 2
    assert "--stdin-name" in alone.output


def test_standard_input_is_called_so(tmp_path: Path) -> None:
    db = tmp_path / "s.duckdb"
    mlmat("ingest", "-", "--db", db, stdin=cif().encode())
    mlmat("ingest", "-", "--stdin-name", "x.cif", "--db", db, stdin=cif(4.1).encode())
    for name, size in (("a.cif", 4.0), ("b.cif", 4.1)):
        (tmp_path / name).write_text(cif(size))
    mlmat("ingest", tmp_path, "--db", db)
    found = Store(db).sql("SELECT reason, structure_id FROM source WHERE outcome = 'duplicate' ORDER BY path")
    said = ["standard input [one]", "standard input (x.cif) [one]"]
    assert found["reason"].tolist() == [f"same structure as {one}" for one in said]
    assert "from standard input [one]: stored" in mlmat("show", found["structure_id"][0], "--db", db).output
    for _ in range(2):
        bad = mlmat("ingest", "-", "--db", db, stdin=b"nothing")
        assert bad.exit_code == 1
        assert "not read: standard input: the content is none of what is read" in bad.output


def test_an_archive_is_not_read_from_standard_input(store: Store) -> None:
    for data, name in ((b"PK\3\4", None), (b"x", "a.tar")):
        with pytest.raises(ReadError, match="give it as a file"):
            run(store, "-", stdin=BytesIO(data), stdin_name=name)
    assert everything(store) == [[], []]


def test_a_store_of_before_takes_key_value_pairs(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "before.duckdb"
    with duckdb.connect(str(path)) as con:
        number, first = migrations.migrations()[0]
        con.execute(first.read_text())
        con.execute("INSERT INTO mlmat_schema (version, name) VALUES (?, ?)", [number, first.stem])
    store = open_store(path)
    run(store, old)
    assert len(store.reduce("key_value")) == 7
