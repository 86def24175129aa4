"""Checks that compute nothing: tables, ids, files that were read, and what lies beside the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlmat import provenance
from mlmat.materials.structure import from_row, structure_id
from mlmat.processes import machine
from mlmat.store.tables.structures import ASEDB_PATH
from mlmat.verify._check import Check, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from mlmat.store import Store

#: Structures whose ids are computed again, at most; and how many at a time.
MOST, CHUNK = 100_000, 2_000
BACKUP = "put a backup in place of the store"
_SOURCES = f"""
    SELECT path, bool_or(member IS NOT NULL) AS container, any_value(file_sha256) AS sha256,
        max(file_size) AS size, min(file_mtime_ns) AS mtime_ns
    FROM source WHERE current AND path <> '-' AND NOT starts_with(path, '{ASEDB_PATH}')
        AND (file_sha256 <> '' OR member IS NOT NULL) GROUP BY path ORDER BY path
"""
#: Where a journal went into a copy of its store from before the run.
NO_RUN = "results of no run"


def tables(store: Store) -> Iterator[Check]:
    """Rows that point nowhere or stand twice; runs without an end."""
    found = store.violations()
    bad = [(name, count, some) for name, count, some in found if count]
    if not bad:
        yield Check("tables", len(found), 0, "ok", "every row has what it points to")
    for name, count, some in bad:
        wrong = name != NO_RUN
        says = f"{BACKUP}; please report it" if wrong else "their run was begun in another copy of this store"
        yield Check(f"tables: {name}", count, count, "wrong" if wrong else "note", says, some)
    yield _runs(store)


def _runs(store: Store) -> Check:
    runs = store.arrow("SELECT command, host, pid, started_at, ended_at FROM run").to_pylist()
    over = [run for run in runs if run["ended_at"] is None and not _may_live(run)]
    bad = [f"{run['command']} of {run['started_at']:%Y-%m-%d %H:%M} on {run['host']}" for run in over]
    says = "ended without saying so (killed?); what they had done counts, and the same command goes on"
    return judged("runs", len(runs), bad, says, "note")


def _may_live(run: dict[str, object]) -> bool:
    """Whether the process of a run is there; of another host nobody knows."""
    return run["host"] != provenance.host() or machine.began(int(str(run["pid"]))) is not None


def structures(store: Store) -> Check:
    """Ids, computed again from the stored cells and positions."""
    ids = store.arrow(f"SELECT structure_id FROM structure USING SAMPLE {MOST} ROWS")["structure_id"].to_pylist()
    bad: list[str] = []
    for start in range(0, len(ids), CHUNK):
        bad += _strange(store.geometry(ids[start : start + CHUNK]))
    return judged("structure ids", len(ids), bad, f"do not fit their atoms: {BACKUP}")


def _strange(geometry: pa.Table) -> list[str]:
    rows = geometry.to_pylist()
    return [row["structure_id"] for row in rows if structure_id(from_row(row)) != row["structure_id"]]


def sources(store: Store) -> Iterator[Check]:
    """Files that were read, as they are now: their SHA-256; of a container its size and time."""
    rows = store.arrow(_SOURCES).to_pylist()
    states = [(row["path"], _state(row)) for row in rows]
    gone = [path for path, state in states if state == "gone"]
    changed = [path for path, state in states if state == "changed"]
    says = "are as they were read" if rows else ""
    if not gone and not changed:
        yield Check("source files", len(rows), 0, "ok", says)
    if gone:
        yield judged("source files", len(rows), gone, "are gone; the store keeps their text", "note")
    if changed:
        yield judged("source files", len(rows), changed, "have changed since: mlmat ingest reads them again", "note")


def _state(row: dict[str, object]) -> str:
    path = Path(str(row["path"]))
    try:
        now = path.stat()
        if row["container"]:
            same = (now.st_size, now.st_mtime_ns) == (row["size"], row["mtime_ns"])
        else:
            same = now.st_size == row["size"] and provenance.sha256(path) == row["sha256"]
    except OSError:
        return "gone"
    return "same" if same else "changed"


def leftovers(store: Store) -> Iterator[Check]:
    """What lies beside the store: journals, scratch directories, parts of files."""
    beside = store.beside()
    waiting = [f"{beside['journal_bytes']:,} bytes"] if beside["journals"] else []
    says = "wait to be merged: the screen at work or the next writing command does it"
    yield judged("journals", beside["journals"], waiting, says, "note")
    kept = [*beside["kept"], *beside.get("of_others", [])]
    if kept:
        says = "hold results that were damaged, refused, or of another store; keep them, and please report it"
        yield judged("journals", len(kept), kept, says)
    yield _scratch(store)
    parts = [str(path) for path in _parts(store)]
    if parts:
        yield judged("unfinished files", len(parts), parts, "can be removed when nobody is at work", "note")


def _scratch(store: Store) -> Check:
    """Scratch directories that no failed result refers to, of runs that are over."""
    folders = [path for path in (store.folder / "scratch").glob("*/*") if path.is_dir()]
    query = "SELECT workdir FROM result WHERE workdir IS NOT NULL"
    known = set(store.arrow(query)["workdir"].to_pylist()) if folders else set()
    runs = store.arrow("SELECT run_id::VARCHAR AS run_id, host, pid FROM run WHERE ended_at IS NULL").to_pylist()
    alive = {run["run_id"] for run in runs if _may_live(run)}
    left = [str(path) for path in folders if str(path) not in known and path.parent.name not in alive]
    says = "of runs that are over, which no failure refers to: they can be removed"
    return judged("scratch directories", len(folders), left, says, "note")


def _parts(store: Store) -> Iterator[Path]:
    yield from store.path.parent.glob(f"{store.path.name}*.part")
    yield from store.path.parent.glob(f"{store.path.name}.new*")
    for folder, _, names in os.walk(store.folder):
        yield from (Path(folder) / name for name in names if name.endswith(".part"))
