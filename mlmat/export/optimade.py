"""OPTIMADE JSON Lines: a header, what the properties of mlmat mean, then one `structures` resource a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmat.export._keys import Unique, is_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlmat.export._rows import Row, Rows

SUFFIXES = (".jsonl",)
#: The OPTIMADE version that the lines follow.
API_VERSION = "1.2.0"
#: Meaning, unit and type of the properties that mlmat adds.
PROPERTIES = {
    "structure_id": ("Content id of the structure", None, "string"),
    "initial_id": ("Id of the structure before its relaxation", None, "string"),
    "method": ("Runner with settings and model that computed the results", None, "string"),
    "method_id": ("Hash of runner, version, settings and weights", None, "string"),
    "energy": ("Total energy of the cell", "eV", "float"),
    "energy_per_atom": ("Energy per atom", "eV", "float"),
    "forces": ("Force on each atom, in the order of the sites", "eV/angstrom", "list"),
    "stress": ("Stress in Voigt order xx yy zz yz xz xy, negative under compression", "eV/angstrom^3", "list"),
    "mlmat_own": ("Names that describe the structure or its method, and after / those of its result", None, "string"),
    "converged": ("Whether the relaxation converged", None, "boolean"),
    "initial_magnetic_moments": ("Initial magnetic moments of the sites", "bohr_magneton", "list"),
    "initial_charges": ("Initial charges of the sites", "elementary_charge", "list"),
    "total_charge": ("Total charge of the cell", "elementary_charge", "float"),
    "spin_multiplicity": ("Spin multiplicity 2S+1", None, "integer"),
}


def write(rows: Rows, path: Path) -> int:
    """Write a line for each row after the two of the header; how many."""
    named, count = Unique(), 0
    with path.open("w", encoding="utf-8") as file:
        file.write(_line({"x-optimade": {"meta": {"api_version": API_VERSION}}}))
        file.write(_line({"type": "info", "id": "structures", "properties": _definitions()}))
        for row in rows:
            file.write(_line(resource(row, named(row.structure_id))))
            count += 1
    return count


def _definitions() -> dict[str, Any]:
    return {
        f"_mlmat_{name}": {"description": meaning, **({"unit": unit} if unit else {}), "type": kind}
        for name, (meaning, unit, kind) in PROPERTIES.items()
    }


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, default=str) + "\n"


def resource(row: Row, name: str) -> dict[str, Any]:
    """A row as an OPTIMADE entry; results, and all else that is known, under names that begin with `_mlmat_`."""
    return {"id": name, "type": "structures", "attributes": {**_standard(row), **_own(row)}}


def _standard(row: Row) -> dict[str, Any]:
    from mlmat.materials.structure import counts

    amounts, symbols = counts(row.atoms.numbers), row.atoms.get_chemical_symbols()
    group = {"space_group_it_number": row.about["space_group_it_number"]}
    return {
        "last_modified": row.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "elements": list(amounts),
        "nelements": len(amounts),
        "elements_ratios": [n / len(symbols) for n in amounts.values()],
        "chemical_formula_reduced": row.about["chemical_formula_reduced"],
        "chemical_formula_descriptive": row.about["chemical_formula_reduced"],
        "chemical_formula_anonymous": row.about["chemical_formula_anonymous"],
        "dimension_types": [int(p) for p in row.atoms.pbc],
        "nperiodic_dimensions": int(row.atoms.pbc.sum()),
        "lattice_vectors": [v.tolist() if v.any() else [None] * 3 for v in row.atoms.cell.array],
        "cartesian_site_positions": row.atoms.positions.tolist(),
        "nsites": len(symbols),
        "species": [{"name": el, "chemical_symbols": [el], "concentration": [1.0]} for el in amounts],
        "species_at_sites": symbols,
        "structure_features": [],
        **{name: value for name, value in group.items() if value is not None},
    }


def _own(row: Row) -> Mapping[str, Any]:
    from ase.calculators.calculator import all_properties

    moments, charges = row.atoms.get_initial_magnetic_moments(), row.atoms.get_initial_charges()
    initial = {"initial_magnetic_moments": moments, "initial_charges": charges}
    initial = {name: values for name, values in initial.items() if values.any()}
    # A key-value pair called energy is not the total energy of this cell.
    facts = {name: value for name, value in row.facts().items() if name not in all_properties}
    found = {**row.arrays, **facts, **initial, **row.results}
    # Names that begin with _ came from a provider, and keep its prefix; ours are last and win.
    order = sorted(found, key=lambda name: not name.startswith("_"))
    return {_prefixed(k): _plain(found[k]) for k in order if is_key(k) and found[k] is not None}


def _prefixed(name: str) -> str:
    return name.lower() if name.startswith("_") else f"_mlmat_{name.lower()}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: lists for arrays, null for what is not a finite number."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value
