"""Where tasks run: named parsl configurations, a user's own file, and the kernel that runs on them.

`threads`: in this process, starts at once; a crash in C code takes the run with it, and there are no time limits.
`local`: parsl's HTEX on this machine, one worker process per core. A file: Python that defines `config`, a
parsl `Config` or a function returning one.
"""

from __future__ import annotations

import os
import shlex
import signal
import site
import sys
import sysconfig
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmat import child
from mlmat.errors import RunnerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

#: Seconds between heartbeats of workers, and after how many silent ones a worker counts as lost.
HEARTBEAT = 2
LOST_AFTER = 15
#: Seconds that parsl's cleanup may take, and after an interrupt.
CLEANUP, HASTE = 30.0, 3.0
#: Folders of runner files: a worker searches them last, as this process does, and not before its packages.
searched_last: set[str] = set()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def threads(folder: Path) -> Any:
    """Threads of this process, one per core."""
    from parsl.config import Config
    from parsl.executors import ThreadPoolExecutor

    executor = ThreadPoolExecutor(label="threads", max_threads=cores())
    return Config(executors=[executor], run_dir=str(folder), **_quiet())


def local(folder: Path) -> Any:
    """HTEX on 127.0.0.1: one worker process per core, one compute thread each."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.launchers import SimpleLauncher
    from parsl.providers import LocalProvider

    executor = HighThroughputExecutor(
        label="local",
        interchange_launch_cmd=_interchange_command(),
        launch_cmd=_manager_command(),
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=cores(),
        cores_per_worker=1,
        heartbeat_period=HEARTBEAT,
        heartbeat_threshold=LOST_AFTER,
        block_error_handler=False,
        encrypted=True,
        provider=LocalProvider(
            init_blocks=1, min_blocks=1, max_blocks=1, launcher=SimpleLauncher(), worker_init=worker_init(1)
        ),
    )
    return Config(executors=[executor], run_dir=str(folder), strategy="simple", **_quiet())


def _quiet() -> dict[str, Any]:
    # Lost batches are handed out again by the screen, which knows whose fault they were.
    return {"initialize_logging": False, "retries": 0, "usage_tracking": 0}


def _interchange_command() -> list[str]:
    """parsl's interchange, started so that it neither dies of the user's ctrl-C nor outlives this process."""
    here = str(Path(__file__).parent.parent)
    code = (
        f"import sys; sys.path.append({here!r}); from mlmat.parsl_config import interchange; interchange({os.getpid()})"
    )
    return [sys.executable, "-P", "-c", code]


def _manager_command() -> str:
    """parsl's manager with somebody beside it who ends it, and all that it started, when this process is gone.

    One that starts when the interchange is dead would wait for it for ever, and one that is killed leaves processes.
    """
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    here, pid = str(Path(__file__).parent.parent), os.getpid()
    code = f"import sys; sys.path.append({here!r}); from mlmat.child import watch; watch({pid}, {child.born(pid)!r})"
    return f"{shlex.quote(sys.executable)} -P -c {shlex.quote(code)} & {DEFAULT_LAUNCH_CMD}"


def interchange(driver: int) -> None:
    """Run parsl's interchange until it is told to stop or its driver (a process id) is gone."""
    import runpy

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1)
        os._exit(1)

    # Ctrl-C reaches the whole foreground group, and the driver still wants what its workers have done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


def worker_init(compute_threads: int) -> str:
    """Shell lines that give a worker this process's environment and so many threads for its libraries."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    limits = " ".join(f"{name}={compute_threads}" for name in names)
    paths = shlex.quote(os.pathsep.join(_paths()))
    return f'export PATH={shlex.quote(_binaries())}:"$PATH" {limits} PYTHONPATH={paths}'


def _binaries() -> str:
    return str(Path(sys.executable).parent)


def _paths() -> list[str]:
    """Where mlmat itself and the user's own modules are: what a worker would not search by itself."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own |= searched_last | {*site.getsitepackages(), site.getusersitepackages(), _binaries()}
    here = str(Path(__file__).parent.parent)
    searched = [str(Path(entry).absolute()) for entry in sys.path if Path(entry).is_dir()]
    return list(dict.fromkeys(p for p in (*searched, here) if p not in own and not p.endswith("/lib-dynload")))


NAMED = {"threads": threads, "local": local}


def make_config(config: Any, folder: Path) -> Any:
    """A parsl Config from a name, a file or a Config. Raises UsageError."""
    from parsl.config import Config

    if isinstance(config, Config):
        return _kept_in(folder, config)
    if isinstance(config, str) and config in NAMED:
        return NAMED[config](folder)
    if str(config).endswith(".py"):
        return _from_file(Path(config).expanduser(), folder)
    raise UsageError(
        f"no configuration {config!r}; there are {', '.join(NAMED)}, or give a file: --config ./cluster.py"
    )


def _from_file(path: Path, folder: Path) -> Any:
    import inspect
    import runpy

    from parsl.config import Config

    if not path.is_file():
        raise UsageError(f"{path}: there is no such configuration file")
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


@contextmanager
def kernel(config: Any, folder: Path) -> Iterator[Any]:
    """A parsl DataFlowKernel of our own, cleaned up at the end. Raises UsageError for a configuration that is none."""
    from parsl.dataflow.dflow import DataFlowKernel

    _find_parsl_programs()
    started = DataFlowKernel(make_config(config, folder))
    patience = CLEANUP
    try:
        yield started
    except KeyboardInterrupt:
        patience = HASTE
        raise
    finally:
        _clean_up(started, patience)


def _clean_up(started: Any, patience: float) -> None:
    """parsl's cleanup waits for ever for threads that compute and for an interchange that is dead: not so we."""
    if not is_alive(started):
        patience = HASTE
    thread = threading.Thread(target=started.cleanup, name="mlmat-cleanup", daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        left_behind.append(started)
        for executor in started.executors.values():
            if (process := getattr(executor, "interchange_proc", None)) is not None:
                process.kill()  # workers end when they miss it


#: Kernels that did not end in time: their threads would keep this process from ending.
left_behind: list[Any] = []


def is_alive(kernel: Any) -> bool:
    """Whether the interchanges of a kernel still run."""
    found = (getattr(executor, "interchange_proc", None) for executor in kernel.executors.values())
    return all(process is None or process.poll() is None for process in found)


def check_alive(kernel: Any) -> None:
    """Raises RunnerError when an interchange has died: nothing would ever come back."""
    if not is_alive(kernel):
        raise RunnerError("parsl's interchange has died (out of memory?); the same command goes on where it stopped")


def describe(config: Any) -> str:
    """A configuration for the run's row: its name, or its file with the text of it."""
    path = Path(str(config)).expanduser()
    if str(config).endswith(".py") and path.is_file():
        return f"{path.absolute()}\n{path.read_text()}"
    return str(config)


def _find_parsl_programs() -> None:
    """parsl starts its programs by name: those of this Python come first, be its venv activated or not."""
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if parts[0] != _binaries():
        os.environ["PATH"] = os.pathsep.join([_binaries(), *parts])


def loaded_kernel() -> Any:
    """The DataFlowKernel that the user has loaded, or None."""
    from parsl.dataflow.dflow import DataFlowKernelLoader
    from parsl.errors import NoDataFlowKernelError

    try:
        return DataFlowKernelLoader.dfk()
    except NoDataFlowKernelError:
        return None


def submit(kernel: Any, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Hand one call to parsl."""
    from parsl import python_app

    return python_app(function, data_flow_kernel=kernel, cache=False)(*arguments)  # type: ignore[no-any-return]
