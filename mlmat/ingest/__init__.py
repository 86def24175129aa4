"""From paths to rows: find the files, read them in processes of their own, write what became of every block."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.errors import MlmatError
from mlmat.ingest._find import STDIN, Found, find_files
from mlmat.ingest._members import is_table
from mlmat.ingest._own import leave_out_known
from mlmat.ingest._read import about_file, column_of, lost_row, read_file, read_item
from mlmat.ingest._results import packed
from mlmat.ingest._stdin import from_stdin
from mlmat.ingest._work import HEAVY, Work, in_order, problem_of, weight
from mlmat.processes import machine
from mlmat.processes.isolation import Crashed, isolated_map
from mlmat.provenance import clean
from mlmat.reader import NOT_KEPT, Limits
from mlmat.references import files as files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from mlmat.ingest._read import Part
    from mlmat.ingest._work import Progress
    from mlmat.store import Store

__all__ = ["Found", "Report", "find_files", "ingest", "read_file", "read_item"]

#: Files and members whose rows one transaction writes, and seconds after which it writes fewer.
FLUSH_FILES, FLUSH_EVERY = 2_000, 5.0
#: Files of which it is said why nothing in them was taken, at most; and the outcomes that mean something was.
REASONS = 3
TAKEN = ("stored", "duplicate", "disordered", "flagged")


@dataclass(slots=True)
class Report:
    """What an ingest did: files looked at, unchanged, passed over; members read; blocks by outcome; wall time in s.

    other counts members of archives, too; unchanged_members those of changed archives that were as before; results are
    those that files brought along; constrained: blocks whose constraints (fixed atoms, selective dynamics, move_mask)
    are not kept; problems: archives and tables of which not everything could be read, and why;
    refused: why, for some of the files, when nothing of all that was named is a crystal.
    """

    files: int = 0
    unchanged: int = 0
    other: int = 0
    members: int = 0
    unchanged_members: int = 0
    results: int = 0
    constrained: int = 0
    problems: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def ingest(
    store: Store,
    paths: Iterable[str | os.PathLike[str]],
    *,
    references: Iterable[str] = (),
    again: bool = False,
    processes: int | None = None,
    time_limit: float = 60.0,
    limits: Limits | None = None,
    column: str | None = None,
    stdin: IO[bytes] | None = None,
    stdin_name: str | None = None,
    progress: Callable[[int], Callable[..., None]] | None = None,
) -> Report:
    """Read files, folders (recursively) and globs into a store; every block gets a row with its outcome.

    references: crystals to compare with, as `mlmat.references.files` takes them; again: read unchanged files too;
    time_limit: seconds for one file, or one member of a container; column: the column of tables that holds structures;
    the path `-` is read from stdin, as a file called stdin_name; progress(total) gives a callable that is told how many
    were done, and with `more=` how many more have turned up. Raises ReadError for a path that does not exist, and for
    references that cannot be had, before anything is read.
    """
    start = time.monotonic()
    limits = limits or Limits()
    found = find_files([*paths, *files_of(references, store.folder / "references")], column)
    report = Report(files=len(found.files), other=found.other)
    changed = found.files if again else _changed(store, found.files, column)
    report.unchanged = len(found.files) - len(changed)
    part = from_stdin(stdin or sys.stdin.buffer, stdin_name, limits) if STDIN in changed else None
    if changed:
        work = Work(changed, column, limits, time_limit, part)
        _read(store, work, report, processes, progress(len(changed)) if progress else None)
        report.other += work.other
    if not any(report.outcomes.get(outcome) for outcome in TAKEN):
        report.refused = store.refused(_named(found.files, part), REASONS)
    report.seconds = time.monotonic() - start
    return report


def _changed(store: Store, files: list[str], column: str | None) -> list[str]:
    """The files that the ledger does not hold as they are, in the order given; standard input is always new."""
    changed = set(store.changed_files(_table(files, column)))
    return [file for file in files if file == STDIN or clean(file) in changed]


def _named(files: list[str], part: Part | None) -> list[tuple[str, str | None]]:
    """Path and member of each file as the ledger has them; of standard input, what came this time."""
    return [(clean(f), clean(part.name or "") if part and f == STDIN else None) for f in files]


def _table(files: list[str], column: str | None) -> pa.Table:
    import pyarrow as pa

    stats = [about_file(file) for file in files]
    return pa.table(
        {
            "path": pa.array([s["path"] for s in stats], pa.string()),
            "size": pa.array([s["file_size"] for s in stats], pa.int64()),
            "mtime_ns": pa.array([s["file_mtime_ns"] for s in stats], pa.int64()),
            "column_read": pa.array(
                [column_of(column) if column and is_table(f, column) else None for f in files], pa.string()
            ),
        }
    )


def _read(store: Store, work: Work, report: Report, processes: int | None, told: Callable[..., None] | None) -> None:
    """Read what there is to be read, in processes, and write what comes back."""
    told = told or _nobody
    work.more = lambda count: told(0, more=count)
    results = isolated_map(
        "mlmat.ingest:read_item",
        work,
        processes=processes or work.processes(machine.cores()),
        time_limit=work.time_limit,
        extra=(work.limits,),
    )
    _record(store, work, in_order(results, work, told, FLUSH_FILES), report)


def _nobody(*_: int, **__: int) -> None:
    """Progress that nobody follows."""


def _record(store: Store, work: Work, results: Iterable[tuple[Any, Any]], report: Report) -> None:
    """Write rows under a run of their own, a transaction every few seconds, so that a kill costs little."""
    run = provenance.new_run("ingest")
    with store.archive_reader(provenance.who(run)) if work.has_containers else nullcontext():
        _record_alone(store, run, work, results, report)


def _record_alone(
    store: Store, run: dict[str, Any], work: Work, results: Iterable[tuple[Any, Any]], report: Report
) -> None:
    store.start_run(run)
    try:
        _write(store, run["run_id"], work, results, report)
    except BaseException as error:
        with suppress(MlmatError):
            store.end_run(run["run_id"], "stopped" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    store.end_run(run["run_id"], "finished")


def _write(store: Store, run_id: str, work: Work, results: Iterable[tuple[Any, Any]], report: Report) -> None:
    batch: list[dict[str, Any]] = []
    items, size, since = 0, 0, time.monotonic()
    for item, rows in results:
        size += weight(rows)
        batch += [lost_row(item, rows)] if isinstance(rows, Crashed) else rows
        report.members += work.back(item)
        report.problems += problem_of(item)
        items += 1
        if items >= FLUSH_FILES or size >= HEAVY or time.monotonic() - since > FLUSH_EVERY:
            _flush(store, run_id, batch, work.pending_updates(), report)
            batch, items, size, since = [], 0, 0, time.monotonic()
    _flush(store, run_id, batch, work.pending_updates(), report)


def _flush(
    store: Store, run_id: str, batch: list[dict[str, Any]], containers: Sequence[Progress], report: Report
) -> None:
    """Write rows and how far the containers are in one transaction."""
    import pyarrow as pa

    if not batch and not containers:
        return
    now = provenance.now()
    for row in batch:
        row |= {"source_id": provenance.new_id(), "current": True, "run_id": run_id, "ingested_at": now}
    leave_out_known(store, batch)
    imported = packed(batch, run_id)
    found = [s for row in batch if (s := row.pop("structure")) is not None]
    counts = store.add_sources(
        _sources(batch),
        pa.Table.from_pylist(found) if found else None,
        containers=_progress(containers) if containers else None,
        imported=imported,
    )
    report.unchanged += counts.pop("unchanged")
    report.unchanged_members += counts.pop("unchanged_members")
    report.results += counts.pop("results", 0)
    report.constrained += sum(not NOT_KEPT.isdisjoint(row["warnings"]) for row in batch)
    report.outcomes.update(counts)


def _sources(batch: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    pairs = pa.array([row.pop("key_values") for row in batch], pa.map_(pa.string(), pa.string()))
    for row in batch:
        del row["results"]
    return pa.Table.from_pylist(batch).append_column("key_values", pairs)


def _progress(containers: Sequence[Progress]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "path": pa.array([clean(one.path) for one in containers], pa.string()),
            "size": pa.array([one.size for one in containers], pa.int64()),
            "mtime_ns": pa.array([one.mtime_ns for one in containers], pa.int64()),
            "begun": pa.array([one.begun for one in containers], pa.bool_()),
            "done": pa.array([one.done for one in containers], pa.bool_()),
        }
    )
