"""The three formats in JSON: ase.db, pymatgen, OPTIMADE."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from ase.constraints import FixAtoms
from good_files import as_ase_json, as_pymatgen_json, optimade_resource, rock_salt

from mlmat.materials.structure import structure_id
from mlmat.reader import Limits, read


def blocks(value, name="x.json"):
    text = value if isinstance(value, str) else json.dumps(value)
    return list(read(name, text.encode(), Limits()))


def block(value, name="x.json"):
    (found,) = blocks(value, name)
    return found


SALT = json.loads(as_pymatgen_json(rock_salt()))
RESOURCE = optimade_resource(rock_salt())


def with_attributes(**attributes):
    return {**RESOURCE, "attributes": {**RESOURCE["attributes"], **attributes}}


class TestAseDb:
    def test_rows_as_sqlite_hands_them_over(self, tmp_path):
        """What ASE itself writes when it copies rows of a SQLite database into JSON."""
        from ase.db import connect

        source, target = connect(tmp_path / "x.db"), connect(tmp_path / "x.json")
        atoms = rock_salt()
        atoms.set_constraint(FixAtoms([0]))
        source.write(atoms, gap=1.5, name="salt", checked=True, data={"a": [1]})
        source.write(rock_salt()[:4], n=2)
        for row in source.select():
            target.write(row, row.key_value_pairs, row.data)
        found = list(read("x.json", (tmp_path / "x.json").read_bytes()))
        assert [b.name for b in found] == ["1", "2"]
        assert [b.key_values for b in found] == [{"gap": 1.5, "name": "salt", "checked": True}, {"n": 2}]
        assert structure_id(found[0].atoms) == structure_id(rock_salt())
        assert found[0].warnings == ("constraints are not kept",)

    def test_rows_that_were_deleted_or_updated(self, tmp_path):
        from ase.db import connect

        db = connect(tmp_path / "x.json")
        for n in (8, 4, 2):
            db.write(rock_salt()[:n])
        db.delete([2])
        db.update(3, gap=2)
        found = list(read("x.json", (tmp_path / "x.json").read_bytes()))
        assert [(b.name, b.index, len(b.atoms)) for b in found] == [("1", 0, 8), ("3", 1, 2)]
        assert found[1].key_values == {"gap": 2}

    def test_a_molecule_and_a_row_without_atoms(self):
        rows = {"1": {"numbers": [1], "positions": [[0, 0, 0]]}, "2": {"energy": 1}, "ids": [1, 2], "nextid": 3}
        assert [b.outcome for b in blocks(rows)] == ["rejected", "unreadable"]

    def test_an_empty_database_and_one_with_a_row_missing(self):
        assert "no rows" in block({"ids": [], "nextid": 1}).reason
        assert "lists row 7" in block({"1": {"numbers": [1]}, "ids": [1, 7], "nextid": 8}).reason

    @pytest.mark.parametrize("shape", [[3], [1, 4], [-1, 3], ["a"], [10**12], None])
    def test_arrays_of_another_shape(self, shape):
        text = as_ase_json(rock_salt()).decode().replace("[[8, 3]", f"[{json.dumps(shape)}", 1)
        b = block(text)
        assert b.outcome == ("stored" if shape == [-1, 3] else "unreadable")


class TestPymatgen:
    def test_collections(self):
        entry = {"structure": SALT, "energy": -1.0, "@class": "ComputedStructureEntry", "entry_id": "mp-2"}
        assert [b.name for b in blocks([SALT, entry])] == ["", "mp-2"]
        assert [b.name for b in blocks({"a": SALT, "b": SALT})] == ["a", "b"]
        assert [b.name for b in blocks({"entries": [entry, entry], "version": 2})] == ["mp-2", "mp-2"]
        assert [b.index for b in blocks([[SALT], {"c": [SALT]}, 3, None])] == [0, 1]
        lines = f"{json.dumps(SALT)}\n\n{json.dumps(entry)}\n"
        assert [b.name for b in blocks(lines, "x.jsonl")] == ["", "mp-2"]

    def test_the_text_of_a_member_is_exact(self):
        text = f"[ {json.dumps(SALT, indent=1)},\n{json.dumps({'structure': SALT})} ]"
        first, second = blocks(text)
        assert first.text == json.dumps(SALT, indent=1)
        assert second.text == json.dumps({"structure": SALT})

    def test_a_document_of_a_database(self):
        b = block(
            [{"material_id": "mp-22862", "structure": SALT, "band_gap": 5.0, "is_stable": True, "sg": {"n": 225}}]
        )
        assert b.name == "mp-22862"
        assert b.key_values == {"material_id": "mp-22862", "band_gap": 5.0, "is_stable": True}
        assert b.results == {}

    def test_entries(self):
        entry = {
            "@class": "ComputedStructureEntry",
            "structure": SALT,
            "composition": {"Na": 4.0, "Cl": 4.0},
            "energy": -27.5,
            "correction": -2.5,
            "parameters": {"run_type": "PBE", "hubbards": {}},
            "data": {"icsd": 18189},
            "entry_id": 7,
        }
        b = block(entry)
        assert b.name == "7"
        assert b.results == {"energy": -27.5}
        assert b.key_values == {"run_type": "PBE", "icsd": 18189, "correction": -2.5}
        b = block({**entry, "composition": {"Na": 1.0, "Cl": 1.0}})
        assert b.results == {}
        assert b.warnings == ("energy left out: the composition of the entry is not that of the cell",)

    def test_disorder(self):
        from pymatgen.core import Lattice, Structure

        mixed = Structure(
            Lattice.cubic(4), [{"Na+": 0.625, "K+": 0.375}, "Cl-"], [[0, 0, 0], [0.5] * 3], labels=["M1", "X"]
        )
        b = block(mixed.as_dict())
        assert (b.outcome, b.formula, b.atoms) == ("disordered", "ClK0.375Na0.625", None)
        assert b.reason == "partial occupancy at M1 (site 1), 0.625 on the first"
        mixed.make_supercell(2)
        assert block(mixed.as_dict()).formula == "ClK0.375Na0.625"
        vacant = Structure(Lattice.cubic(4), [{"Na": 0.98}, "Cl"], [[0, 0, 0], [0.5] * 3])
        assert block(vacant.as_dict()).formula == "ClNa0.98"

    def test_charges_and_spins_of_one_element_are_no_disorder(self):
        from pymatgen.core import Lattice, Structure

        s = Structure(Lattice.cubic(4), [{"Fe2+": 0.5, "Fe3+": 0.5}], [[0, 0, 0]])
        assert block(s.as_dict()).outcome == "stored"

    @pytest.mark.parametrize(
        ("species", "word"),
        [
            ([{"element": "Na", "occu": 1.5}], "occupancy of site 1 (Na) makes no sense: 1.5"),
            ([{"element": "Na", "occu": 0.7}, {"element": "K", "occu": 0.6}], "makes no sense: 1.3"),
            ([{"element": "Na", "occu": -0.5}, {"element": "K", "occu": 1}], "makes no sense: 0.5"),
            ([{"element": "Na", "occu": float("nan")}], "makes no sense: nan"),
            ([{"@class": "DummySpecies", "element": "X", "occu": 1}], "unknown element X at site 1"),
            ([], "makes no sense: 0"),
        ],
    )
    def test_species_that_make_no_sense(self, species, word):
        changed = json.loads(json.dumps(SALT))
        changed["sites"][0]["species"] = species
        b = block(changed)
        assert b.outcome == "rejected"
        assert word in b.reason

    def test_isotopes_and_the_charge_of_the_cell(self):
        changed = json.loads(json.dumps(SALT).replace('"Na"', '"D"'))
        b = block({**changed, "charge": 1.0})
        assert b.formula == "ClH"
        assert "isotopes of hydrogen at D1, D2, D3 and 1 more: kept as H" in b.warnings
        assert b.key_values == {"charge": 1.0}

    def test_moments(self):
        vectors = json.loads(json.dumps(SALT))
        for i, site in enumerate(vectors["sites"]):
            site["properties"] = {"magmom": {"@class": "Magmom", "moment": [0, 0, i]}, "final_magmom": i / 2}
        b = block(vectors)
        assert b.atoms.get_initial_magnetic_moments()[:, 2].tolist() == list(range(8))
        assert b.results["magmoms"].tolist() == [i / 2 for i in range(8)]
        del vectors["sites"][3]["properties"]["magmom"]
        b = block(vectors)
        assert not b.atoms.has("initial_magmoms")
        assert b.warnings == ("initial magnetic moments left out: not one finite value for each atom",)

    def test_molecules_and_other_objects(self):
        from pymatgen.core import Molecule

        b = block(Molecule(["O", "H", "H"], [[0, 0, 0], [0, 0, 1], [0, 1, 0]]).as_dict())
        assert (b.outcome, b.reason) == ("rejected", "no cell: a molecule, not a crystal")
        found = blocks([SALT, {"@class": "PhaseDiagram", "sites": 3}])
        assert [b.outcome for b in found] == ["stored", "unreadable"]
        assert found[1].reason == "no structure in this PhaseDiagram"

    def test_what_a_file_names_is_not_imported(self):
        evil = {"@module": "antigravity", "@class": "fly", "@version": "1"}
        changed = json.loads(json.dumps(SALT)) | {"@module": "antigravity", "properties": {"a": evil}}
        changed["sites"][0]["properties"] = {"magmom": evil, "other": evil}
        assert block(changed).outcome == "stored"
        blocks([evil, {"structure": {**SALT, "lattice": {**evil, "matrix": evil}}}])
        assert "antigravity" not in sys.modules


class TestOptimade:
    def test_lines_and_responses(self):
        header, info = {"x-optimade": {"meta": {"api_version": "1.2.0"}}}, {"type": "info", "id": "/", "attributes": {}}
        other = {"type": "references", "id": "r", "attributes": {}}
        lines = [header, info, other, RESOURCE, {**RESOURCE, "id": "b"}]
        text = "\n".join(map(json.dumps, lines)) + "\n"
        found = blocks(text, "x.jsonl")
        assert [(b.name, b.index, b.outcome) for b in found] == [("salt/1", 0, "stored"), ("b", 1, "stored")]
        assert found[1].text == json.dumps(lines[-1])
        for line in (header, info, other):
            assert blocks(line, "x.jsonl") == []
        assert [b.name for b in blocks({"meta": {}, "data": [RESOURCE, other], "included": []})] == ["salt/1"]
        assert block({"data": RESOURCE}).name == "salt/1"
        assert [b.name for b in blocks([RESOURCE, other, RESOURCE])] == ["salt/1"] * 2
        assert (
            "without structures"
            in block({"data": [], "type": None, "meta": {"x-optimade": 1}, "x": "x-optimade"}).reason
        )

    def test_a_broken_line(self):
        found = blocks(f"{json.dumps(RESOURCE)}\n{json.dumps(RESOURCE)[:-5]}\n{json.dumps(RESOURCE)}\n", "x.jsonl")
        assert [b.outcome for b in found] == ["stored", "unreadable", "stored"]
        assert found[1].reason.startswith("line 2 is not JSON: ")

    def test_what_pymatgen_writes(self):
        from pymatgen.core import Structure
        from pymatgen.io.optimade import OptimadeStructureAdapter

        resource = OptimadeStructureAdapter.get_optimade_structure(Structure.from_dict(SALT))
        b = block({"type": "structures", "id": "1", **resource})
        assert b.outcome == "stored", b.reason
        assert np.allclose(b.atoms.positions, rock_salt().positions)

    def test_properties_of_a_provider(self):
        b = block(with_attributes(_mp_band_gap=5.0, _mp_stable=True, _mp_bands=[1, 2], _mlmat_energy=-3, _mlmat_rank=1))
        assert b.key_values == {"_mp_band_gap": 5.0, "_mp_stable": True, "rank": 1}
        assert b.results == {"energy": -3.0}

    def test_the_method_names_the_calculator(self):
        b = block(with_attributes(_mlmat_energy=-3, _mlmat_method="mace/small"))
        assert b.results == {"energy": -3.0, "calculator": "mace/small"}

    @pytest.mark.parametrize("vectors", [False, True])
    def test_initial_moments_and_charges_of_an_export(self, vectors):
        atoms = rock_salt()
        moments = np.arange(24.0).reshape(8, 3) if vectors else np.arange(8.0)
        atoms.set_initial_magnetic_moments(moments)
        atoms.set_initial_charges(np.arange(8) - 4.0)
        charges = atoms.get_initial_charges().tolist()
        flat = moments.ravel().tolist()
        b = block(with_attributes(_mlmat_initial_magnetic_moments=flat, _mlmat_initial_charges=charges))
        assert structure_id(b.atoms) == structure_id(atoms)

    def test_disorder(self):
        species = [
            {"name": "Na", "chemical_symbols": ["Na", "K", "vacancy"], "concentration": [0.5, 0.25, 0.25]},
            {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]},
        ]
        b = block(with_attributes(species=species, structure_features=["disorder"]))
        assert (b.outcome, b.formula) == ("disordered", "ClK0.25Na0.5")
        b = block(with_attributes(structure_features=["disorder"]))
        assert (b.outcome, b.reason) == ("disordered", "disordered: its structure_features are disorder")

    @pytest.mark.parametrize(
        ("attributes", "outcome", "word"),
        [
            ({"structure_features": ["implicit_atoms"]}, "flagged", "atoms which are not listed"),
            ({"chemical_formula_reduced": "ClNaH2O"}, "flagged", "formula and sites differ"),
            ({"cartesian_site_positions": None}, "unreadable", "ask for species_at_sites"),
            ({"species": None}, "unreadable", "which elements"),
            ({"species": []}, "rejected", "Na is on a site, but not among the species"),
            ({"lattice_vectors": None}, "rejected", "no cell"),
            ({"lattice_vectors": [[None] * 3] * 3}, "rejected", "no cell"),
            ({"dimension_types": [0, 0, 0]}, "rejected", "not periodic"),
            ({"cartesian_site_positions": [[0, 0, None]] * 8}, "rejected", "not a finite number"),
            ({"cartesian_site_positions": [[0, 0, 0]]}, "unreadable", "shape (1, 3), expected (8, 3)"),
        ],
    )
    def test_what_is_missing(self, attributes, outcome, word):
        b = block(with_attributes(**attributes))
        assert b.outcome == outcome
        assert word in b.reason
        assert b.name == "salt/1"

    def test_atoms_that_are_attached(self):
        species = json.loads(json.dumps(RESOURCE["attributes"]["species"]))
        species[0] |= {"attached": ["H"], "nattached": [3]}
        assert block(with_attributes(species=species)).outcome == "flagged"

    def test_a_slab_has_null_for_the_third_vector(self):
        vectors = [[5.64, 0, 0], [0, 5.64, 0], [None] * 3]
        b = block(with_attributes(lattice_vectors=vectors, dimension_types=[1, 1, 0]))
        assert b.outcome == "stored"
        assert b.atoms.pbc.tolist() == [True, True, False]
        assert b.atoms.cell[2].tolist() == [0, 0, 0]
