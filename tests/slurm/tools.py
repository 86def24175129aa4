"""What the tests on a virtual cluster share: a screen that takes its time and notes each call, and what must hold then.

Import it as `from slurm.tools import …`: pytest has `tests` on its path.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from faults.kills import assert_sound, computed
from faults.tools import CRYSTALS, MARK, counted, finish, injected, kill, marked, start, until
from slurm.cluster import Cluster, Job

from mlmat.store import Store

STRUCTURES = 71
#: A line for each call: structure, node, process, and what Slurm said of GPUs.
RUNNER = """
import os, time
from mlmat.runner import WrappedAtomsRunner
from mlmat.materials.structure import structure_id

class Runner(WrappedAtomsRunner):
    name, version = "slow", "1"
    columns = {"energy": "DOUBLE -- eV", "node": "VARCHAR -- of Slurm", "gpu": "VARCHAR -- CUDA_VISIBLE_DEVICES",
               "worker": "BIGINT -- process id", "step": "VARCHAR -- what an MPI program would take for its own"}
    batch_atoms = 8

    def __init__(self, files=(), seconds=0.5, calls="/dev/null"):
        super().__init__(files)
        self.seconds, self.calls = seconds, calls

    def run(self, atoms):
        said = os.environ.get
        fd = os.open(self.calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(fd, (structure_id(atoms) + "\\n").encode())
        os.close(fd)
        time.sleep(self.seconds)
        return {"energy": -float(atoms.numbers.sum()), "node": said("SLURMD_NODENAME", "none"), "worker": os.getppid(),
                "gpu": said("CUDA_VISIBLE_DEVICES", "none"),
                "step": " ".join(name for name in os.environ if name.startswith(("SLURM_", "PMI")))}
"""


#: What a test does not want to wait for, and nodes as small as those of the tests' cluster.
QUICK = {"max_blocks": 2, "walltime": "00:05:00", "cores_per_node": 2, "batch_seconds": 2, "poll_seconds": 2,
         "lost_after": 10}  # fmt: skip


@dataclass
class Screening:
    """A screen of the shipped crystals on a cluster, which may be disturbed, killed and started again.

    seconds: that a structure takes; settings: for the file that `--config` names; more: options of the command;
    habits: of the user, in the environment.
    """

    cluster: Cluster
    folder: Path
    seconds: float = 1.0
    settings: dict[str, object] = field(default_factory=dict)
    more: tuple[object, ...] = ()
    habits: dict[str, str] = field(default_factory=dict)
    store: Store = field(init=False)
    #: Results that were there when something was broken, and how many calls the runner had had by then.
    _known: list[tuple[set[str], int]] = field(default_factory=list, init=False)
    _marks: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.runner, self.db, self.calls = (self.folder / name for name in ("slow.py", "s.duckdb", "calls"))
        self.runner.write_text(RUNNER)
        self.config = self.folder / "cluster.toml"
        lines = [f"{name} = {json.dumps(value)}" for name, value in {**QUICK, **self.settings}.items()]
        self.config.write_text("\n".join(lines))
        finish("ingest", CRYSTALS, "--db", self.db)
        self.store = Store.open(self.db)

    def command(self) -> list[object]:
        """The arguments after `mlmat`."""
        settings = ("--set", f"seconds={self.seconds}", "--set", f"calls={self.calls}")
        return ["screen", "--runner", self.runner, *settings, "--config", self.config, "--db", self.db, *self.more]

    def words(self) -> list[str]:
        """The whole command, as a shell takes it."""
        return [sys.executable, "-m", "mlmat", *map(str, self.command())]

    def start(self) -> subprocess.Popen[str]:
        """Start the screen, which writes what it says into a file."""
        with self._next().open("w") as out:
            process = start(*self.command(), env=self.environment(), stdout=out, stderr=out)
        self.cluster.guests.append(process)
        return process

    def submit(self, *options: str) -> int:
        """Hand the screen in as a job, in whose nodes it then runs; the number of the job."""
        command, out = shlex.join(self.words()), self._next()
        script = f"#!/bin/bash\nexport {MARK}={self._marks[-1]}\nexec {command}\n"
        usual = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--open-mode=append")
        return self.cluster.submit(script, f"--output={out}", *usual, *options)

    def environment(self) -> dict[str, str]:
        """Of a driver on the cluster; what it starts is found by its mark."""
        return {**self.cluster.environment(), **self.habits, MARK: self._marks[-1]}

    def _next(self) -> Path:
        self._marks.append(uuid.uuid4().hex)
        return self._output()

    def _output(self) -> Path:
        return self.folder / f"said-{self._marks[-1]}"

    def said(self) -> str:
        """What the last screen has said so far."""
        return self._output().read_text()

    def results(self) -> int:
        """How many results are in the store."""
        return counted(self.store, "result")

    def called(self) -> list[str]:
        """Structures that the runner was called for."""
        return self.calls.read_text().split() if self.calls.exists() else []

    def under_way(self, process: subprocess.Popen[str] | None, *, everywhere: bool = True, seconds: float = 60) -> None:
        """Wait until results come home, from every node; what is known now must not be computed again."""
        wanted = set(self.cluster.names) if everywhere else set()
        deadline = time.monotonic() + seconds
        while (found := self.results()) < 8 or not set(self.nodes()) >= wanted:
            assert process is None or process.poll() is None, self.said()
            assert time.monotonic() < deadline, f"{found} results, {self.cluster.jobs()}"
            time.sleep(0.5)
        assert found < STRUCTURES - 20, "there is little left to disturb"
        self.remember()

    def remember(self) -> None:
        """What is recorded now must not be computed again; nor may it be gone."""
        known = computed(self.db)  # first: what is called for meanwhile may be recorded meanwhile
        self._known.append((known, len(self.called())))

    def blocks(self) -> list[Job]:
        """The jobs of the screen that wait or run."""
        return [job for job in self.cluster.jobs() if job.state in ("PENDING", "CONFIGURING", "RUNNING")]

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill the driver, which leaves everything as it is."""
        assert kill(process)

    def end(self, process: subprocess.Popen[str], seconds: float = 150) -> str:
        """Wait for the end of the screen; what it said."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"it did not end: {self.cluster.jobs(ended=True)}\n{self.said()}") from None
        assert process.returncode == 0, self.said()
        return self.said()

    def nodes(self) -> Counter[str]:
        """How many results each node has computed."""
        return Counter(self.store.sql("SELECT node FROM result_slow")["node"])

    def check(self, kind: str | None = None, *, repeated: int = 0) -> None:
        """One current result for each structure, none of those that were recorded computed twice or gone, nothing left.

        kind: what was injected, if so; repeated: so many structures at most were in flight then, and computed again.
        """
        print(self.said(), self.cluster.jobs(ended=True), self.nodes(), f"{len(self.called())} calls", sep="\n")
        assert_sound(self.store)
        calls, now = self.called(), computed(self.db)
        again = sum(len(known & set(calls[before:])) for known, before in self._known)
        lost = sum(len(known - now) for known, _ in self._known)
        stuck = STRUCTURES - counted(self.store, "current_result WHERE status = 'ok'")
        assert (lost, again, stuck) == (0, 0, 0) or kind
        if kind:
            injected(kind, lost=lost, repeated=again, stuck=stuck)
        assert self.results() == STRUCTURES
        assert len(calls) <= STRUCTURES + repeated
        self.assert_nothing_left()

    def assert_nothing_left(self) -> None:
        """No jobs and no processes of any of the drivers, wherever they ran."""
        until(lambda: not self.blocks(), seconds=20)
        until(lambda: not [pid for mark in self._marks for pid in marked(mark)], seconds=30)
