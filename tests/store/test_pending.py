"""What has still to be computed."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import add, block, crystal, merge, method, packed, record, result, salt, stored

from mlmat.errors import QueryError, UsageError
from mlmat.store import Store


def pending(store: Store, method_id: str = "m", **options: Any) -> list[str]:
    return store.pending(method_id, **options)["structure_id"].to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def files(store: Store) -> dict[str, str]:
    """Five files: two structures of their own, a duplicate, a flagged and a disordered one; structure by path."""
    method(store, "m")
    rows = [block("/small.cif", crystal()), block("/large.cif", salt() * (2, 1, 1)), block("/again.cif", crystal()),
            block("/odd.cif", crystal("Ag", 4.1, cells=3), "flagged", reason="why"),
            block("/mix.cif", None, "disordered")]  # fmt: skip
    add(store, *rows)
    return {row["path"]: row["structure_id"] for row in rows}


def test_each_once_in_the_order_of_ids(store: Store, files: dict[str, str]) -> None:
    assert pending(store) == sorted([files["/small.cif"], files["/large.cif"]])
    assert sorted(store.pending("m")["nsites"].to_pylist()) == [1, 4]
    assert pending(store, limit=1) == [min(files["/small.cif"], files["/large.cif"])]
    assert pending(store, limit=0) == []
    assert pending(store, include_flagged=True) == sorted([files["/small.cif"], files["/odd.cif"], files["/large.cif"]])


def test_where_every_structure_is_in_a_file_and_where_one_is_not(store: Store) -> None:
    method(store, "m")
    add(store, block("/a.cif", crystal()), block("/b.cif", salt()), block("/again.cif", crystal()))
    copper, other = (block("", atoms)["structure_id"] for atoms in (crystal(), salt()))
    assert pending(store) == sorted([copper, other])
    record(store, result(copper, energy=-1.0))
    assert pending(store) == pending(store, include_flagged=True) == [other]
    assert pending(store, where="path = '/a.cif'") == []
    add(store, block("/b.cif", None, "rejected", reason="gone"))
    assert pending(store) == []
    add(store, block("/c.cif", crystal("Al", 4.0)))
    assert pending(store) == [block("", crystal("Al", 4.0))["structure_id"]]


def test_failures_are_done_unless_asked_for(store: Store, files: dict[str, str]) -> None:
    record(store, result(files["/small.cif"], status="failed"), result(files["/large.cif"], energy=-1.0))
    assert pending(store) == []
    assert pending(store, retry_failed=True) == [files["/small.cif"]]
    record(store, result(files["/small.cif"], energy=-1.0))
    assert pending(store, retry_failed=True) == []
    assert len(pending(store, "another method")) == 2


@pytest.mark.parametrize(
    ("where", "paths"),
    [
        ("nelements = 2", ["/large.cif"]),
        ("path LIKE '%again%'", ["/small.cif"]),
        ("path LIKE '%again%' OR chemical_system = 'Cl-Na'", ["/small.cif", "/large.cif"]),
        ("structure_id IS NOT NULL AND source.outcome = 'duplicate'", ["/small.cif"]),
        ("nsites < 2 -- the small ones", ["/small.cif"]),
        ("list_contains(elements, 'Na') /* salt */", ["/large.cif"]),
        ("false", []),
    ],
)
def test_conditions_on_structures_and_files(store: Store, files: dict[str, str], where: str, paths: list[str]) -> None:
    assert pending(store, where=where) == sorted(files[path] for path in paths)
    if "outcome" not in where:
        found = [atoms.info["structure_id"] for atoms in store.structures(where) if len(atoms) != 3]
        assert found == [files[path] for path in paths]


@pytest.mark.parametrize("where", ["no_such_column = 1", "nsites >", "nsites < 'a'", ")", "nsites = 1; SELECT 1"])
def test_a_bad_condition_is_one_line(store: Store, files: dict[str, str], where: str) -> None:
    with pytest.raises(QueryError) as error:
        pending(store, where=where)
    assert "\n" not in str(error.value)
    assert "LINE" not in str(error.value)


def test_superseded_files_do_not_count(store: Store, files: dict[str, str]) -> None:
    add(store, block("/large.cif", crystal("Al", 4.0)))
    aluminium = block("", crystal("Al", 4.0))["structure_id"]
    assert set(pending(store)) == {files["/small.cif"], aluminium}
    add(store, block("/small.cif", None, "rejected", reason="gone"))
    assert set(pending(store)) == {files["/small.cif"], aluminium}, "/again.cif still holds it"
    add(store, block("/again.cif", None, "rejected", reason="gone"))
    assert pending(store) == [aluminium]
    assert pending(store, where="path = '/small.cif'") == []


def test_returned_structures_are_pending_only_when_asked_for(store: Store, files: dict[str, str]) -> None:
    method(store, "dear", label="dearer")
    ok, late = result(files["/small.cif"]), result(files["/large.cif"])
    first, second = crystal(a=3.61), crystal(a=3.62)
    merge(store, packed([ok, late], [{}, {}], produced=[(ok, first), (late, salt(5.7))]))
    ids = [block("", atoms)["structure_id"] for atoms in (first, salt(5.7), second)]
    assert pending(store, "dear") == sorted([files["/small.cif"], files["/large.cif"]])
    assert pending(store, "dear", of="m") == sorted(ids[:2])
    assert pending(store, "dear", of="m", where="nelements = 1") == ids[:1]
    again = result(files["/small.cif"])
    merge(store, packed([again], [{}], produced=[(again, second)]))
    assert pending(store, "dear", of="m") == sorted([ids[2], ids[1]]), "only what the current result returned"
    record(store, result(ids[2], "dear"))
    assert pending(store, "dear", of="m") == [ids[1]]
    assert pending(store, "dear", of="dear") == []


def test_methods_are_found_by_id_name_or_runner(store: Store) -> None:
    stored(store, crystal())
    with pytest.raises(UsageError, match="none yet"):
        store.find_method("mace")
    method(store, "aa11", "emt", "emt plain")
    method(store, "ab22", "mace", "mace relax=cell")
    method(store, "ac33", "mace", "mace")
    assert store.find_method("aa11") == store.find_method("emt") == store.find_method("emt plain") == "aa11"
    assert store.find_method("ab") == store.find_method("mace relax=cell") == "ab22"
    for ambiguous in ("mace", "a"):
        with pytest.raises(UsageError, match=r"several.*ab22"):
            store.find_method(ambiguous)
    with pytest.raises(UsageError, match="it has: emt plain, mace"):
        store.find_method("nothing")


@pytest.mark.parametrize("name", ["source", "ranking", "current_result", "result_x"])
def test_a_runner_must_not_hide_a_table_or_view(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="rename it"):
        method(store, "m", runner=name)
    assert len(store.sql("FROM run")) == 0
