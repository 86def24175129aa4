"""What goes out, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from crystals import Made, fill, relax
from hand_made import add, block, crystal, method, record, result, salt, stored

from mlmat.errors import MlmatError, QueryError, UsageError
from mlmat.export import Export, ExportSelection, export
from mlmat.materials.structure import structure_id
from mlmat.store import Store


def made(symbol: str, a: float, energy: float, cells: int = 1) -> Made:
    atoms = crystal(symbol, a, cells)
    return Made(atoms, energy, np.zeros((len(atoms), 3)), np.zeros(6))


@pytest.fixture
def screened(store: Store) -> tuple[Store, dict[str, str]]:
    """Three coppers and two silvers with energies by one method; their ids by name."""
    many = {
        "worst": made("Cu", 3.9, -1.0), "best": made("Cu", 3.6, -3.0), "middle": made("Cu", 3.7, -4.0, cells=2),
        "silver": made("Ag", 4.1, -2.0), "tight": made("Ag", 3.8, -1.0),
    }  # fmt: skip
    ids = fill(store, list(many.values()), label="toy one")
    return store, dict(zip(many, ids, strict=True))


def ids_of(store: Store, **wish: Any) -> list[str]:
    """The ids of an export, in its order."""
    target = store.path.parent / "out.csv"
    export(store, str(target), ExportSelection(**wish), overwrite=True)
    return pd.read_csv(target, dtype=str)["structure_id"].tolist()


def test_structures_go_out_in_the_order_of_the_ranking(screened: tuple[Store, dict[str, str]]) -> None:
    store, ids = screened
    expected = [ids[name] for name in ("silver", "tight", "best", "middle", "worst")]
    assert ids_of(store) == expected == store.reduce("ranking")["structure_id"].tolist()
    assert ids_of(store, limit=2) == expected[:2]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"where": "rank = 1"}, ["silver", "best"]),
        ({"where": "rank = 1", "order": "energy_per_atom"}, ["best", "silver"]),
        ({"where": "rank = 1", "order": "energy_per_atom -- lowest first", "limit": 1}, ["best"]),
        ({"where": "formula = 'Cu' AND energy_above_best > 0.5 -- far"}, ["middle", "worst"]),
        ({"where": "formula = 'Cu'", "order": "volume / nsites DESC"}, ["worst", "middle", "best"]),
        ({"where": "structure.nsites = 2 OR ranking.nsites = 3"}, ["middle"]),
        ({"where": "list_contains(elements, 'Ag') AND source.path LIKE '/files/%'"}, ["silver", "tight"]),
        ({"where": "energy < -3.5"}, ["middle"]),
        ({"where": "outcome = 'stored' AND method = 'toy one'", "limit": 2}, ["silver", "tight"]),
        ({"reduction": "toy", "where": "fmax = 0", "order": "energy"}, ["middle", "best", "silver", "tight", "worst"]),
        ({"query": "SELECT structure_id FROM ranking WHERE rank = 2 ORDER BY energy_per_atom"}, ["middle", "tight"]),
        ({"query": "SELECT structure_id FROM source, range(3) ORDER BY ALL", "limit": 3}, None),
    ],
)  # fmt: skip
def test_what_is_asked_for_goes_out(
    screened: tuple[Store, dict[str, str]], wish: dict[str, Any], expected: list[str] | None
) -> None:
    store, ids = screened
    found = ids_of(store, **wish)
    if expected is not None and wish.get("order") != "energy":
        assert found == [ids[name] for name in expected]
    elif expected is None:
        assert found == sorted(ids.values())[:1]
    else:
        assert found[0] == ids["middle"]
        assert set(found) == set(ids.values())


def test_columns_of_a_query_go_out_too(screened: tuple[Store, dict[str, str]], tmp_path: Path) -> None:
    store, ids = screened
    query = "SELECT structure_id, 10 * rank AS score, 'word' AS remark FROM ranking WHERE formula = 'Cu' ORDER BY rank"
    export(store, str(tmp_path / "a.extxyz"), ExportSelection(query=query))
    frames = ase.io.read(tmp_path / "a.extxyz", ":")
    assert [frame.info["score"] for frame in frames] == [10, 20, 30]
    assert {frame.info["remark"] for frame in frames} == {"word"}
    assert frames[0].info["structure_id"] == ids["best"]


def test_the_relaxed_structure_goes_out_with_its_forces(store: Store, tmp_path: Path) -> None:
    (start,) = stored(store, salt(5.7))
    method(store, "m")
    end = relax(store, start, salt(5.6), energy=-7.0)
    export(store, str(tmp_path / "a.extxyz"))
    atoms = ase.io.read(tmp_path / "a.extxyz")
    assert structure_id(atoms) == end
    assert (atoms.info["structure_id"], atoms.info["initial_id"]) == (end, start)
    assert atoms.get_potential_energy() == -7.0
    export(store, str(tmp_path / "b.extxyz"), ExportSelection(initial=True))
    initial = ase.io.read(tmp_path / "b.extxyz")
    assert structure_id(initial) == start
    assert initial.calc is None, "the energy is that of another geometry"
    assert initial.info["relaxed_energy"] == -7.0
    by_relaxed_id = ExportSelection(query="SELECT relaxed_id AS structure_id FROM ranking")
    assert export(store, str(tmp_path / "c.extxyz"), by_relaxed_id).written == 1
    assert structure_id(ase.io.read(tmp_path / "c.extxyz")) == end


def test_results_of_several_methods_need_a_choice(screened: tuple[Store, dict[str, str]], tmp_path: Path) -> None:
    store, ids = screened
    method(store, "n", runner="other", label="another")
    record(store, result(ids["best"], "n", energy=-9.0))
    with pytest.raises(UsageError, match=r"several methods: toy one \(m\), another \(n\).*--method none"):
        export(store, str(tmp_path / "a.db"))
    assert ids_of(store, method="another") == [ids["best"]]
    assert len(ids_of(store, method="m")) == 5
    alone = export(store, str(tmp_path / "a.extxyz"), ExportSelection(method="none"))
    assert alone == Export(5, None, {})
    assert all(atoms.calc is None for atoms in ase.io.read(tmp_path / "a.extxyz", ":"))
    with pytest.raises(UsageError, match="no method 'none-such'"):
        export(store, str(tmp_path / "b.db"), ExportSelection(method="none-such"))


def test_without_results_structures_go_out_alone(store: Store) -> None:
    good, odd = crystal(a=3.6), crystal(a=3.7)
    add(store, block("/a.cif", good), block("/b.cif", odd, "flagged", reason="odd"), block("/c.cif", None, "rejected"))
    assert ids_of(store) == [structure_id(good)]
    assert set(ids_of(store, include_flagged=True)) == {structure_id(good), structure_id(odd)}
    assert ids_of(store, where="path = '/a.cif'") == [structure_id(good)]


def test_failed_structures_stay_at_home_and_the_unconverged_do_not(store: Store) -> None:
    failed, unconverged = stored(store, crystal(a=3.6), crystal(a=3.7))
    method(store, "m")
    record(store, result(failed, status="failed"), result(unconverged, energy=-1.0, converged=False))
    assert ids_of(store) == [unconverged]
    with pytest.raises(MlmatError, match="fits --where 'rank = 1'"):
        ids_of(store, where="rank = 1")


def test_a_result_without_an_energy_goes_out_too(store: Store, tmp_path: Path) -> None:
    (one,) = stored(store, crystal())
    method(store, "m")
    record(store, result(one), values=[{"bandgap": 1.25}], declared={"bandgap": "DOUBLE -- eV"})
    export(store, str(tmp_path / "a.csv"))
    assert pd.read_csv(tmp_path / "a.csv")["bandgap"].tolist() == [1.25]


def test_two_imported_results_of_one_structure_are_two_rows(store: Store) -> None:
    (one,) = stored(store, crystal())
    method(store, "m")
    record(store, result(one, external_id="1", energy=-1.0), result(one, external_id="2", energy=-2.0))
    target = store.path.parent / "a.csv"
    export(store, str(target))
    found = pd.read_csv(target)
    assert found[["rank", "energy"]].to_numpy().tolist() == [[1, -2.0], [2, -1.0]]


@pytest.mark.parametrize(
    ("wish", "error", "text"),
    [
        ({"where": "colour = 'red'"}, QueryError, "colour"),
        ({"where": "nsites = 99"}, MlmatError, "nothing to write"),
        ({"reduction": "nonsense"}, UsageError, "no reduction 'nonsense'"),
        ({"reduction": "method_comparison"}, UsageError, "no column structure_id"),
        ({"query": "SELECT 1 AS one"}, UsageError, "must return a column structure_id"),
        ({"query": "SELECT 'feed' AS structure_id"}, MlmatError, "1 of the 1 structures that --query returns"),
        ({"query": "FROM ranking", "where": "rank = 1"}, UsageError, "--query says all"),
        ({"query": "DELETE FROM source"}, QueryError, "read-only"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(
    screened: tuple[Store, dict[str, str]], tmp_path: Path, wish: dict[str, Any], error: type[Exception], text: str
) -> None:
    store, _ = screened
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=text) as caught:
        export(store, str(tmp_path / "out.db"), ExportSelection(**wish))
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
