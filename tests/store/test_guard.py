"""SQL that writes: to tables and views of the user's own, never to those of mlmat, whatever it looks like."""

from __future__ import annotations

import duckdb
import pytest
from ase.build import bulk
from hand_made import by_hand, crystal, method, record, result, stored

from mlmat.errors import QueryError
from mlmat.store import Store

#: What is kept, and must be the same after what was refused.
TABLES = ("structure", "source", "result", "result_toy", "method", "run", "mlmat_schema")
CATALOG = {"tables": "table_oid", "views": "view_oid", "triggers": "trigger_oid", "indexes": "index_oid"}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[object]]:
    """A store that is not to change, and what is in it."""
    store = filled(Store.open(tmp_path_factory.mktemp("guard") / "store.duckdb", create=True))
    return store, content(store)


@pytest.fixture
def computed(store: Store) -> Store:
    return filled(store)


def filled(store: Store) -> Store:
    [copper, _] = stored(store, crystal(), bulk("Al"))
    method(store, "m")
    record(store, result(copper, energy=-3.7), values=[{"half": 1.0}])
    store.execute("CREATE TABLE tag AS SELECT structure_id, 'new' AS text FROM structure")
    return store


def content(store: Store) -> list[object]:
    """Every row of the tables, and the definitions of everything."""
    with duckdb.connect(str(store.path), read_only=True) as con:
        found = [con.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in TABLES]
        for catalog, column in CATALOG.items():
            query = f"SELECT {column}, comment, sql FROM duckdb_{catalog}() ORDER BY ALL"
            found.append(con.execute(query).fetchall())
        comments = "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
        return [*found, con.execute(comments).fetchall()]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM structure", "DELETE structure: refused"),
        ("delete/**/from main.\"STRUCTURE\" where false -- FROM tag", "mlmat forget"),
        ("DELETE FROM store.main.structure", "mlmat exclude"),
        ("TRUNCATE result", "DELETE result"),
        ("UPDATE result SET energy = 0", "mlmat exclude leaves it out"),
        ("UPDATE result AS tag SET energy = 0", "UPDATE result"),
        ("INSERT INTO result SELECT * FROM result WHERE false", "mlmat import-results"),
        ("INSERT INTO method BY NAME SELECT * FROM method", "INSERT method"),
        ("INSERT INTO mixture SELECT * FROM mixture", "mlmat mix"),
        ("DELETE FROM result_toy", "DELETE result_toy"),
        ("UPDATE mlmat_schema SET version = 1", "mlmat_schema: refused"),
        ("WITH gone AS (DELETE FROM source RETURNING path) SELECT count(*) FROM gone", "DELETE source"),
        ("WITH tag AS (SELECT 'm' AS m) DELETE FROM method WHERE method_id IN (SELECT m FROM tag)", "DELETE method"),
        ("MERGE INTO result USING tag USING (structure_id) WHEN MATCHED THEN DELETE", "MERGE INTO"),
        ("PREPARE p AS DELETE FROM run; EXECUTE p", "DELETE run"),
        ("EXPLAIN ANALYZE DELETE FROM structure", "DELETE structure"),
        ("INSERT INTO tag VALUES ('a', 'b'); DELETE FROM structure", "DELETE structure"),
        ("CREATE SCHEMA mine; USE mine; DELETE FROM main.structure", "DELETE structure"),
        ("CREATE TRIGGER t AFTER INSERT ON tag FOR EACH STATEMENT DELETE FROM structure; "
         "INSERT INTO tag VALUES ('', '')", "DELETE structure"),
        ("DROP TABLE result_toy", "CHANGE table result_toy"),
        ("DROP TABLE mlmat_guard CASCADE; DELETE FROM structure", "refused"),
        ("DROP TRIGGER mlmat_guard_structure_delete ON structure; DELETE FROM structure", "CHANGE trigger"),
        ("CREATE OR REPLACE TRIGGER mlmat_guard_structure_delete AFTER DELETE ON structure FOR EACH STATEMENT "
         "INSERT INTO tag VALUES ('', '')", "CHANGE trigger of structure"),
        ("CREATE TRIGGER mine AFTER INSERT ON structure FOR EACH STATEMENT INSERT INTO tag VALUES ('', '')",
         "CHANGE trigger of structure"),
        ("ALTER TABLE structure ADD COLUMN mine INTEGER", "structure: refused"),
        ("ALTER TABLE result ALTER energy TYPE FLOAT; ALTER TABLE result ALTER energy TYPE DOUBLE", "table result"),
        ("CREATE OR REPLACE TABLE method AS FROM method", "table method"),
        ("CREATE OR REPLACE VIEW ranking AS SELECT 1 AS rank", "view ranking"),
        ("DROP VIEW toy", "view toy"),
        ("CREATE TEMP TABLE run AS FROM run", "table run"),
        ("CREATE TABLE result_mine (a INTEGER)", "table result_mine"),
        ("CREATE INDEX i ON structure (nsites)", "index of structure"),
        ("COMMENT ON TABLE mlmat_schema IS 'new'", "table mlmat_schema"),
        ("COMMENT ON COLUMN structure.volume IS 'new'", "column of structure"),
        ("CREATE MACRO round(x) AS 0", "function round"),
        ("CREATE OR REPLACE MACRO formula_is(a, b) AS true", "function formula_is"),
        ("COMMIT; DELETE FROM structure", "leave out BEGIN, COMMIT"),
        ("SELECT 1; SELECT 2", "one answer"),
    ],
)  # fmt: skip
def test_what_is_mlmats_own_cannot_be_written(refusing: tuple[Store, list[object]], statement: str, said: str) -> None:
    store, before = refusing
    with pytest.raises(QueryError) as error:
        store.execute(statement)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert content(store) == before


def test_what_is_the_users_own_can_be_written(computed: Store) -> None:
    count = len(computed.sql("FROM structure"))
    assert computed.execute("INSERT INTO tag SELECT structure_id, 'two' FROM structure").iloc[0, 0] == count
    computed.execute("UPDATE tag SET text = 'three' WHERE structure_id IN (SELECT structure_id FROM result)")
    computed.execute("DELETE FROM tag WHERE text = 'new'; ALTER TABLE tag ADD COLUMN structure INTEGER")
    computed.execute("CREATE VIEW tagged AS SELECT * FROM structure JOIN tag USING (structure_id)")
    computed.execute(
        "CREATE MACRO per_atom(e, n) AS e / n; CREATE SCHEMA mine; CREATE TABLE mine.result AS FROM result"
    )
    computed.execute("MERGE INTO tag USING structure USING (structure_id) WHEN MATCHED THEN UPDATE SET text = 'four'")
    computed.execute("DELETE FROM mine.result; CREATE OR REPLACE TABLE tag AS FROM tag; CREATE INDEX i ON tag (text)")
    assert set(computed.sql("SELECT text FROM tagged")["text"]) == {"four"}
    assert len(computed.sql("FROM mine.result")) == 0
    computed.execute("DROP VIEW tagged; DROP TABLE tag")
    assert len(computed.sql("FROM result")) == 1
    assert not computed.sql("FROM duckdb_triggers()").shape[0]
    assert not [
        name for name in computed.sql("SELECT table_name FROM duckdb_tables()")["table_name"] if "guard" in name
    ]


def test_a_statement_that_fails_leaves_nothing(computed: Store) -> None:
    before = content(computed)
    for statement in ("INSERT INTO tag VALUES ('a', 'b'); SELECT nothing", "CREATE TABLE x AS SELECT 'a'::INTEGER"):
        with pytest.raises(QueryError, match=r"nothing|Could not convert"):
            computed.execute(statement)
    assert content(computed) == before


def test_a_trigger_of_the_user_runs_on_what_is_the_users_own(computed: Store) -> None:
    computed.execute("CREATE TABLE log (n INTEGER)")
    computed.execute("CREATE TRIGGER t AFTER INSERT ON tag FOR EACH STATEMENT INSERT INTO log VALUES (1)")
    computed.execute("INSERT INTO tag VALUES ('a', 'b')")
    assert len(computed.sql("FROM log")) == 1


def test_of_two_queries_no_answer_is_dropped(computed: Store) -> None:
    for ask in (computed.sql, computed.arrow):
        with pytest.raises(QueryError, match="2 queries"):
            ask("SELECT 1; SELECT 2")
        assert ask("SELECT 1 AS a;").shape == (1, 1)


def test_a_store_that_was_changed_by_hand_is_told_from_one_that_was_not(computed: Store) -> None:
    """The tests of `verify` change rows as a DuckDB shell does."""
    by_hand(computed, "DELETE FROM structure")
    assert any(count for _, count, _ in computed.violations())
