"""Progress of long work on standard error: a bar with rate, failures and the time that is left."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmat.output import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: As tqdm writes it, with a remaining time of our own.
FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{left}, {rate_fmt}{postfix}]"


@dataclass(slots=True)
class Remaining:
    """The rest of a work of which this part is done; the whole is 1, times are in s.

    Once there is a first part, only what came after it is measured: before it, workers were starting.
    """

    begun: float = 0.0
    done: float = 0.0
    first: tuple[float, float] | None = None

    def reach(self, done: float, now: float) -> None:
        """So much is done now."""
        if self.first is None and done > 0:
            self.first = (done, now)
        self.done = done

    def seconds(self, now: float) -> float | None:
        """Seconds to go; None before there is anything to tell from."""
        if self.first is None:
            return None
        done, since = self.done - self.first[0], self.first[1]
        if done <= 0:
            done, since = self.done, self.begun
        return max(0.0, 1 - self.done) * (now - since) / done


@contextmanager
def bar(what: str, unit: str) -> Iterator[Callable[[int], Callable[..., None]]]:
    """A progress bar on standard error or in the notebook, made when the total is known: rate, ETA, failures so far."""
    from tqdm.auto import tqdm

    made: list[Any] = []
    work = Remaining()

    class Bar(tqdm):  # type: ignore[misc]
        """With the time that the rest of the work takes, whose pieces may differ."""

        @property
        def format_dict(self) -> dict[str, Any]:
            known = super().format_dict
            left = work.seconds(time.monotonic())
            return {**known, "left": "?" if left is None else self.format_interval(left)}

    def start(total: int) -> Callable[..., None]:
        quiet = not sys.stderr.isatty()
        # A log file gets a line a minute instead of ten redraws a second.
        made.append(Bar(total=total, desc=what, unit=f" {unit}s", file=sys.stderr, smoothing=0.1, bar_format=FORMAT,
                        mininterval=60 if quiet else 0.1, dynamic_ncols=not quiet))  # fmt: skip
        work.begun = time.monotonic()

        def told(count: int, failed: int = 0, more: int = 0, part: float | None = None) -> None:
            made[0].total += more
            if part is not None:
                work.reach(work.done + part, time.monotonic())
            elif made[0].total:
                work.reach((made[0].n + count) / made[0].total, time.monotonic())
            if failed:
                made[0].set_postfix_str(f"{failed} failed", refresh=False)
            made[0].update(count)
            if not count and not quiet:
                made[0].refresh()  # the clock goes on while nothing comes back

        return told

    try:
        yield start
    finally:
        for one in made:
            one.close()


def say(text: str) -> None:
    """A line on standard error, above the progress bar where there is one."""
    text = shown(text)
    if not sys.stderr.isatty():
        print(f"mlmat: {text}", file=sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(f"mlmat: {text}", file=sys.stderr)
