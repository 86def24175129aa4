"""Real crystals, screened over two nodes of a virtual cluster while things break, against the same on this machine.

`python tests/slurm/acceptance.py [CRYSTALS]` prints the figures of docs/cluster.md. CRYSTALS is a folder or an archive
(`u166_unrelaxed.tar.gz` of the shared data). In mid-run a node is killed, a block is cancelled, and the driver is
killed and started again. The tables have to have the same rows and statuses, energies equal within the tolerance of
the dtype, and no structure more than one result.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does

from faults.kills import acknowledged, assert_sound, computed
from faults.tools import MARK, counted, marked, until
from slurm.cluster import Cluster

from mlmat.store import Store

SHARED = Path(os.environ.get("MLMAT_SHARED", Path(__file__).absolute().parents[3] / "shared"))
#: eV/atom by which energies of the same structure may differ: other structures beside it, another order of sums.
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
#: As on a real cluster, but for its size and for how soon things are noticed.
SETTINGS = """partition = "main"
walltime = "00:30:00"
max_blocks = 2
cores_per_node = 1
batch_seconds = 2
poll_seconds = 2
lost_after = 10
"""
ROWS = (
    "SELECT structure_id, status, error_class, energy, nsites FROM current_result JOIN structure USING (structure_id)"
)


@dataclass
class Run:
    """A screen on the cluster, its time, and what was done to it on the way."""

    cluster: Cluster
    db: Path
    command: list[str]
    structures: int
    mark: str = "acceptance"
    drivers: int = 0
    happened: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    #: What was recorded when something broke, or before.
    known: set[str] = field(default_factory=set)

    def start(self) -> None:
        self.drivers += 1
        self.process = subprocess.Popen(
            [*self.command, "--config", "slurm", "--db", str(self.db)], cwd=self.db.parent,
            env={**self.cluster.environment(), MARK: self.mark},
        )  # fmt: skip

    def through(self, *faults: tuple[float, str, Callable[[Run], None]]) -> float:
        """Run to the end, each fault at its share of results; the seconds that it took."""
        began, left = time.monotonic(), list(faults)
        self.start()
        while self.process and self.process.poll() is None:
            done = len(computed(self.db))
            if left and done >= left[0][0] * self.structures:
                _, name, strike = left.pop(0)
                self.happened.append(f"{name} after {time.monotonic() - began:.0f} s, {done} results")
                print(f"--- {self.happened[-1]}", file=sys.stderr)
                strike(self)
                self.known |= acknowledged(self.db)
            time.sleep(0.5)
        assert not left, f"it was over before: {[name for _, name, _ in left]}"
        assert self.process is not None
        assert self.process.returncode == 0
        assert self.known <= acknowledged(self.db), "something that was recorded is gone"
        return time.monotonic() - began


def kill_node(run: Run) -> None:
    """Kill what runs on the second node; it is repaired at once."""
    assert run.cluster.processes(2), "nothing runs there"
    run.cluster.kill_node(2)
    run.cluster.start_node(2, wait=False)


def cancel_block(run: Run) -> None:
    """Cancel a block that is at work."""
    run.cluster.cancel(next(job for job in run.cluster.jobs() if job.state == "RUNNING"))


def kill_driver(run: Run) -> None:
    """Kill the driver, and start it again."""
    assert run.process is not None
    run.process.kill()
    run.process.wait()
    run.start()


#: What happens when so large a share of the results is there.
FAULTS = (
    (0.15, "a node killed", kill_node),
    (0.4, "a block cancelled", cancel_block),
    (0.65, "the driver killed", kill_driver),
)


def table(db: Path) -> dict[str, tuple[str, str | None, float | None, int]]:
    """Status, failure, energy and size of each structure."""
    store = Store.open(db)
    assert_sound(store)
    rows = store.arrow(ROWS).to_pylist()
    found = {row["structure_id"]: (row["status"], row["error_class"], row["energy"], row["nsites"]) for row in rows}
    assert len(found) == len(rows) == counted(store, "result"), "a structure has two results"
    return found


def compared(db: Path, local: Path, dtype: str) -> str:
    """What a table has in common with the local one. AssertionError when that is not everything."""
    ours, theirs = table(db), table(local)
    assert {key: row[:2] for key, row in ours.items()} == {key: row[:2] for key, row in theirs.items()}
    differences = [abs(ours[key][2] - row[2]) / row[3] for key, row in theirs.items() if row[2] is not None]  # type: ignore[operator]
    worst = max(differences)
    assert worst <= TOLERANCE[dtype], f"energies differ by {worst:.1e} eV/atom"
    return f"the same {len(ours)} rows and statuses, energies within {worst:.0e} eV/atom"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("crystals", nargs="?", type=Path, default=SHARED / "data" / "u166_unrelaxed.tar.gz")
    parser.add_argument("--runner", default="mace")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--keep", type=Path, help="a new folder for the stores and logs, which stays")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="mlmat-acceptance-"))
    folder.mkdir(exist_ok=True)
    try:
        accept(folder, given.crystals, given.runner, given.settings)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


def accept(folder: Path, crystals: Path, runner: str, settings: list[str]) -> None:
    """Screen locally, on the cluster, and on the cluster while things break; print what it took."""
    mlmat = [sys.executable, "-m", "mlmat"]
    base = folder / "base.duckdb"
    subprocess.run([*mlmat, "ingest", str(crystals), "--db", str(base)], check=True)
    structures = counted(Store.open(base), "structure")
    dbs = {name: Path(shutil.copy(base, folder / f"{name}.duckdb")) for name in ("local", "cluster", "broken")}
    command = [*mlmat, "screen", "--runner", runner, *(word for one in settings for word in ("--set", one))]
    dtype = dict(one.split("=", 1) for one in settings).get("dtype", "float64")
    (folder / "slurm.toml").write_text(SETTINGS)

    began = time.monotonic()
    subprocess.run([*command, "--config", "local", "--db", str(dbs["local"])], check=True)
    seconds = {"local": time.monotonic() - began}
    with Cluster(nodes=2, cpus=1, gpus=0) as cluster:
        doctor(cluster, folder, dbs["cluster"])
        seconds["cluster"] = Run(cluster, dbs["cluster"], command, structures).through()
        broken = Run(cluster, dbs["broken"], command, structures)
        seconds["broken"] = broken.through(*FAULTS)
        until(lambda: not cluster.jobs(), 30)
        until(lambda: not list(marked(broken.mark)), 30)
        blocks = len(cluster.jobs(ended=True))
    said = {name: compared(dbs[name], dbs["local"], dtype) for name in ("cluster", "broken")}
    print(f"\n{structures} structures, {' '.join(command[3:])}\n\n| run | s | |\n| --- | --- | --- |")
    print(f"| `--config local`, 2 workers | {seconds['local']:.0f} | |")
    print(f"| `--config slurm`, two nodes of one worker | {seconds['cluster']:.0f} | {said['cluster']} |")
    print(f"| the same, {'; '.join(broken.happened)} | {seconds['broken']:.0f} | {said['broken']} |")
    print(f"\n{blocks} blocks in all; none is left, nor any process.")
    print("Every result that was recorded before something broke is there, and no structure has a second one.")


def doctor(cluster: Cluster, folder: Path, db: Path) -> None:
    """Ask whether everything is as it should be."""
    command = [sys.executable, "-m", "mlmat", "doctor", "--config", "slurm", "--db", str(db)]
    subprocess.run(command, cwd=folder, env=cluster.environment(), check=True)


if __name__ == "__main__":
    main()
