"""Stores that earlier versions wrote (tests/old_stores) give what they gave, and have nothing new pending."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import write

import mlmat
from mlmat.methods.method import ResolvedMethod
from mlmat.project import Project
from mlmat.store import Store

OLD = Path(__file__).parents[1] / "old_stores"
sys.path.insert(0, str(OLD))
from contents import contents  # noqa: E402

NAMES = sorted(path.name.removesuffix(".duckdb.gz") for path in OLD.glob("*.duckdb.gz"))
#: What the value of a key is where the key is gone.
GONE = None
MACE, MACE_RELAXED, CHGNET = "f519960b77", "2d6650e468", "ac89e65244"
#: Partly periodic structures whose results by mace and chgnet schema 4 takes out of use.
PARTLY_PERIODIC = {
    MACE: [
        "04dfbb94f228c130d3af", "1125306ca777664f6edc", "2060cfe11d938ae084fc", "21e2edf741e31a432d3e",
        "35ef0d01e4c69e0ae6ba", "4303a59dce6677a2ec4a", "43f0fda3183ac5e4529c", "4c96ed40993555dc6033",
        "8dbb498eabe3365cb88a", "e389a3fa844013f18180", "e757b006c4f284edb4f7",
    ],
    MACE_RELAXED: ["2060cfe11d938ae084fc", "e389a3fa844013f18180"],
    CHGNET: ["2060cfe11d938ae084fc", "43f0fda3183ac5e4529c"],
}  # fmt: skip
#: What is pending besides what was so in the version that wrote the store; the changelog names each.
NEWLY_PENDING: dict[str, dict[str, list[str]]] = {"slabs": PARTLY_PERIODIC}
#: What else is not as it was, by store, table and key: the new value, or GONE; the changelog names each.
CHANGED: dict[str, dict[str, dict[str, Any]]] = {
    # Np and Pu, which the shipped model cannot do, are suspect.
    "demo": {
        "ranking": {
            "01a22f60-74e1-700c-975e-aeefa4676395": [None, -12.154616837332188, None],
            "01a22f60-75bc-7009-a5a0-c81b29207bb8": [None, -12.561271856609588, None],
        },
        "hull": {
            "f519960b77|01a22f60-74e1-700c-975e-aeefa4676395": [None, None, 0, False],
            "f519960b77|01a22f60-75bc-7009-a5a0-c81b29207bb8": [None, None, 0, False],
        },
    },
    # Graphite is the best carbon where the sheet counts no more.
    "slabs": {"ranking": {"01a22f4c-6cec-7000-a753-37696a3553e9": [1, -9.163392886351598, 0.0]}},
}


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def old(name: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The store, opened by this version."""
    path = tmp_path_factory.mktemp(name) / f"{name}.duckdb"
    path.write_bytes(gzip.decompress((OLD / f"{name}.duckdb.gz").read_bytes()))
    return mlmat.open(path)


def expected(name: str) -> dict[str, dict[str, Any]]:
    """What the version that wrote the store said, and what has changed since."""
    found: dict[str, dict[str, Any]] = json.loads((OLD / f"{name}.json").read_text())
    for method, ids in NEWLY_PENDING.get(name, {}).items():
        found["pending"][method] = sorted([*found["pending"][method], *ids])
        _take_out(found, method, set(ids))
    for table, values in CHANGED.get(name, {}).items():
        for key, value in values.items():
            assert key in found[table], f"{key} is nothing that {name} had: CHANGED is out of date"
            found[table][key] = value
    return {table: {k: v for k, v in values.items() if v is not GONE} for table, values in found.items()}


def _take_out(found: dict[str, dict[str, Any]], method: str, structures: set[str]) -> None:
    """Results that count no more are no longer current, ranked or in hulls; they stay in the table."""
    results = {key for key, (item, _, of, *_) in found["results"].items() if of == method and item in structures}
    assert len(results) >= len(structures)
    for table in ("current", "ranking", "hull", "candidates"):
        for key in [key for key in found[table] if key.rpartition("|")[2] in results]:
            del found[table][key]


def test_ids_and_numbers_are_those_of_the_version_that_wrote_it(name: str, old: Project) -> None:
    now = contents(old)
    for table, values in expected(name).items():
        assert sorted(now[table]) == sorted(values), table
        for key, value in values.items():
            assert _near(now[table][key], value), f"{table} {key}: {now[table][key]}, was {value}"


def _near(value: Any, before: Any) -> bool:
    if isinstance(before, list):
        return len(value) == len(before) and all(map(_near, value, before))
    if isinstance(before, float) and value is not None:
        return bool(value == pytest.approx(before, rel=1e-9, abs=1e-9))
    return bool(value == before)


def test_its_methods_are_those_of_today(old: Project) -> None:
    """With the stored settings the runners of this version make the same ids: what is computed stays so."""
    methods = old.sql(
        "SELECT method_id, runner, settings, model_name FROM method WHERE runner IN ('mace','chgnet','pair')"
    )
    for row in methods.to_dict("records"):
        runner = str(OLD / "pair.py") if row["runner"] == "pair" else row["runner"]
        if row["runner"] == "chgnet":
            pytest.importorskip("chgnet")
        given = {key: value for key, value in dict(row["settings"]).items() if value != "null"}
        plan = ResolvedMethod(runner, given, Store.table_name)
        assert plan.method["method_id"] == row["method_id"]


def test_nothing_is_pending_that_was_computed(name: str, old: Project) -> None:
    """A screen of the default method finds what the table above says, and no more."""
    plan = ResolvedMethod("mace", {}, Store.table_name)
    pending = old.pending(plan.method["method_id"])["structure_id"].to_pylist()
    before = json.loads((OLD / f"{name}.json").read_text())["pending"]
    assert sorted(pending) == sorted(before[MACE] + NEWLY_PENDING.get(name, {}).get(MACE, []))
    if not pending:
        assert old.screen("mace", config="threads").done == 0


def test_its_tables_agree_and_it_takes_more(old: Project, tmp_path: Path) -> None:
    assert [check for check in old.violations() if check[1]] == []
    write(tmp_path / "new.vasp", bulk("Al", "bcc", a=3.2))
    assert old.ingest(tmp_path / "new.vasp").outcomes == {"stored": 1}
    done = old.screen("mlmat.example_runner", config="threads", where="path LIKE '%new.vasp'").done
    assert done == 1
    assert len(old.reduce("provenance")) == len(old.sql("SELECT 1 FROM result"))


def test_a_stress_that_is_missing_is_null_where_it_is_joined(tmp_path: Path) -> None:
    """DuckDB 2.0.0 took the NULL of an outer join onto an array for a list of any length."""
    path = tmp_path / "slabs.duckdb"
    path.write_bytes(gzip.decompress((OLD / "slabs.duckdb.gz").read_bytes()))
    store = mlmat.open(path)
    query = "SELECT s.path, m.stress FROM source s LEFT JOIN mace m USING (structure_id)"
    for statement in (query, query.replace("m.stress", "m.stress[1] AS stress")):
        known = {row["path"]: row["stress"] for row in store.arrow(statement).to_pylist()}
        assert len(known) == len(store.sql("FROM source"))
        crystals = {Path(name).stem for name, stress in known.items() if stress is not None}
        assert crystals == {"au", "pt_slab_ttt", "graphite"}
    xx = {Path(r["path"]).stem: r["stress"][0] for r in store.arrow(query).to_pylist() if r["stress"] is not None}
    stored = (
        "SELECT path, stress[1] AS xx FROM result_mace JOIN result USING (result_id) JOIN source USING (structure_id) "
    )
    rows = store.arrow(stored + "WHERE stress IS NOT NULL").to_pylist()
    assert {Path(row["path"]).stem: row["xx"] for row in rows} == pytest.approx(xx)
