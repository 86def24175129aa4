"""The settings of `--config slurm`: a small TOML file, checked key by key."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mlmat.errors import UsageError

#: The file that `--config slurm` looks for: in this folder, then in the user's.
NAME = "slurm.toml"
#: Seconds: a batch of structures, and what a block keeps of its walltime, at least, to bring batches home.
BATCH, DRAIN = 60.0, 120.0
#: Options of sbatch by which a job would not be found again, or be several.
OURS = {"--clusters", "-M", "--array", "-a", "--job-name", "-J"}


@dataclass(frozen=True, slots=True)
class Slurm:
    """What a block is: a job of Slurm that runs workers. Each field is a key of the file.

    walltime: of a block, as Slurm writes it (HH:MM:SS or D-HH:MM:SS); memory_per_node: GB; shared_folder: for logs
    and scratch directories, on a path that the nodes see, too; address: of this host, for the workers; ports: of it
    that they may reach (as 50000-50100); batch_seconds: of work in one task; drain_seconds: before the end of its
    walltime a block takes nothing new; poll_seconds: between two questions to the scheduler; lost_after: seconds of
    silence after which a node counts as lost.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    walltime: str = "01:00:00"
    nodes_per_block: int = 1
    max_blocks: int = 1
    cores_per_node: int = 0
    gpus_per_node: int = 0
    memory_per_node: int = 0
    cores_per_worker: int = 1
    exclusive: bool = False
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    sbatch: tuple[str, ...] = ()
    address: str = ""
    ports: str = ""
    shared_folder: str = ""
    batch_seconds: float = BATCH
    drain_seconds: float = 0.0
    poll_seconds: float = 30.0
    lost_after: float = 60.0

    @property
    def seconds(self) -> int:
        """The walltime in s."""
        return seconds_of(self.walltime)

    @property
    def drain(self) -> float:
        """Seconds before its end at which a block takes nothing new."""
        return self.drain_seconds or drain_of(self.seconds, self.batch_seconds)

    @property
    def batch(self) -> float:
        """Seconds of work in one task: two of them fit into the end of a block."""
        return min(self.batch_seconds, self.drain / 2)

    @property
    def port_range(self) -> tuple[int, int]:
        """The first port, and the one after the last."""
        first, last = (int(port) for port in self.ports.split("-"))
        # To ZeroMQ the whole of the range from 49152 means any port.
        return max(first, 49153) if last == 65535 else first, last + 1

    @property
    def workers_per_node(self) -> int:
        """One worker for each GPU, or for each so many cores."""
        return self.gpus_per_node or max(1, self.cores_per_node // self.cores_per_worker)

    @property
    def threads_per_worker(self) -> int:
        """Threads for the libraries of a worker: its share of the node's cores."""
        return max(1, self.cores_per_node // self.workers_per_node)


def drain_of(walltime: float, batch: float) -> float:
    """Two batches' time, but never more than a quarter of a short walltime, all in s."""
    return min(max(DRAIN, 2 * batch), walltime / 4)


def find() -> Path | None:
    """The file of settings: here, or the user's own; None where there is none."""
    return next((path for path in (Path(NAME), users()) if path.is_file()), None)


def users() -> Path:
    """Where a user's own file is."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "mlmat" / NAME


def read(path: Path) -> Slurm:
    """The settings in a file. Raises UsageError, which names the key."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: this is not TOML: {error}") from error
    return checked(found, str(path))


def checked(found: dict[str, Any], where: str) -> Slurm:
    """Settings from keys and values. Raises UsageError, which names the key."""
    known = {field.name: field.default for field in fields(Slurm)}
    for key, value in found.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise UsageError(f"{where}: there is no setting {key!r}{f'; do you mean {near[0]}?' if near else ''}")
        found[key] = _typed(value, known[key], f"{where}: {key}")
    settings = Slurm(**found)
    _check_sense(settings, where)
    return settings


def _typed(value: Any, default: Any, what: str) -> Any:
    if isinstance(default, tuple) and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is type(default):
        return value
    wanted = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of texts"}
    raise UsageError(f"{what} = {value!r}: this has to be {wanted[type(default)]}")


def _check_sense(settings: Slurm, where: str) -> None:
    for key in ("nodes_per_block", "max_blocks", "cores_per_worker", "batch_seconds", "poll_seconds", "lost_after"):
        if getattr(settings, key) <= 0:
            raise UsageError(f"{where}: {key} has to be more than 0")
    for key in ("cores_per_node", "gpus_per_node", "memory_per_node", "drain_seconds"):
        if getattr(settings, key) < 0:
            raise UsageError(f"{where}: {key} cannot be less than 0")
    _check_ports(settings.ports, where)
    _check_options(settings.sbatch, where)
    if settings.seconds < 60:
        raise UsageError(f"{where}: walltime = {settings.walltime!r}: a block needs a minute at least")
    if settings.drain_seconds >= settings.seconds:
        raise UsageError(f"{where}: drain_seconds = {settings.drain_seconds:g} leaves nothing of the walltime")


def _check_options(options: tuple[str, ...], where: str) -> None:
    try:
        words = [word for option in options for word in shlex.split(option)]
    except ValueError as error:
        raise UsageError(f"{where}: sbatch = {list(options)}: {error}") from error
    for word in words:
        name = word.partition("=")[0]
        # Slurm takes the beginning of a long name, too.
        if name[:2] in OURS or (len(name) > 3 and any(one.startswith(name) for one in OURS)):
            raise UsageError(f"{where}: sbatch has {word}, which would hide a block's job from mlmat; leave it out")


def _check_ports(ports: str, where: str) -> None:
    if not ports:
        return
    if not re.fullmatch(r"\d{4,5}-\d{4,5}", ports):
        raise UsageError(f"{where}: ports = {ports!r}: write the first and the last, as in 50000-50100")
    first, last = (int(port) for port in ports.split("-"))
    if not 1024 <= first <= last <= 65535:
        raise UsageError(f"{where}: ports = {ports!r}: they go from 1024 to 65535, the lower one first")


def seconds_of(text: str) -> int:
    """Seconds of a time as Slurm writes it: MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS. Raises UsageError."""
    if not re.fullmatch(r"(\d+-\d+(:\d+){0,2})|(\d+(:\d+){0,2})", text):
        raise UsageError(f"walltime {text!r}: write HH:MM:SS, or D-HH:MM:SS")
    days, _, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if days:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
