"""How long the rest of some work takes."""

from __future__ import annotations

from dataclasses import dataclass


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
