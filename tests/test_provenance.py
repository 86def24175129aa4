"""Who, when, where, with which versions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from mlmat import provenance
from mlmat.store import Store


def test_ids_are_uuid7_unique_and_sort_by_time() -> None:
    before = time.time_ns() // 1_000_000
    ids = [provenance.new_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    first = UUID(ids[0])
    assert first.version == 7
    assert first.variant == "specified in RFC 4122"
    assert before <= first.int >> 80 <= time.time_ns() // 1_000_000 + 10


def test_ids_of_threads_are_unique() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: provenance.new_id(), range(5_000)))
    assert len(set(ids)) == len(ids)


def test_versions_leave_out_what_is_not_installed() -> None:
    found = provenance.versions(["torch", "no-such-package"])
    assert set(provenance.ALWAYS) <= set(found)
    assert "torch" in found
    assert "no-such-package" not in found


def test_a_run_can_be_written_from_a_deleted_directory_and_with_odd_arguments(store: Store, tmp_path: Path) -> None:
    code = """
import os, sys, pathlib
from mlmat import provenance
from mlmat.store import Store
os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])
Store(sys.argv[2]).start_run(provenance.new_run("ingest"))
"""
    gone = tmp_path / "gone"
    gone.mkdir()
    subprocess.run([sys.executable, "-c", code, gone, store.path, b"caf\xe9.cif"], check=True)
    (arguments, directory) = store.sql("SELECT arguments, directory FROM run").iloc[0]
    assert r"caf\xe9.cif" in arguments
    assert directory is None or directory != directory


def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1_000_000)
    assert provenance.sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
