from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mlmat.reader
from mlmat.reader import patterns, reader_for, readers


@pytest.mark.parametrize("name", ["a.cif", "A.CIF", "dir/b.cif.gz", "c.mcif", "d.mcif.gz", "e.mmcif", "späce (1).cif"])
def test_cif_names_have_the_cif_reader(name):
    assert reader_for(name).__name__ == "mlmat.reader.cif"


@pytest.mark.parametrize("name", ["POSCAR", "a.cif.bak", "cif", "a.gz", "a.cif/readme.txt"])
def test_other_names_have_none_of_it(name):
    reader = reader_for(name)
    assert reader is None or reader.__name__ != "mlmat.reader.cif"


def test_the_directory_is_the_registry():
    modules = {p.stem for p in Path(mlmat.reader.__file__).parent.glob("*.py") if not p.stem.startswith("_")}
    assert {reader.__name__.rpartition(".")[2] for reader in readers()} == modules
    assert set(patterns()) == {p for reader in readers() for p in reader.PATTERNS}
    assert all(p == p.lower() for p in patterns())


def test_the_registry_is_cheap_to_import():
    heavy = "import sys, mlmat.reader as r; r.patterns(); print(*{'ase', 'numpy', 'gemmi', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
