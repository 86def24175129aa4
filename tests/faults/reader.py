"""A process that asks a store over and over: `python reader.py STORE STOP` until STOP exists; prints what it saw."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.kills import unsound

from mlmat.store import Store


def poll(db: Path, stop: Path) -> dict[str, object]:
    """Ask until told to stop: the seconds until the store was open, each time, and what was unsound in it.

    slower: how many times longer this process's own work takes than it would on cores of its own.
    """
    store, waits, problems = Store.open(db), [], []
    wall = cpu = 0.0
    while not stop.exists():
        before = time.monotonic()
        with store.database.read() as con:
            waits.append(time.monotonic() - before)
            wall, cpu = wall - time.monotonic(), cpu - time.process_time()
            found = unsound(con)
            wall, cpu = wall + time.monotonic(), cpu + time.process_time()
        if found:
            problems.append(found)
        time.sleep(random.uniform(0.4, 1.2))
    return {"waits": waits, "problems": problems, "slower": max(1.0, wall / max(cpu, 0.01))}


if __name__ == "__main__":
    print(json.dumps(poll(Path(sys.argv[1]), Path(sys.argv[2]))))
