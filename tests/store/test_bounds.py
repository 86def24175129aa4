"""SQL that strangers may write: it reaches the store alone, ends in time, and leaves memory to others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hand_made import crystal, stored

from mlmat.errors import QueryError
from mlmat.store import Store
from mlmat.store.access.bounds import Bounds, available

#: 10^12 rows to look at; DuckDB cannot know that none fits.
ENDLESS = "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b WHERE a.range + b.range = -1"
ESCAPES = [
    "COPY structure TO '{out}/o.csv'", "COPY structure FROM '{file}'", "EXPORT DATABASE '{out}/export'",
    "IMPORT DATABASE '{out}'", "ATTACH '{out}/other.duckdb'", "ATTACH '{store}' AS again (READ_WRITE)",
    "COPY structure TO '{store}.tmp/o.csv'", "ATTACH '{store}.tmp/o.duckdb'", "COPY (SELECT 1) TO '/dev/stdout'",
    "SELECT * FROM '{file}'", "SELECT * FROM read_csv('{file}')", "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')", "SELECT * FROM read_json('{file}')", "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM glob('{out}/*')", "SELECT * FROM parquet_metadata('{file}')", "SELECT getenv('HOME')",
    "SELECT * FROM 'https://example.org/a.csv'", "INSTALL httpfs", "LOAD httpfs", "LOAD '{file}'", "UPDATE EXTENSIONS",
    "CREATE SECRET s (TYPE S3)", "SET enable_external_access = true", "RESET enable_external_access",
    "SET lock_configuration = false", "SET memory_limit = '100GB'", "SET threads = 64", "SET temp_directory = '{out}'",
    "PRAGMA memory_limit = '100GB'", "PRAGMA enable_profiling = 'json'", "SET profiling_output = '{out}/p'",
    "CALL enable_logging(storage = 'file', storage_path = '{out}/log')", "SELECT 1; COPY structure TO '{out}/o.csv'",
    "SELECT * FROM frame", "SELECT * FROM query_table('{file}')", "SELECT * FROM query('FROM ''{file}''')",
]  # fmt: skip


@pytest.mark.parametrize("query", ESCAPES)
def test_sql_reaches_the_store_alone(store: Store, tmp_path: Path, query: str) -> None:
    frame = [(1,)]
    out = tmp_path / "out"
    out.mkdir()
    store.path.with_name(store.path.name + ".tmp").mkdir()
    secret = tmp_path / "secret.csv"
    secret.write_text("secret\n42\n")
    text = query.format(out=out, file=secret, store=store.path)
    for ask in (store.sql, store.arrow, store.polars, store.execute):
        with pytest.raises(QueryError) as error:
            ask(text)
        assert "\n" not in str(error.value)
    assert not list(out.iterdir())
    assert not list(store.path.with_name(store.path.name + ".tmp").iterdir())
    assert frame


def test_in_python_it_may_be_trusted(store: Store, tmp_path: Path) -> None:
    stored(store, crystal())
    (tmp_path / "gaps.csv").write_text("formula,gap\nAl,0.0\n")
    query = f"SELECT gap FROM read_csv('{tmp_path}/gaps.csv') JOIN structure USING (formula)"
    with pytest.raises(QueryError, match="trusted=True"):
        store.sql(query)
    assert "gap" in store.sql(query, trusted=True)
    assert store.arrow(query, trusted=True).column_names == ["gap"]
    with pytest.raises(QueryError, match="read-only"):
        store.sql("DELETE FROM structure", trusted=True)


@pytest.mark.parametrize("ask", ["sql", "arrow", "polars", "execute"])
def test_a_query_that_takes_too_long_is_stopped(store: Store, ask: str) -> None:
    ids = stored(store, crystal())
    start = time.monotonic()
    with pytest.raises(QueryError, match=r"stopped after 0\.3 s.*timeout"):
        getattr(store, ask)(f"CREATE TEMP TABLE one AS SELECT 1; {ENDLESS}", timeout=0.3)
    assert time.monotonic() - start < 30
    assert store.sql("SELECT structure_id FROM structure")["structure_id"].tolist() == ids


@pytest.mark.parametrize(
    "query",
    [
        "SELECT list(i) FROM range(1000000000) AS t(i)",
        "SELECT count(*) FROM (SELECT DISTINCT i FROM range(100000000) AS t(i))",
        "SELECT i, i FROM range(1000000000) AS t(i)",
    ],
)
def test_a_query_that_needs_too_much_memory_is_refused(store: Store, query: str) -> None:
    with pytest.raises(QueryError, match=r"more than 0\.1 GB of memory") as error:
        store.arrow(query, memory=0.1, timeout=60)
    assert "\n" not in str(error.value)
    assert not store.path.with_name(store.path.name + ".tmp").exists()


def test_half_of_the_memory_is_the_default() -> None:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < available() <= physical
    assert Bounds().bytes == available() // 2
    assert Bounds(memory=0.25).bytes == 250_000_000


def asked(store: Store, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlmat", "sql", *arguments, "--db", str(store.path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_ends_in_time(store: Store) -> None:
    said = asked(store, ENDLESS, "--timeout", "0.5")
    out, err = said.communicate(timeout=60)
    assert (said.returncode, out) == (1, "")
    assert err.startswith("mlmat: stopped after 0.5 s")


@pytest.mark.parametrize("query", ["SELECT repeat('x', 4000000000)", "SELECT i FROM range(1000000000) AS t(i)"])
def test_the_command_leaves_memory_to_others(store: Store, query: str) -> None:
    said = asked(store, query, "--memory", "0.3")
    out, err = said.communicate(timeout=120)
    assert (said.returncode, out) == (1, "")
    assert err.count("\n") == 1
    assert "more than 0.3 GB of memory" in err


def test_ctrl_c_ends_a_query(store: Store) -> None:
    said = asked(store, ENDLESS)
    while store.database.holder() is None:
        time.sleep(0.05)
    time.sleep(1)
    said.send_signal(signal.SIGINT)
    said.communicate(timeout=20)
    assert said.returncode == 1


def test_after_an_answer_that_was_too_large_the_store_is_open_to_all(store: Store) -> None:
    many = "SELECT i, repeat('x', 150) || i AS s FROM range(3000000) t(i)"
    for ask in (store.arrow, store.sql):
        with pytest.raises(QueryError, match=r"more than 0\.1 GB") as held:
            ask(many, memory=0.1)
        before = time.monotonic()
        assert store.sql("SELECT 1 AS n")["n"][0] == 1
        assert time.monotonic() - before < 10
        assert held.value is not None
    with pytest.raises(QueryError, match="Could not convert string 'a'"):
        store.arrow("SELECT CASE WHEN i = 2900000 THEN 'a' ELSE '1' END::INTEGER FROM range(3000000) t(i)")
