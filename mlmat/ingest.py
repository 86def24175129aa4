"""From paths to rows: find the files, read them in processes of their own, write what became of every block."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import provenance
from mlmat.errors import MlmatError, ReadError
from mlmat.isolation import Lost, isolated_map
from mlmat.provenance import clean
from mlmat.reader import Block, Limits, patterns, reader_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from mlmat.store import Store

#: Files whose rows one transaction writes, and seconds after which it writes fewer.
FLUSH_FILES, FLUSH_EVERY = 2_000, 5.0


@dataclass(slots=True)
class Report:
    """What an ingest did: files looked at, unchanged, passed over; blocks by outcome; wall time in s."""

    files: int = 0
    unchanged: int = 0
    other: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def ingest(
    store: Store,
    paths: Iterable[str | os.PathLike[str]],
    *,
    again: bool = False,
    processes: int | None = None,
    time_limit: float = 60.0,
    limits: Limits | None = None,
    progress: Callable[[int], Callable[[int], None]] | None = None,
) -> Report:
    """Read files, folders (recursively) and globs into a store; every block gets a row with its outcome.

    again: read unchanged files too; time_limit: seconds for one file; progress(total) gives a callable that is told how
    many files were done. Raises ReadError for a path that does not exist, before anything is read.
    """
    start = time.monotonic()
    found = find_files(paths)
    report = Report(files=len(found.files), other=found.other)
    changed = found.files if again else _changed(store, found.files)
    report.unchanged = len(found.files) - len(changed)
    if changed:
        told = progress(len(changed)) if progress else lambda _: None
        count = processes or max(1, min(_cores(), len(changed) // 8))
        extra = (limits or Limits(),)
        results = isolated_map("mlmat.ingest:read_file", changed, processes=count, time_limit=time_limit, extra=extra)
        _record(store, _in_order(results, changed, told), report)
    report.seconds = time.monotonic() - start
    return report


def _changed(store: Store, files: list[str]) -> list[str]:
    """The files that the ledger does not hold as they are, in the order given."""
    changed = set(store.changed_files(_table(files)))
    return [file for file in files if clean(file) in changed]


def _in_order(
    results: Iterable[tuple[str, Any]], files: Iterable[str], told: Callable[[int], None]
) -> Iterator[tuple[str, Any]]:
    """Results in the order of files, whichever process was first: of two equal structures the same is stored always."""
    early: dict[str, Any] = {}
    done: set[str] = set()
    order = iter(files)
    due = next(order, None)
    for path, rows in results:
        told(1)
        early[path] = rows
        while due in early or due in done:
            if due in early:
                yield due, early.pop(due)
            due = next(order, None)
        if len(early) >= FLUSH_FILES:  # one slow file must not keep the others waiting in memory
            done.update(early)
            yield from early.items()
            early = {}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(slots=True)
class Found:
    """Files that a reader takes, and how many others lay beside them."""

    files: list[str] = field(default_factory=list)
    other: int = 0


def find_files(paths: Iterable[str | os.PathLike[str]]) -> Found:
    """The files under paths, each once, in order. A file that is named itself is taken whatever its name."""
    found = Found()
    seen: set[str] = set()
    for path in paths:
        for file, named in _expand(os.fspath(path)):
            if not named and reader_for(Path(file)) is None:
                found.other += 1
            elif file not in seen:
                seen.add(file)
                found.files.append(file)
    return found


def _expand(path: str) -> Iterator[tuple[str, bool]]:
    """Absolute paths of what is no folder; whether they were named themselves."""
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        yield from ((file, False) for file in _walk(os.path.abspath(path), set()))
    elif os.path.exists(path):
        yield os.path.abspath(path), True
    elif glob.has_magic(path) and (matches := sorted(glob.glob(path, recursive=True))):
        for match in matches:
            yield from _expand(match)
    else:
        raise ReadError(f"{path}: there is no such file or folder (and no file matches it as a pattern)")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _walk(folder: str, above: set[str]) -> Iterator[str]:
    """What is no folder below a folder, sorted; links are followed, but never in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError as error:
        raise ReadError(f"{folder}: permission denied; nothing was ingested") from error
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(entry.path, above | {real})
        else:
            yield entry.path


def _table(files: list[str]) -> pa.Table:
    import pyarrow as pa

    stats = [_about(file) for file in files]
    return pa.table(
        {
            "path": pa.array([s["path"] for s in stats], pa.string()),
            "size": pa.array([s["file_size"] for s in stats], pa.int64()),
            "mtime_ns": pa.array([s["file_mtime_ns"] for s in stats], pa.int64()),
        }
    )


def read_file(path: str, limits: Limits) -> list[dict[str, Any]]:
    """Every block of a file as a row of table `source`, its structure's row under `structure` (runs in a process)."""
    about = _about(path)
    try:
        data = _content(path, limits)
    except (OSError, ReadError) as error:
        return [_row(about, Block("", 0, "", "unreadable", describe(error)))]
    about |= _identity(data)
    reader = reader_for(Path(path))
    if reader is None:
        reason = f"no reader takes files of this name; there are readers for {', '.join(patterns())}"
        return [_row(about, Block("", 0, "", "unreadable", reason))]
    return [_row(about, block) for block in reader.read(Path(path).name, data, limits)]


def _about(path: str) -> dict[str, Any]:
    try:
        found = os.stat(path)
        size, mtime = found.st_size, found.st_mtime_ns
    except OSError:
        size, mtime = 0, 0
    return {"path": clean(path), "file_sha256": "", "file_size": size, "file_mtime_ns": mtime}


def _identity(data: bytes) -> dict[str, Any]:
    return {"file_sha256": hashlib.sha256(data).hexdigest(), "file_size": len(data)}


def _content(path: str, limits: Limits) -> bytes:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ReadError("not a regular file")
    if found.st_size > limits.max_bytes:
        raise ReadError(f"too large: {found.st_size / 1e6:.0f} MB, the limit is {limits.max_bytes / 1e6:.0f} MB")
    return Path(path).read_bytes()


def describe(error: Exception) -> str:
    """Why a file could not be opened, in a few words."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _row(about: dict[str, Any], block: Block) -> dict[str, Any]:
    from mlmat.structure import to_row

    structure = to_row(block.atoms) if block.atoms is not None else None
    return {
        **about,
        "block": clean(block.name),
        "block_index": block.index,
        "outcome": block.outcome,
        "reason": clean(block.reason) if block.reason else None,
        "warnings": [clean(warning) for warning in block.warnings],
        "structure_id": structure["structure_id"] if structure else None,
        "chemical_formula": block.formula,
        "declared_formula": clean(block.declared_formula) if block.declared_formula else None,
        "parser": block.parser,
        "block_sha256": hashlib.sha256(block.text.encode("utf-8", "replace")).hexdigest(),
        "content": clean(block.text),
        "structure": structure,
    }


def _lost_row(path: str, lost: Lost) -> dict[str, Any]:
    """The row of a file that took its process along; its hash says whether it is still the same the next time."""
    about = _about(path)
    with suppress(OSError, ReadError):
        about |= _identity(_content(path, Limits()))
    return _row(about, Block("", 0, "", "unreadable", f"reading it {lost.reason}"))


def _record(store: Store, results: Iterable[tuple[str, Any]], report: Report) -> None:
    """Write rows under a run of their own, a transaction every few seconds, so that a kill costs little."""
    run = provenance.new_run("ingest")
    store.start_run(run)
    try:
        _write(store, run["run_id"], results, report)
    except BaseException as error:
        with suppress(MlmatError):
            store.end_run(run["run_id"], "stopped" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    store.end_run(run["run_id"], "finished")


def _write(store: Store, run_id: str, results: Iterable[tuple[str, Any]], report: Report) -> None:
    batch: list[dict[str, Any]] = []
    files, since = 0, time.monotonic()
    for path, rows in results:
        batch += [_lost_row(path, rows)] if isinstance(rows, Lost) else rows
        files += 1
        if files >= FLUSH_FILES or time.monotonic() - since > FLUSH_EVERY:
            _flush(store, run_id, batch, report)
            batch, files, since = [], 0, time.monotonic()
    _flush(store, run_id, batch, report)


def _flush(store: Store, run_id: str, batch: list[dict[str, Any]], report: Report) -> None:
    import pyarrow as pa

    if not batch:
        return
    now = provenance.now()
    for row in batch:
        row |= {"source_id": provenance.new_id(), "current": True, "run_id": run_id, "ingested_at": now}
    found = [s for row in batch if (s := row.pop("structure")) is not None]
    counts = store.add_sources(pa.Table.from_pylist(batch), pa.Table.from_pylist(found) if found else None)
    report.unchanged += counts.pop("unchanged")
    report.outcomes.update(counts)
