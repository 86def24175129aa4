"""The reader on the shared data sets; skipped where these are missing."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from effort import ALL

from mlmat.materials.structure import counts, reduced_formula
from mlmat.reader import Block, Limits, reader_for

SHARED = Path(os.environ.get("MLMAT_SHARED", Path(__file__).parents[3] / "shared")) / "data"
#: Of the two large sets every so many files.
EVERY = {"clean": 4, "experimental": 2} if ALL else {"clean": 40, "experimental": 20}

pytestmark = [pytest.mark.shared, pytest.mark.sampled, pytest.mark.usefixtures("shared")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    def unpacked(name: str) -> Path:
        if name == "demo":
            return SHARED / "demo"
        root = tmp_path_factory.getbasetemp() / "shared_sets"
        if not (root / name).is_dir():
            with tarfile.open(SHARED / f"{name}.tar.gz") as archive:
                archive.extractall(root, filter="data")
        return root / name

    return unpacked


def manifest(name: str) -> pd.DataFrame:
    table = pd.read_csv(SHARED / f"{name}_manifest.csv", keep_default_na=False, dtype=str)
    return table.iloc[:: EVERY.get(name, 1)]


def read(path: Path) -> list[Block]:
    return list(reader_for(path).read(path.name, path.read_bytes(), Limits()))


def formula_of(text: str) -> str:
    """The reduced formula of a manifest's entry, whose amounts may be written `4.00`."""
    from mlmat.reader.common.composition import parse_formula

    return reduced_formula({element: round(n) for element, n in parse_formula(text).items()})


def agrees(row: pd.Series) -> bool:
    same = float(row.pymatgen_natoms or 0) == float(row.gemmi_natoms or -1)
    return same and row.pymatgen_ok == row.gemmi_ok == "1"


def mismatch(found: list[Block], row: pd.Series) -> str | None:
    if [b.outcome for b in found if b.outcome != "unreadable"] != ["stored"]:
        return f"{row.file}: {[(b.outcome, b.reason) for b in found]}"
    atoms = next(b.atoms for b in found if b.atoms is not None)
    formula = reduced_formula(counts(atoms.numbers))
    if (len(atoms), formula) != (int(float(row.gemmi_natoms)), formula_of(row.gemmi_formula)):
        return f"{row.file}: {len(atoms)} {formula}, not {row.gemmi_natoms} {row.gemmi_formula}"
    return None


@pytest.mark.parametrize("name", ["demo", "clean"])
def test_written_by_programs(folder, name):
    rows = [row for _, row in manifest(name).iterrows() if agrees(row)]
    assert len(rows) > 50
    assert [m for row in rows if (m := mismatch(read(folder(name) / row.file), row))] == []


def test_unrelaxed_intermetallics(folder):
    found = [read(path) for path in sorted(folder("u166_unrelaxed").rglob("*.cif"))]
    assert len(found) == 453
    assert Counter(b.outcome for blocks in found for b in blocks) == {"stored": 453}


ALLOWED = {
    "reject": {("rejected",), ("unreadable",)},
    "reject_or_ok": {("rejected",), ("unreadable",), ("stored",)},
    "flag": {("flagged",)},
    "disordered": {("disordered",)},
    "ok_too_big": {("rejected",)},
    "ok_two": {("stored", "stored")},
}


def test_made_by_hand(folder):
    table = manifest("made")
    wrong = []
    for _, row in table.iterrows():
        found = read(folder("made") / row.file)
        if tuple(b.outcome for b in found) not in ALLOWED.get(row.expect, {("stored",)}):
            wrong.append((row.file, row.expect, [(b.outcome, b.reason) for b in found]))
    assert len(table) >= 30
    assert wrong == []


def test_experimental_structures_that_two_parsers_read_alike(folder):
    table = manifest("experimental")
    sound = (table.expect_by_parsers == "agree_ok") & (table.pymatgen_matches_declared.str.startswith("1"))
    rows = [row for _, row in table[sound & table.gemmi_matches_declared.str.startswith("1")].iterrows()]
    wrong = [m for row in rows if (m := mismatch(read(folder("experimental") / row.file), row))]
    assert len(rows) > (100 if ALL else 20)
    assert len(wrong) <= max(1, 0.02 * len(rows)), wrong


@pytest.mark.parametrize("name", ["nasty", "experimental"])
def test_every_file_makes_rows_and_no_stored_formula_contradicts_its_file(folder, name):
    from mlmat.reader.common.composition import difference, parse_formula

    contradicted = []
    for file in manifest(name).file:
        found = read(folder(name) / file)
        assert found, file
        assert all(b.outcome == "stored" or b.reason for b in found), file
        assert not any("unexpected" in (b.reason or "") for b in found), file
        for b in found:
            declared = parse_formula(b.declared_formula)
            if b.outcome == "stored" and declared:
                says = difference({k: float(n) for k, n in counts(b.atoms.numbers).items()}, declared)
                contradicted += [(file, says)] if says else []
    assert contradicted == []
