"""The locks that a store lives by, tried out in a folder by two processes: not every file system keeps them."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from mlmat.processes import child
from mlmat.store.access.locks import try_lock

#: Seconds that the system may take to give up the locks of a process that was killed.
RELEASE = 5.0


def try_locks(folder: Path) -> dict[str, str]:
    """What is wrong with each kind of lock (empty: nothing): it keeps others out, and ends with its process.

    Raises OSError where nothing can be written.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".mlmat-doctor-", ignore_cleanup_errors=True) as name:
        trial = Path(name)
        tries = {"mlmat": _flock, "DuckDB": _duckdb}
        found = {
            kind: "" if not (why := take(trial)) else f"cannot be had at all ({why})" for kind, take in tries.items()
        }
        process, pipe = child.start("mlmat.store.access.trial", str(trial))
        try:
            if not pipe.poll(60) or pipe.recv() != "held":
                return {kind: why or "the second process could not take it" for kind, why in found.items()}
            for kind, take in tries.items():
                found[kind] = found[kind] or ("" if take(trial) else "two processes had it at once")
        except EOFError:
            return {kind: why or "the second process could not take it" for kind, why in found.items()}
        finally:
            child.end(process, pipe)
        deadline = time.monotonic() + RELEASE
        for kind, take in tries.items():
            while not found[kind] and take(trial):
                if time.monotonic() > deadline:
                    found[kind] = "it stayed when its process was killed"
                time.sleep(0.02)
        return found


def _flock(trial: Path) -> str:
    """Take and give up the lock that drivers and writers hold; why it cannot be had."""
    fd = os.open(trial / "lock", os.O_RDWR | os.O_CREAT)
    try:
        return "" if try_lock(fd, fcntl.LOCK_EX) else "another process has it"
    except OSError as error:  # ENOLCK, ENOTSUP
        return str(error.strerror)
    finally:
        os.close(fd)


def _duckdb(trial: Path) -> str:
    """Open and close a database for writing; why that cannot be done."""
    import duckdb

    try:
        duckdb.connect(str(trial / "trial.duckdb")).close()
    except duckdb.Error as error:
        return str(error).partition("\n")[0]
    return ""


def _hold(pipe: Connection, trial: Path) -> None:
    """Hold both locks until somebody ends this process."""
    import duckdb

    fd = os.open(trial / "lock", os.O_RDWR | os.O_CREAT)
    kept = duckdb.connect(str(trial / "trial.duckdb"))
    child.end_with_parent()
    pipe.send("held" if try_lock(fd, fcntl.LOCK_EX) else "refused")
    while not pipe.poll(None):
        pass
    kept.close()


if __name__ == "__main__":
    _hold(Connection(int(sys.argv[1])), Path(sys.argv[2]))
