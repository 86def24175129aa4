"""LeaseManager for tests: processes with a host name of their own, on a folder that they take for a network disk.

Locks of one kernel would hold between them, unlike those of two hosts. With loose locks a process takes none, and lets
go of those that DuckDB takes: only the claims keep two of them apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

SERVE = r'''
import fcntl, json, os, sys, time
from contextlib import ExitStack
from pathlib import Path
from mlmat.store import Store
from mlmat.store.access import connection as _connection, hosts as _hosts, mounts as _mounts

path, table, loose = sys.argv[1:4]
_mounts.TABLE = Path(table)
_hosts.RENEW, _hosts.STALE, _hosts.WATCH, _hosts.POLL = 0.2, 3.0, 1.5, 0.05
if loose == "loose":
    fcntl.flock = lambda *_: None
    opened = _connection.Database._open
    def unlocked(self, read_only):
        con = opened(self, read_only)
        os.close(os.open(self.path, os.O_RDONLY))  # drops the locks of this process on the file
        return con
    _connection.Database._open = unlocked

store, stacks = Store(path), {}
def begin(name, context):
    with ExitStack() as stack:
        entered = stack.enter_context(context)
        stacks[name] = stack.pop_all(), entered
    return "begun"
def end(name):
    stacks.pop(name)[0].close()
    return "ended"
def entered(name):
    return stacks[name][1]
def slow_clock(seconds):
    """Touch files with the time of a clock that is behind: some disks take the time of the host."""
    real = os.utime
    os.utime = lambda fd: real(fd, (time.time() - seconds,) * 2)
def stand_still_before_making():
    """Stop this process, once, between its look at the claims and the making of the next one."""
    real = _hosts.LeaseManager._make
    def make(*arguments):
        _hosts.LeaseManager._make = real
        os.kill(os.getpid(), 19)
        return real(*arguments)
    _hosts.LeaseManager._make = make
def command(*arguments):
    from mlmat.cli import main
    sys.argv = ["mlmat", *arguments]
    main()

for line in sys.stdin:
    try:
        out = str(eval(line))
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        out = f"{type(error).__name__}: {error}"
    print("=" + json.dumps(out), flush=True)
'''


class Host:
    """A process on another host that does what it is told, one expression at a time."""

    def __init__(self, name: str, path: Path, table: Path, *, locks: str = "loose", before: str = "") -> None:
        setup = f'echo {name} > /proc/sys/kernel/hostname && {before or ":"} && exec "$@"'
        command = ["unshare", "--uts", "--mount", "sh", "-c", setup, "sh"]
        command += [sys.executable, "-c", SERVE, str(path), str(table), locks]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, expression: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """What came of what was asked; what was printed goes before it."""
        assert self.process.stdout
        printed = ""
        for line in self.process.stdout:
            if line.startswith("="):
                return printed + str(json.loads(line[1:]))
            printed += line
        raise AssertionError(f"the host died: {self.process.communicate()[1]}")

    def do(self, expression: str) -> str:
        self.ask(expression)
        return self.answer()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def leave(self) -> str:
        """Let it end by itself; what it wrote on standard error."""
        return self.process.communicate(timeout=60)[1]


def can_name_hosts() -> bool:
    """This machine lets a process have a host name of its own."""
    tried = subprocess.run(["unshare", "--uts", "--mount", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def need_host_names() -> None:
    if not can_name_hosts():
        text = "no host names for single processes here (unshare needs root): two hosts on one store are NOT tested"
        warnings.warn(text, stacklevel=1)
        pytest.skip(text)
