"""What happens on a cluster: nodes, blocks, the controller and the driver die, and a screen goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faults.tools import counted, injected, until
from slurm.cluster import Cluster
from slurm.tools import STRUCTURES, Screening

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]
#: Two blocks of a node, and one of two.
BOTH = pytest.mark.parametrize("settings", [{"max_blocks": 2}, {"max_blocks": 1, "nodes_per_block": 2}])
#: Structures that a node may have at work or waiting: two workers, a few seconds each, and what waits for them.
NODE = 12


@BOTH
def test_a_node_dies(settings: dict[str, object], cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, settings=settings)
    process = work.start()
    work.under_way(process)
    cluster.kill_node(2)
    work.remember()
    work.end(process)
    work.check("Slurm: a node dies", repeated=NODE)


@BOTH
def test_a_slurmd_dies_and_comes_back(settings: dict[str, object], cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, settings=settings)
    process = work.start()
    work.under_way(process)
    cluster.kill_slurmd(2)
    until(lambda: work.results() > 40)
    cluster.start_node(2, wait=False)
    work.end(process)
    work.check("Slurm: a slurmd dies and comes back")


@BOTH
def test_a_block_is_cancelled(settings: dict[str, object], cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path, settings=settings)
    process = work.start()
    work.under_way(process)
    cancelled = work.blocks()[0]
    cluster.cancel(cancelled)
    work.remember()
    said = work.end(process)
    assert f"block {cancelled.id} has ended: CANCELLED" in said
    work.check("Slurm: a block is cancelled", repeated=NODE * len(cluster.names))


def test_a_block_that_waits_is_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    cluster.drain(1)
    cluster.drain(2)
    work = Screening(cluster, tmp_path, 0.1)
    process = work.start()
    until(work.blocks, 30)
    cluster.cancel(work.blocks()[0])
    cluster.resume(1)
    cluster.resume(2)
    work.end(process)
    work.check("Slurm: a block that waits is cancelled")


def test_a_node_is_drained(cluster: Cluster, tmp_path: Path) -> None:
    """What runs there goes on, and what comes next goes elsewhere."""
    work = Screening(cluster, tmp_path)
    process = work.start()
    work.under_way(process)
    cluster.drain(2)
    until(lambda: work.results() > 30)
    cluster.cancel(next(block for block in work.blocks() if block.nodes == "vn2"))
    work.remember()
    work.end(process)
    work.check("Slurm: a node is drained", repeated=NODE)
    assert cluster.states()["vn2"] == "drain"


@pytest.mark.parametrize("crash", [False, True])
def test_the_controller_restarts(crash: bool, cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path)
    process = work.start()
    work.under_way(process)
    cluster.restart_controller(down=10, crash=crash)
    work.end(process)
    work.check(f"Slurm: the controller {'crashes' if crash else 'restarts'}", repeated=crash * 2 * NODE)


def test_a_node_dies_while_the_controller_is_away(cluster: Cluster, tmp_path: Path) -> None:
    work = Screening(cluster, tmp_path)
    process = work.start()
    work.under_way(process)
    cluster.stop_controller(crash=True)
    cluster.kill_node(2)
    work.remember()
    until(lambda: work.results() > 40)
    cluster.start_controller()
    cluster.start_node(2, wait=False)
    work.end(process)
    work.check("Slurm: a node dies while the controller is away", repeated=NODE)


def test_a_walltime_ends(cluster: Cluster, tmp_path: Path) -> None:
    """A block takes nothing new before its end, so that nothing is lost; the screen goes on in the next one."""
    work = Screening(cluster, tmp_path, 2.2, {"walltime": "00:01:00", "max_blocks": 1})
    process = work.start()
    said = work.end(process, 300)
    work.check("Slurm: a walltime ends")
    assert len(re.findall(r"block \d+ runs on", said)) >= 2


def test_a_walltime_strikes(cluster: Cluster, tmp_path: Path) -> None:
    """Nobody knew that the block would end: its time was made shorter."""
    work = Screening(cluster, tmp_path, 3, {"max_blocks": 1})
    process = work.start()
    work.under_way(process, everywhere=False)
    cluster.call("scontrol", "update", f"jobid={work.blocks()[0].id}", "timelimit=1")
    said = work.end(process, 300)
    assert re.search(r"block \d+ has ended: TIMEOUT", said)
    work.check("Slurm: a walltime strikes", repeated=NODE)


@BOTH
def test_the_driver_dies(settings: dict[str, object], cluster: Cluster, tmp_path: Path) -> None:
    """The next one ends the blocks that it left, which would wait for it for five minutes."""
    work = Screening(cluster, tmp_path, settings={**settings, "lost_after": 300})
    process = work.start()
    work.under_way(process)
    left = {block.id for block in work.blocks()}
    work.kill(process)
    work.remember()
    assert left == {block.id for block in work.blocks()}
    process = work.start()
    until(lambda: not left & {block.id for block in work.blocks()}, 30)
    work.end(process)
    work.check("Slurm: the driver dies", repeated=NODE * len(cluster.names))


def test_the_driver_dies_while_its_block_waits(cluster: Cluster, tmp_path: Path) -> None:
    cluster.drain(1)
    cluster.drain(2)
    work = Screening(cluster, tmp_path, 0.1)
    process = work.start()
    until(work.blocks, 30)
    left = {block.id for block in work.blocks()}
    work.kill(process)
    process = work.start()
    until(lambda: (now := {block.id for block in work.blocks()}) and not now & left, 40)
    cluster.resume(1)
    work.end(process)
    work.check("Slurm: the driver dies while its block waits")


def test_no_block_starts(cluster: Cluster, tmp_path: Path) -> None:
    """It says why, and goes on as soon as one does."""
    cluster.drain(1)
    cluster.drain(2)
    work = Screening(cluster, tmp_path, 0.1)
    process = work.start()
    until(work.blocks, 30)
    until(lambda: cluster.jobs()[0].reason not in ("None", ""), 30)
    reason = cluster.jobs()[0].reason
    until(lambda: reason in work.said(), 30)
    cluster.resume(1)
    work.end(process)
    work.check("Slurm: no block starts for a while")


@pytest.mark.parametrize("settings", [{"nodes_per_block": 3}, {"partition": "closed"}])
def test_a_block_that_can_never_start(settings: dict[str, object], cluster: Cluster, tmp_path: Path) -> None:
    """Slurm takes it and lets it wait; the user is told why, and may stop."""
    work = Screening(cluster, tmp_path, settings={"max_blocks": 1, **settings})
    process = work.start()
    until(lambda: re.search(r"block \d+ waits: Partition", work.said()) or process.poll() is not None, 60)
    process.terminate()
    process.wait(60)
    work.assert_nothing_left()
    injected("Slurm: a block that can never start")


def test_ctrl_c(cluster: Cluster, tmp_path: Path) -> None:
    """What is under way comes home, the blocks are given back, and the same command goes on."""
    work = Screening(cluster, tmp_path)
    process = work.start()
    work.under_way(process)
    process.terminate()
    process.wait(60)
    assert process.returncode == 130
    work.assert_nothing_left()
    assert counted(work.store, "result") < STRUCTURES
    work.remember()
    work.end(work.start())
    work.check("Slurm: a screen is stopped")


def test_workers_that_cannot_start(cluster: Cluster, tmp_path: Path) -> None:
    """It ends with what the last block said, and not with one block after the other for ever."""
    work = Screening(cluster, tmp_path, settings={"setup": ["echo no such module >&2; exit 3"]})
    process = work.start()
    process.wait(90)
    assert process.returncode == 1
    assert "no such module" in work.said()
    work.assert_nothing_left()
    injected("Slurm: workers that cannot start")


@pytest.mark.parametrize(
    ("settings", "why", "code"), [({"partition": "nowhere"}, "nowhere", 2), ({"constraint": "gpu80"}, "feature", 1)]
)
def test_blocks_that_slurm_refuses(
    settings: dict[str, object], why: str, code: int, cluster: Cluster, tmp_path: Path
) -> None:
    work = Screening(cluster, tmp_path, settings=settings)
    process = work.start()
    process.wait(60)
    assert process.returncode == code
    assert why in work.said()
    work.assert_nothing_left()
    injected("Slurm: a block is refused")
