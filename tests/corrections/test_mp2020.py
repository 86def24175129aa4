"""MP2020 corrections from the crystal alone, against those that were published."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Composition

from mlmat.corrections import Crystal, Uncorrectable, corrections, mp2020
from mlmat.corrections._oxidation import states

WBM = "MP PBE52 + MP2020 corrections"


def of(atoms: Atoms) -> Crystal:
    amounts = {element: float(n) for element, n in atoms.symbols.formula.count().items()}
    return Crystal(amounts, atoms.cell.array.tolist(), atoms.numbers.tolist(), atoms.positions.tolist())


def of_entry(entry: dict[str, object]) -> Crystal:
    structure: dict[str, dict[str, list[list[float]]]] = entry["structure"]  # type: ignore[assignment]
    sites: list[dict[str, list[dict[str, str]]]] = structure["sites"]  # type: ignore[assignment]
    numbers = [int(Atoms(site["species"][0]["element"]).numbers[0]) for site in sites]
    amounts: dict[str, float] = entry["composition"]  # type: ignore[assignment]
    return Crystal(amounts, structure["lattice"]["matrix"], numbers, [site["xyz"] for site in sites])  # type: ignore[misc]


def wrong(found: Iterator[tuple[str, Crystal, float]]) -> tuple[int, list[str]]:
    """How many there are, and those whose correction is over 1 meV/atom from the published one (eV/atom)."""
    names, count = [], 0
    for name, crystal, published in found:
        count += 1
        if abs(mp2020.correction(crystal) / sum(crystal.amounts.values()) - published) > 1e-3:
            names.append(name)
    return count, names


@pytest.mark.parametrize(
    ("system", "count", "differ"), [("Cl-Mn-Na-O-Y", 333, []), ("Li-Co-Ni-O", 775, ["mp-1213623-GGA+U"])]
)
def test_complete_systems_of_the_materials_project(shared: Path, system: str, count: int, differ: list[str]) -> None:
    with gzip.open(shared / "data" / "references" / f"entries_{system}.json.gz", "rt") as file:
        entries = json.load(file)
    found = ((e["entry_id"], of_entry(e), e["correction"] / sum(e["composition"].values())) for e in entries)
    assert wrong(found) == (count, differ)


def test_crystals_of_wbm(shared: Path) -> None:
    with (shared / "data" / "clean_manifest.csv").open() as table:
        known = {r["file"]: r for r in csv.DictReader(table) if r["ref_scheme"] == WBM}

    def crystals() -> Iterator[tuple[str, Crystal, float]]:
        with tarfile.open(shared / "data" / "clean.tar.gz") as archive:
            for member in archive:
                if row := known.get(member.name.partition("/")[2]):
                    text = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
                    published = float(row["ref_corrected_energy_per_atom"]) - float(row["ref_energy_per_atom"])
                    yield row["file"], of(ase.io.read(io.StringIO(text), format="cif")), published

    # Si of Eu3Cu4Si2 has no oxidation state by composition; the published correction takes it for an anion.
    assert wrong(crystals()) == (688, ["wbm/wbm-3-68551.cif"])


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (bulk("MgO", "rocksalt", a=4.2), -0.687),  # oxide
        (bulk("FeO", "rocksalt", a=4.3), -0.687 - 2.256),  # GGA+U where O is
        (bulk("FeS", "rocksalt", a=5.0), -0.503),  # GGA where it is not
        (bulk("NaCl", "rocksalt", a=5.6), -0.614),
        (bulk("FeAl", "cesiumchloride", a=2.9), 0.0),
        (bulk("Fe", "bcc", a=2.87), 0.0),
    ],
    ids=str,
)
def test_what_is_added_to_simple_crystals(atoms: Atoms, expected: float) -> None:
    assert mp2020.correction(of(atoms)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("apart", "kind"), [(1.30, -0.161), (1.47, -0.465), (1.55, -0.465), (1.60, -0.465), (2.4, -0.687)]
)
def test_oxygen_atoms_that_are_bonded_make_another_kind_of_oxide(apart: float, kind: float) -> None:
    atoms = Atoms("KO2", [[0, 0, 0], [3, 3, 3], [3, 3, 3 + apart]], cell=[6, 6, 7], pbc=True)
    assert mp2020.correction(of(atoms)) == pytest.approx(2 * kind, abs=1e-9)


def test_sulfur_that_is_no_anion_is_not_corrected() -> None:
    sulfate = Atoms("SO3", [[0, 0, 0], [1.43, 0, 0], [-0.72, 1.24, 0], [-0.72, -1.24, 0]], cell=[7, 7, 7], pbc=True)
    assert mp2020.correction(of(sulfate)) == pytest.approx(3 * -0.687, abs=1e-9)


def test_what_needs_a_structure_is_refused_without_one() -> None:
    assert mp2020.correction(Crystal({"Cl": 1.0, "Na": 1.0})) == pytest.approx(-0.614)
    with pytest.raises(Uncorrectable, match="needs a structure to tell which kind of oxide"):
        mp2020.correction(Crystal({"Li": 2.0, "O": 1.0}))
    with pytest.raises(Uncorrectable, match="more than 2,000 atoms"):
        mp2020.correction(of(bulk("MgO", "rocksalt", a=4.2) * (10, 10, 11)))


@pytest.mark.parametrize(
    "formula", ["Fe3O4", "LiCoO2", "Na2S2O3", "CuFeS2", "Mn19O", "CrMnFeCoNiAlTiVO8", "NH4NO3", "HeNa2"]
)
def test_oxidation_states_are_those_of_pymatgen(formula: str) -> None:
    composition = Composition(formula)
    theirs = composition.oxi_state_guesses(max_sites=-20)
    assert states(composition.get_el_amt_dict()) == (dict(theirs[0]) if theirs else {})


def test_large_formulas_have_no_states_and_none_takes_long() -> None:
    assert states({"Mn": 15.0, "O": 6.0}) == {}
    many = dict.fromkeys(("Re", "Mn", "Cr", "V", "Os", "Fe", "Mo", "W"), 1.0) | {"O": 12.0}
    assert sum(states(many)[element] * amount for element, amount in many.items()) == pytest.approx(0)
    assert states(many)["O"] == -2


def test_the_registry() -> None:
    one = corrections()["MP2020"]
    assert (one.NAME.name, one.TAKES.name) == ("MP2020", "MP raw GGA/GGA+U")
