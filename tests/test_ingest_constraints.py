"""Constraints that are dropped are told with their number, by the command and in Python's report."""

from __future__ import annotations

from pathlib import Path

from ase.build import bulk
from ase.constraints import FixAtoms, FixCartesian
from ase.db import connect
from ase.io import write
from click.testing import CliRunner
from pymatgen.io.vasp import Poscar

from mlmat.cli import main
from mlmat.ingest import ingest
from mlmat.store import Store

FLAGS = "x\n1\n4 0 0\n0 4 0\n0 0 4\nAl Cu\n1 1\nSelective dynamics\nDirect\n0 0 0 {0}\n0.5 0.5 0.5 {0}\n"


def files(folder: Path) -> None:
    """Six structures with something fixed, and three with flags that fix nothing or without any."""
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    free = bulk("AlNi", "cesiumchloride", a=2.9)
    (folder / "fixed.vasp").write_text(FLAGS.format("T T F"))
    (folder / "free.vasp").write_text(FLAGS.format("T T T"))
    atoms.set_constraint(FixAtoms([0]))
    write(folder / "mask.extxyz", atoms, columns=["symbols", "positions", "move_mask"])
    write(folder / "path.traj", [atoms, free])
    with connect(folder / "rows.db") as rows:
        rows.write(atoms)
        rows.write(free)
    poscar = Poscar.from_str((folder / "fixed.vasp").read_text())
    (folder / "p.json").write_text(poscar.structure.to_json())
    atoms.set_constraint(FixCartesian(1, (True, False, False)))
    write(folder / "one.json", atoms)


def test_the_summary_counts_them(tmp_path: Path) -> None:
    files(tmp_path)
    said = CliRunner().invoke(main, ["ingest", str(tmp_path), "--db", str(tmp_path / "x.duckdb")])
    assert said.exit_code == 0
    (line,) = [line for line in said.output.splitlines() if "fixed atoms" in line]
    assert line.strip().startswith("6 blocks with fixed atoms")
    assert "relaxations move all atoms" in line


def test_the_report_counts_them(store: Store, tmp_path: Path) -> None:
    files(tmp_path)
    report = ingest(store, [tmp_path / "fixed.vasp", tmp_path / "free.vasp"])
    assert (report.constrained, report.outcomes.total()) == (1, 2)
    assert ingest(store, [tmp_path / "free.vasp"], again=True).constrained == 0
