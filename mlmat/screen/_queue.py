"""Pending structures as batches: what travels together, and how much of it.

A batch should take a few seconds in its worker: long enough for transport to vanish, short enough to stop soon.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmat.bisecting import halves
from mlmat.errors import StoreLocked

if TYPE_CHECKING:
    import pyarrow as pa

    from mlmat.store import Store

#: Structures in one batch at most, and read ahead of their computation.
BATCH_MAX, AHEAD = 2_000, 20_000
#: Times that a batch is lost with others, a node or a block, before it has to show that it is innocent.
MAX_INFRASTRUCTURE_LOSSES = 4


@dataclass(slots=True)
class Batch:
    """Structures that travel together. tries: times handed out; lost, unlucky: losses by its own and others' fault.

    apart: it runs while nothing else does, so that a loss is its own fault.
    """

    ids: list[str]
    sites: list[int]
    geometry: pa.Table
    tries: int = 0
    lost: int = 0
    infrastructure_losses: int = 0

    @property
    def quarantined(self) -> bool:
        """Whether it has been lost too often together with others."""
        return self.infrastructure_losses >= MAX_INFRASTRUCTURE_LOSSES

    def part(self, ids: list[str]) -> Batch:
        """Some of its structures as a batch."""
        import pyarrow as pa

        at = [self.ids.index(one) for one in ids]
        # Not `take`: of a slice, pyarrow 26 takes other rows where lists of fixed size hold such lists (the cells).
        geometry = pa.concat_tables([self.geometry.slice(i, 1) for i in at])
        return Batch(ids, [self.sites[i] for i in at], geometry, self.tries, self.lost, self.infrastructure_losses)

    def halves(self) -> list[Batch]:
        """The batch in two."""
        return [self.part(ids) for ids in halves(self.ids)]


def longest_first(pending: pa.Table) -> pa.Table:
    """Structures with many atoms first, so that no worker is left with one at the end.

    Only within what is read ahead: structures that lie together in the store are still read together.
    """
    import numpy as np

    sites = pending["nsites"].to_numpy()
    windows = range(0, len(sites), AHEAD)
    orders = [at + np.argsort(-sites[at : at + AHEAD], kind="stable") for at in windows]
    return pending.take(np.concatenate(orders)) if orders else pending


class BatchQueue:
    """Pending structures as batches of a size that is learnt from what the last ones took."""

    def __init__(self, store: Store, pending: pa.Table, first_atoms: float, workers: int, seconds: float) -> None:
        """first_atoms: in the first batches; seconds: of work that later ones should take."""
        self._store = store
        self._workers, self._seconds = workers, seconds
        pending = longest_first(pending)
        self._ids: list[str] = pending["structure_id"].to_pylist()
        self._sites: list[int] = pending["nsites"].to_pylist()
        self._atoms_left: int = sum(self._sites)
        self._at = 0
        self._ahead_from = 0
        self._ahead: pa.Table | None = None
        self._least = first_atoms
        self.atoms_per_batch = first_atoms
        self._later: deque[Batch] = deque()

    def __bool__(self) -> bool:
        return bool(self._later) or self._at < len(self._ids)

    def next(self, *, quiet: bool) -> Batch | None:
        """The next batch; None when the store is held by somebody and nothing was read ahead, or all wait for quiet.

        quiet: nothing is under way. One that has to be alone waits for it.
        """
        if self._at == len(self._ids):
            at = next((i for i, batch in enumerate(self._later) if quiet or not batch.quarantined), None)
            if at is None:
                return None
            batch = self._later[at]
            del self._later[at]
            return batch
        end, atoms = self._at, 0
        while end < len(self._ids) and end - self._at < BATCH_MAX and (atoms < self._fitting() or end == self._at):
            atoms += self._sites[end]
            end += 1
        geometry = self._read(end)
        if geometry is None:
            return None
        batch = Batch(self._ids[self._at : end], self._sites[self._at : end], geometry)
        self._at = end
        self._atoms_left -= atoms
        return batch

    def _fitting(self) -> float:
        """Atoms for a batch: towards the end less, so that all workers end together."""
        share = self._atoms_left / (2 * self._workers)
        return min(self.atoms_per_batch, max(self._least, share))

    def _read(self, end: int) -> pa.Table | None:
        if self._ahead is None or end > self._ahead_from + self._ahead.num_rows:
            try:
                self._ahead = self._store.geometry(self._ids[self._at : self._at + AHEAD])
            except StoreLocked:
                return None
            self._ahead_from = self._at
        return self._ahead.slice(self._at - self._ahead_from, end - self._at)

    def give_back(self, batches: list[Batch]) -> None:
        """Hand batches out again, after everything new: what takes its workers along must not stop the others."""
        self._later.extend(batches)

    def learn(self, batch: Batch, seconds: float) -> None:
        """Size the next batches by what this one took in the worker."""
        if seconds <= 0:
            return
        fitting = sum(batch.sites) * self._seconds / seconds
        # At most doubled each time: the first batches pay for loading the model or meet easy structures.
        self.atoms_per_batch = max(1.0, min(fitting, max(self.atoms_per_batch, sum(batch.sites)) * 2))
