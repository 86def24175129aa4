"""The kernel that tasks run on: started, asked whether it lives and what is new, and cleaned up."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlmat.errors import RunnerError
from mlmat.parsl_config._environment import find_parsl_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

#: Seconds that parsl's cleanup may take, and after an interrupt.
CLEANUP, HASTE = 30.0, 3.0
#: Kernels that did not end in time: their threads would keep this process from ending.
left_behind: list[Any] = []


@contextmanager
def started(config: Any) -> Iterator[Any]:
    """A parsl DataFlowKernel of our own, cleaned up at the end."""
    from parsl.dataflow.dflow import DataFlowKernel

    find_parsl_programs()
    kernel = DataFlowKernel(config)
    patience = CLEANUP
    try:
        yield kernel
    except KeyboardInterrupt:
        patience = HASTE
        raise
    finally:
        _clean_up(kernel, patience)


def _clean_up(kernel: Any, patience: float) -> None:
    """parsl's cleanup waits for ever for threads that compute and for an interchange that is dead: not so we."""
    if not is_alive(kernel):
        patience = HASTE
    over = threading.Event()
    thread = threading.Thread(target=_end, args=(kernel, over), name="mlmat-cleanup", daemon=True)
    thread.start()
    thread.join(patience)
    if not over.is_set():
        left_behind.append(kernel)
        for executor in kernel.executors.values():
            if (process := getattr(executor, "interchange_proc", None)) is not None:
                process.kill()  # workers end when they miss it


def _end(kernel: Any, over: threading.Event) -> None:
    """End a kernel and its blocks; over is set when nothing has to be waited for any more."""
    try:
        kernel.cleanup()
    finally:
        for provider in providers(kernel.config):
            if (cancel_left := getattr(provider, "cancel_left", None)) is not None:
                cancel_left()
        over.set()


def is_alive(kernel: Any) -> bool:
    """Whether the interchanges of a kernel still run."""
    found = (getattr(executor, "interchange_proc", None) for executor in kernel.executors.values())
    return all(process is None or process.poll() is None for process in found)


def check_alive(kernel: Any) -> None:
    """Raises RunnerError when nothing would ever come back: an interchange has died, or no block can be had."""
    if not is_alive(kernel):
        raise RunnerError("parsl's interchange has died (out of memory?); the same command goes on where it stopped")
    for provider in providers(kernel.config):
        if trouble := getattr(provider, "trouble", None):
            raise RunnerError(trouble)


def was_refused(error: BaseException) -> bool:
    """Whether a task's error was raised as parsl handed it to its executor: no worker and no structure had a part."""
    at = error.__traceback__
    while at is not None:
        code = at.tb_frame.f_code
        if code.co_name == "launch_task" and code.co_filename.endswith("dflow.py"):
            return True
        at = at.tb_next
    return False


def drain_messages(kernel: Any) -> list[str]:
    """What has become of blocks since the last call, for people."""
    found: list[str] = []
    for provider in providers(kernel.config):
        if (told := getattr(provider, "news", None)) is not None:
            while told:
                found.append(told.popleft())
    return found


def providers(config: Any) -> list[Any]:
    """The providers of a configuration's executors, of those that have one."""
    found = (getattr(executor, "provider", None) for executor in config.executors)
    return [provider for provider in found if provider is not None]


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
