"""Where tasks run: a configuration by name, a user's own file, and the kernel that runs on it.

Each module here without an underscore is a name: `threads`, `local`, `slurm`; its `make(folder)` gives a parsl
`Config`. A `.toml` file has settings of `slurm`; a `.py` file defines `config`, a `Config` or a function returning one.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat.errors import UsageError
from mlmat.parsl_config._environment import searched_last, worker_init
from mlmat.parsl_config._kernel import (
    check_alive,
    drain_messages,
    is_alive,
    left_behind,
    loaded_kernel,
    providers,
    started,
    submit,
    was_refused,
)
from mlmat.processes.machine import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "check_alive",
    "cores",
    "describe",
    "drain_messages",
    "ending",
    "has_threads",
    "is_alive",
    "is_ours",
    "kernel",
    "left_behind",
    "loaded_kernel",
    "logs_of",
    "make_config",
    "names",
    "scratch_of",
    "searched_last",
    "seconds_per_batch",
    "submit",
    "was_refused",
    "worker_init",
    "workers_of",
]


def names() -> list[str]:
    """The configurations that have a name."""
    found = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
    # The simplest first.
    return sorted(found, key=lambda name: (name != "threads", name))


def make_config(config: Any, folder: Path, *, gpus: bool = False) -> Any:
    """A parsl Config from a name, a file or a Config; folder: for logs; gpus: whether tasks want one each.

    Raises UsageError, RunnerError.
    """
    from parsl.config import Config

    if isinstance(config, Config):
        return _kept_in(folder, config)
    if config == "local":
        from mlmat.parsl_config import local

        return local.make(folder, gpus=gpus)
    if isinstance(config, str) and config in names():
        return import_module(f"mlmat.parsl_config.{config}").make(folder)
    path = Path(str(config)).expanduser()
    if path.suffix == ".toml":
        from mlmat.parsl_config import slurm

        return slurm.make(folder, _there(path))
    if path.suffix == ".py":
        return _from_file(_there(path), folder)
    raise UsageError(
        f"no configuration {config!r}; there are {', '.join(names())}, or give a file: --config ./cluster.py"
    )


def _there(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such configuration file")
    return path


def _from_file(path: Path, folder: Path) -> Any:
    import inspect
    import runpy

    from parsl.config import Config

    try:
        found = runpy.run_path(str(path)).get("config")
        if callable(found) and not isinstance(found, Config):
            found = found(folder) if inspect.signature(found).parameters else found()
    except (Exception, SystemExit) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{path}: the configuration cannot be run: {why}") from error
    if not isinstance(found, Config):
        raise UsageError(f"{path}: define `config`, a parsl.config.Config or a function that returns one")
    return _kept_in(folder, found)


def _kept_in(folder: Path, config: Any) -> Any:
    """The configuration with its logs in folder, where it says nothing else: no `runinfo` in the current directory."""
    if config.run_dir == "runinfo":
        config.run_dir = str(folder)
    return config


@contextmanager
def kernel(config: Any, folder: Path) -> Iterator[Any]:
    """A parsl DataFlowKernel of our own, cleaned up at the end. Raises UsageError for a configuration that is none."""
    with started(make_config(config, folder)) as running:
        yield running


def has_threads(config: Any) -> bool:
    """Whether a configuration runs tasks in this process, where nothing can end them."""
    from parsl.executors import ThreadPoolExecutor

    return any(isinstance(executor, ThreadPoolExecutor) for executor in config.executors)


def workers_of(config: Any) -> int:
    """How many tasks a configuration can run at once, as far as it says."""
    total = 0
    for executor in config.executors:
        blocks = getattr(getattr(executor, "provider", None), "max_blocks", 1)
        nodes = getattr(getattr(executor, "provider", None), "nodes_per_block", 1) or 1
        each = float(getattr(executor, "max_threads", None) or getattr(executor, "max_workers_per_node", None) or 1)
        total += (int(each) if each != float("inf") else cores()) * nodes * blocks
    return max(1, total)


def scratch_of(config: Any, folder: Path) -> Path:
    """Where tasks may write, on a path that they see: beside our logs."""
    return logs_of(config, folder).with_name("scratch")


def logs_of(config: Any, folder: Path) -> Path:
    """Where our logs are: in folder, or where settings have put a folder of that name, on a path that workers see."""
    logs = Path(config.run_dir)
    return logs if logs.name == folder.name else folder


def is_ours(config: Any, folder: Path) -> bool:
    """Whether logs go where we have put them, for a store with this folder, and not where a user wants them."""
    logs = Path(config.run_dir)
    return logs == folder / "parsl" or any(getattr(one, "keeps_logs", False) for one in providers(config))


def seconds_per_batch(config: Any) -> float:
    """Seconds of work that a task should have there, at least; 0 where it is the same."""
    return max((getattr(provider, "batch_seconds", 0.0) for provider in providers(config)), default=0.0)


def ending(config: Any) -> tuple[float, float] | None:
    """When to begin nothing new (monotonic time) and the seconds that remain then; None where nothing ends."""
    ends = ((getattr(one, "ends_at", None), getattr(one, "grace", 0.0)) for one in providers(config))
    return min(((at, grace) for at, grace in ends if at is not None), default=None)


def describe(config: Any) -> str:
    """A configuration for the run's row: its name, or its file with the text of it."""
    from mlmat.scheduler import settings

    path = Path(str(config)).expanduser()
    if config == "slurm" and (found := settings.find()):
        path = found
    if path.suffix in (".py", ".toml") and path.is_file():
        return f"{path.absolute()}\n{path.read_text(errors='replace')}"
    return str(config)
