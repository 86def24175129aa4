"""π by throwing darts, each task a call of `run` on some node: the smallest use of many nodes.

python examples/pi.py --config slurm --tasks 64
"""

from __future__ import annotations

import argparse
import os
import random
import socket
from collections import Counter
from pathlib import Path

from ase import Atoms

from mlmat.runner import WrappedAtomsRunner, execute_runner


class Darts(WrappedAtomsRunner):
    """How many of `throws` random points of the unit square lie in the quarter circle."""

    def __init__(self, files, throws):
        super().__init__(files)
        self.throws = throws

    def run(self, atoms):
        dice = random.Random(atoms.info["seed"])
        inside = sum(dice.random() ** 2 + dice.random() ** 2 < 1 for _ in range(self.throws))
        return {"inside": inside, "node": os.environ.get("SLURMD_NODENAME") or socket.gethostname()}


class Pi:
    """The estimate, its standard error, and how many tasks each node has done."""

    def __init__(self, throws):
        self.throws = throws

    def reduce(self, rows):
        failed = [row for row in rows if row["status"] != "ok"]
        if failed:
            raise RuntimeError(f"{len(failed)} of {len(rows)} tasks failed: {failed[0]['error_message']}")
        share = sum(row["inside"] for row in rows) / (self.throws * len(rows))
        error = 4 * (share * (1 - share) / (self.throws * len(rows))) ** 0.5
        return 4 * share, error, Counter(row["node"] for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default="local", help="threads, local, slurm, or a file (local)")
    parser.add_argument("--tasks", type=int, default=64, help="how many tasks (64)")
    parser.add_argument("--throws", type=int, default=200_000, help="throws of each (200000)")
    parser.add_argument("--nodes", type=int, default=1, help="fail unless so many nodes took part (1)")
    options = parser.parse_args()
    # A runner runs once for each structure; here a structure only carries the seed of its task.
    seeds = [Atoms("H", info={"seed": seed}) for seed in range(options.tasks)]
    config = Path(options.config).resolve() if options.config.endswith(".py") else options.config
    pi, error, nodes = execute_runner(Darts(seeds, options.throws), Pi(options.throws), config).result()
    print(f"pi = {pi:.5f} ± {error:.5f} from {options.tasks} tasks on {len(nodes)} node(s)")
    for node, count in sorted(nodes.items()):
        print(f"  {node}: {count} tasks")
    if len(nodes) < options.nodes:
        raise SystemExit(f"{options.nodes} nodes were asked for")


if __name__ == "__main__":
    main()
