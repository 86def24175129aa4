"""A driver tells how its run goes: a record beside the store for whoever watches, and its last words."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mlmat import parsl_config, provenance
from mlmat.processes import machine
from mlmat.progress import Remaining
from mlmat.scheduler.block_status import Block, Blocks
from mlmat.screen import orphans
from mlmat.screen._loop import Listener
from mlmat.store.access import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlmat.methods.method import ResolvedMethod
    from mlmat.screen._loop import Screen
    from mlmat.store import Store

#: Seconds between two records, and for which the rate is taken.
EVERY, WINDOW = 3.0, 300.0
#: Things said that are remembered, blocks that are named, and runs whose logs are kept.
SAID, BLOCKS, LOGS = 30, 50, 20


class Recorder(Listener):
    """The record of one run, kept by the driver: a thread writes it, errors of the disk stop nothing.

    progress, say: who else is told, as `Listener.progressed` and `said`.
    """

    def __init__(
        self,
        store: Store,
        plan: ResolvedMethod,
        run: Mapping[str, Any],
        total: int,
        progress: Callable[..., None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._store, self._folder = store, store.folder
        self._work: Screen | None = None
        self._path = runs.place(self._folder, run["run_id"])
        self._blocks: Blocks | None = None
        self._was: dict[str, Block] = {}
        self._samples: deque[tuple[float, int]] = deque()
        self._enough, self._writing = threading.Event(), threading.Lock()
        self._said: deque[list[str]] = deque(maxlen=SAID)
        self._say, self._progress = say, progress
        self._remaining = Remaining()
        self.record: dict[str, Any] = {
            "run_id": run["run_id"], "who": provenance.who(run), "host": run["host"], "pid": run["pid"],
            "since": run["started_at"], "command": run["arguments"], "method": plan.method["method"],
            "method_id": plan.method["method_id"], "config": str(run["parsl_config"]).partition("\n")[0],
            "total": total, "ended_blocks": [], "outcome": None, "why": "", "clean": False,
        }  # fmt: skip

    def said(self, text: str) -> None:
        """Remember a line, and pass it on."""
        self._said.append([_now(), text])
        if self._say is not None:
            self._say(text)

    def progressed(self, count: int, failed: int, part: float | None = None) -> None:
        """Estimate the time that is left, and pass it on."""
        if part is not None:
            self._remaining.reach(self._remaining.done + part, time.monotonic())
        if self._progress is not None:
            self._progress(count, failed, **({} if part is None else {"part": part}))

    @contextmanager
    def recording(self, work: Screen, config: Any) -> Iterator[None]:
        """Keep the record from before anything is started until all has ended; logs go into a folder of this run."""
        self._work = work
        where, why, ours = config.run_dir, "", parsl_config.is_ours(config, self._folder)
        if ours:
            config.run_dir = str(Path(where) / work.run_id)
            self.record["logs"] = str(Path(config.run_dir).absolute())
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write()
        if ours:
            prune(Path(where), self._store.runs())
        try:
            with orphans.marked(work.run_id):
                yield
        except BaseException as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise
        finally:
            config.run_dir = where
            self._end(work, why)

    @contextmanager
    def following(self, kernel: Any) -> Iterator[None]:
        """Record what the kernel does every few seconds, in a thread."""
        self._blocks, self._remaining.begun = Blocks(kernel), time.monotonic()
        self.record |= {"logs": str(kernel.run_dir), "processes": list(_interchanges(kernel))}
        thread = threading.Thread(target=self._repeat, args=(kernel,), name="mlmat-recorder", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._enough.set()
            thread.join(EVERY)

    def _repeat(self, kernel: Any) -> None:
        while not self._enough.is_set():
            # A record that fails is one that is missing; the screen goes on, and the next one may do.
            with suppress(Exception):
                self._look(kernel)
                if not self._enough.is_set():
                    self._write()
            self._enough.wait(EVERY)

    def _look(self, kernel: Any) -> None:
        """Ask parsl, where it still answers."""
        if self._blocks is None or not parsl_config.is_alive(kernel):
            return
        found = self._blocks.now()
        self._note_ends(found)
        self.record["blocks"] = [asdict(block) for block in found if not block.over][:BLOCKS]
        self.record["workers"] = self._blocks.workers()

    def _note_ends(self, found: list[Block]) -> None:
        """Blocks that were there and are over, other than by our own wish."""
        for block in found:
            before = self._was.get(block.block)
            if block.over and not (before and before.over) and block.state != "scaled_in":
                self.record["ended_blocks"] = [*self.record["ended_blocks"], {**asdict(block), "at": _now()}][-BLOCKS:]
            self._was[block.block] = block

    def _write(self) -> None:
        work = self._work
        if work is None:
            return
        summary, flight = work.summary, work.under_way()
        counts = {
            "ok": summary.ok, "failed": summary.failed, "failures": dict(work.failures),
            "batches": len(flight), "structures": sum(len(batch.ids) for batch in flight),
            "waiting_bytes": summary.waiting_bytes, "updated": time.time(), "said": list(self._said),
            "rate": self._rate(summary.done), "eta": self._remaining.seconds(time.monotonic()),
        }  # fmt: skip
        with self._writing, suppress(OSError):
            self.record |= counts
            runs.write(self._path, self.record)

    def _rate(self, done: int) -> float | None:
        """Structures per second of the last minutes."""
        now = time.monotonic()
        self._samples.append((now, done))
        while now - self._samples[0][0] > WINDOW:
            self._samples.popleft()
        since, before = self._samples[0]
        return (done - before) / (now - since) if done > before else None

    def _end(self, work: Screen, why: str) -> None:
        """How the run ended; a clean one has ended all that it had started."""
        outcome = work.summary.outcome
        why = why or ("" if outcome == "finished" else work.why)
        self.record |= {
            "outcome": outcome, "why": why, "clean": not parsl_config.left_behind,
            "blocks": [], "workers": 0, "ended_at": _now(),
        }  # fmt: skip
        self._write()
        runs.forget(self._folder)


def _interchanges(kernel: Any) -> Iterator[tuple[int, str | None]]:
    """parsl's own processes on this host, each with its birth."""
    found = (getattr(executor, "interchange_proc", None) for executor in kernel.executors.values())
    return ((process.pid, machine.born(process.pid)) for process in found if process is not None)


def end_orphans(store: Store, say: Callable[[str], None] | None) -> None:
    """End what dead drivers of a store have left, and say so. Call it as a driver."""
    for record in runs.with_orphans(store.runs()):
        found, still = orphans.end(record)
        if found and say:
            ended = "could not be ended" if still else "is ended"
            say(f"what {record['who']} had left {ended}: {still or found}")
        if not still and not still.unseen:
            words = {name: value for name, value in record.items() if name != "alive"}
            outcome = record.get("outcome") or "killed"
            with suppress(OSError):
                runs.write(runs.place(store.folder, record["run_id"]), {**words, "outcome": outcome, "clean": True})


def prune(folder: Path, records: list[runs.Record]) -> None:
    """Remove the logs of the oldest runs, but not of those that are at work or left something."""
    needed = {record["run_id"] for record in records if record["alive"] or not record.get("clean")}
    found = sorted(path for path in folder.glob("*-*-*-*-*") if path.is_dir())
    for path in found[:-LOGS]:
        if path.name not in needed and _is_run(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _is_run(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _now() -> str:
    return provenance.now().isoformat(timespec="seconds")
