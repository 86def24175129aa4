"""Screens of the shipped crystals as processes, and what their store holds."""

from __future__ import annotations

import subprocess
import sys

from faults.tools import counted

from mlmat.store import Store


def screen(store: Store, runner: str = "slow.py", *more: object) -> tuple[object, ...]:
    return ("screen", "--runner", store.path.parent / runner, "--db", store.path, *more)


def assert_each_has_one_result(store: Store, structures: int) -> None:
    assert counted(store, "current_result") == structures
    assert counted(store, "(SELECT DISTINCT structure_id FROM result)") == structures


def hold(store: Store) -> subprocess.Popen[str]:
    """A process that keeps the store open for reading, as a forgotten notebook does."""
    code = (
        "import duckdb, sys, time; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print('in', flush=True); time.sleep(99)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(store.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def journal_bytes(store: Store) -> int:
    return sum(f.stat().st_size for f in (store.folder / "journal").glob("*.journal"))
