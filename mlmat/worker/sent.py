"""Before a task begins on an HTEX worker: has the result of the last one left the process?

parsl's workers share one queue, which a thread of each feeds. A worker that dies in the moment after it finished a task
takes that result with it, or, worse, the lock of the queue: then no result of any worker arrives any more.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

#: Seconds to wait at most: sending takes less than a millisecond.
PATIENCE = 1.0


def wait_until_sent() -> None:
    """Return when no thread that feeds a queue has anything to send."""
    deadline = time.monotonic() + PATIENCE
    while _sending() and time.monotonic() < deadline:
        time.sleep(0.0005)


def _sending() -> bool:
    feeders = [thread.ident for thread in threading.enumerate() if thread.name == "QueueFeederThread"]
    if not feeders:
        return False
    frames = sys._current_frames()
    return any(ident in frames and _busy(frames[ident]) for ident in feeders)


def _busy(frame: FrameType | None) -> bool:
    """Whether `multiprocessing.Queue._feed` does anything but wait for more."""
    waits = frame is not None and frame.f_code.co_name == "wait"
    while frame is not None and frame.f_code.co_name != "_feed":
        frame = frame.f_back
    return not waits or (frame is not None and bool(frame.f_locals.get("buffer")))
