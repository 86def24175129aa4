"""A Slurm cluster of virtual nodes on this machine, in a temporary folder, without systemd and without accounting.

    with Cluster(nodes=2) as cluster:
        subprocess.run(["sinfo"], env=cluster.environment())

By hand: `python tests/slurm/cluster.py --nodes 2` prints `export SLURM_CONF=…` and runs until ctrl-C.
Debian's packages slurm-wlm and munge are all it needs. Several clusters may run side by side.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel")
#: Where the daemons are, whatever PATH says.
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
#: Seconds after which a node that says nothing is down.
NODE_TIMEOUT = 10
#: Seconds that a credential holds; so long waits a job that is handed in again.
CREDENTIAL = 15
#: Set on each slurmd, it is found again on what slurmd starts.
MARK = "MLMAT_VIRTUAL_NODE"

CONFIGURATION = """
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={expire}
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout={timeout}
SlurmctldTimeout=10
MessageTimeout=10
TCPTimeout=2
InactiveLimit=0
KillWait=5
BatchStartTimeout=20
MinJobAge=3600
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=1-0 State=UP
PartitionName=small Nodes=ALL MaxNodes=1 MaxTime=10 State=UP
PartitionName=closed Nodes=ALL State=DOWN
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Sockets=1 CoresPerSocket={cpus} "
    "ThreadsPerCore=1 RealMemory=64000 Feature=virtual Gres=gpu:{gpus} State=UNKNOWN"
)


def missing() -> list[str]:
    """The programs that a cluster needs and this machine does not have."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


@dataclass(frozen=True)
class Job:
    """A job as squeue tells it: `state` in capitals (RUNNING), `reason` as Slurm puts it (Resources)."""

    id: int
    name: str
    state: str
    reason: str
    nodes: str
    partition: str


class Cluster:
    """munged, slurmctld and a slurmd for each node, vn1, vn2, …; nodes are counted from 1.

    A node that says nothing is down after 15 to 30 s. As by default, Slurm hands a batch job that was lost with
    its node in again. Partitions: main, small (one node, 10 min) and closed (which starts nothing).

    cpus: what each node has to give, whatever this machine has; gpus: devices that Slurm takes for GPUs; folder: where
    all files go (its path must be short: sockets), by default a temporary one, which `stop` removes.
    """

    def __init__(self, nodes: int = 2, *, cpus: int = 4, gpus: int = 2, folder: Path | None = None) -> None:
        if lacking := missing():
            raise RuntimeError(f"no Slurm here: {', '.join(lacking)} missing; apt install slurm-wlm munge")
        self._own = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")) if folder is None else folder.absolute()
        self.names = [f"vn{number + 1}" for number in range(nodes)]
        self.cpus, self.gpus = cpus, gpus
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        #: Processes that use this cluster: they are killed when it stops.
        self.guests: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- as a whole ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; all nodes are idle when this returns."""
        self._write_files()
        try:
            self._start_munged()
            self.start_controller()
            for number in range(len(self.names)):
                self.start_node(number + 1, wait=False)
            self.wait_for(*self.names)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that runs on the cluster, and the cluster."""
        for guest in self.guests:
            guest.kill()
            guest.wait()
        with contextlib.suppress(Exception):
            self.call("scancel", "--full", *(str(job.id) for job in self.jobs()), timeout=5)
        for number in range(len(self.names)):
            self.kill_node(number + 1)
        for name in reversed(list(self._daemons)):
            self._end(name, signal.SIGTERM)
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """This process's environment, with the way to this cluster and without that to another one."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return {**mine, "PATH": SEARCHED, "SLURM_CONF": str(self.configuration)}

    @property
    def configuration(self) -> Path:
        return self.folder / "slurm.conf"

    # -- nodes -----------------------------------------------------------------------------------

    def start_node(self, number: int, *, wait: bool = True) -> None:
        """Start the slurmd of a node."""
        name = self.names[number - 1]
        self._start(name, "slurmd", "-D", "-N", name, "-f", str(self.configuration), **{MARK: self._mark(name)})
        if wait:
            self.wait_for(name)

    def kill_slurmd(self, number: int) -> None:
        """Kill the slurmd of a node; what it has started stays."""
        self._end(self.names[number - 1], signal.SIGKILL)

    def kill_node(self, number: int) -> None:
        """Kill all that runs on a node, as when its power fails."""
        self.kill_slurmd(number)
        deadline = time.monotonic() + 5
        while (found := self.processes(number)) and time.monotonic() < deadline:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def processes(self, number: int) -> list[int]:
        """The processes that run on a node, but for its slurmd: steps of jobs and all that they have started."""
        mark, mine = self._mark(self.names[number - 1]), self._daemons.get(self.names[number - 1])
        steps = [pid for pid in marked(MARK, mark) if not (mine and pid == mine.pid)]
        found = set(steps)
        for pid in steps:
            with contextlib.suppress(psutil.Error):
                found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        return sorted(found)

    def drain(self, number: int, reason: str = "maintenance") -> None:
        """Let a node finish its jobs and take no more."""
        self.call("scontrol", "update", f"nodename={self.names[number - 1]}", "state=drain", f"reason={reason}")

    def resume(self, number: int) -> None:
        """Give a drained or a dead node back."""
        self.call("scontrol", "update", f"nodename={self.names[number - 1]}", "state=resume")
        self.wait_for(self.names[number - 1])

    def states(self) -> dict[str, str]:
        """The state of each node, as sinfo puts it: idle, mix, alloc, drng, drain, down…; `*`: it does not answer."""
        rows = self.call("sinfo", "-h", "-N", "-p", "main", "-o", "%N %t").split("\n")
        return dict(tuple(row.split()) for row in rows if row.strip())  # type: ignore[misc]

    def wait_for(self, *names: str, seconds: float = 20) -> None:
        """Wait until these nodes can take jobs."""
        self.until(lambda: {self.states().get(name) for name in names} <= {"idle", "mix", "alloc"}, seconds)

    def _drained(self, name: str) -> bool:
        return self.states().get(name, "").startswith(("drain", "drng"))

    # -- the controller --------------------------------------------------------------------------

    def start_controller(self) -> None:
        """Start slurmctld, with the jobs that it knew; it answers when this returns."""
        self._start("slurmctld", "slurmctld", "-D", "-f", str(self.configuration))
        self.until(lambda: self.call("sinfo", "-h", "-o", "%P", check=False).strip() != "", 20)
        self.wait_for(*(name for name in self.names if name in self._daemons and not self._drained(name)))

    def stop_controller(self, *, crash: bool = False) -> None:
        """End slurmctld: jobs go on, but nobody knows of them. In a crash it forgets its last five seconds."""
        self._end("slurmctld", signal.SIGKILL if crash else signal.SIGTERM)

    def restart_controller(self, down: float = 0.0, *, crash: bool = False) -> None:
        """End slurmctld and start it again after so many seconds."""
        self.stop_controller(crash=crash)
        time.sleep(down)
        self.start_controller()

    # -- jobs ------------------------------------------------------------------------------------

    def jobs(self, *, ended: bool = False) -> list[Job]:
        """The jobs in the queue and at work, and those that have ended if asked for."""
        shown = ["--states=all"] if ended else []
        rows = self.call("squeue", "-h", *shown, "-o", "%A|%j|%T|%r|%N|%P").splitlines()
        parts = (row.split("|") for row in rows if row.strip())
        return [Job(int(number), *others) for number, *others in parts]

    def cancel(self, job: Job | int) -> None:
        """Cancel a job."""
        self.call("scancel", str(job.id if isinstance(job, Job) else job))

    def submit(self, script: str, *options: str) -> int:
        """Hand in the text of a batch script, which writes into this cluster's folder; the number of the job."""
        out = f"--output={self.folder}/job-%j.out"
        return int(self.call("sbatch", "--parsable", out, *options, input=script).split(";")[0])

    def call(self, *command: str, check: bool = True, timeout: float = 30, **options: object) -> str:
        """Run a command on the cluster; what it printed. Raises RuntimeError with what it complained of."""
        done = subprocess.run(
            command, env=self.environment(), text=True, capture_output=True, timeout=timeout, check=False, **options  # type: ignore[call-overload]
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return str(done.stdout)

    def until(self, condition: Callable[[], object], seconds: float) -> None:
        """Wait for a condition; a RuntimeError with the daemons' last words when it does not come true."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                if condition():
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the virtual cluster is not as it should be after {seconds:.0f} s:\n{self._said()}")
            time.sleep(0.1)

    # -- daemons ---------------------------------------------------------------------------------

    def _mark(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _said(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log.name}: {line}" for log in logs for line in log.read_text().splitlines()[-8:])

    def _write_files(self) -> None:
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        host, user = socket.gethostname().split(".")[0], pwd.getpwuid(os.getuid()).pw_name
        first, *ports = free_ports(1 + len(self.names))
        self.gpus = self._devices()
        each = {"host": host, "cpus": self.cpus, "gpus": self.gpus}
        nodes = [NODE.format(name=name, port=port, **each) for name, port in zip(self.names, ports, strict=True)]
        values = {"host": host, "port": first, "user": user, "folder": self.folder}
        values |= {"timeout": NODE_TIMEOUT, "expire": CREDENTIAL}
        self.configuration.write_text(CONFIGURATION.format(nodes="\n".join(nodes), **values))
        for name in self.names:
            (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        files = f"File={self.folder}/gpu[0-{self.gpus - 1}]" if self.gpus else ""
        text = f"AutoDetect=off\nNodeName={','.join(self.names)} Name=gpu {files}\n"
        (self.folder / "gres.conf").write_text(text if files else "")

    def _devices(self) -> int:
        """Devices that Slurm takes for GPUs, it never opens them: further names of /dev/null. How many there are."""
        try:
            for number in range(self.gpus):
                with contextlib.suppress(FileExistsError):
                    os.mknod(self.folder / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            print("no GPUs on the virtual nodes: only root makes devices", file=sys.stderr)
            return 0
        return self.gpus

    def _start_munged(self) -> None:
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "key", "pid", "log", "seed")}
        options = [f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        self.until(files["socket"].exists, 10)

    def _start(self, name: str, program: str, *arguments: str, **environment: str) -> None:
        path = shutil.which(program, path=SEARCHED)
        # Ctrl-C is for the one who runs the cluster; a cluster does not outlive the process that made it.
        command = ["setpriv", "--pdeathsig", "TERM", str(path), *arguments]
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env={**self.environment(), **environment},
            )  # fmt: skip

    def _end(self, name: str, number: int) -> None:
        if (process := self._daemons.pop(name, None)) is None:
            return
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def marked(name: str, value: str) -> Iterator[int]:
    """The processes that have this in their environment."""
    wanted = f"{name}={value}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # gone; that of a zombie is empty
            if wanted in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on; none that a connection is given while a daemon is away."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port, one = random.randrange(10_000, 32_000), stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                found.append(port)
        return found


def main() -> None:
    """Run a cluster until ctrl-C."""
    parser = argparse.ArgumentParser(description="A Slurm cluster of virtual nodes on this machine.")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--cpus", type=int, default=4, help="of each node, whatever this machine has")
    parser.add_argument("--gpus", type=int, default=2, help="of each node; they compute nothing")
    parser.add_argument("--dir", type=Path, help="where its files go and stay; a short path")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with Cluster(given.nodes, cpus=given.cpus, gpus=given.gpus, folder=given.dir) as cluster:
        print(f"export SLURM_CONF={cluster.configuration}", flush=True)
        print(f"{len(cluster.names)} nodes idle; ctrl-C ends the cluster and its jobs", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
