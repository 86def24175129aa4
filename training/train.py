"""Train the student on the labels that label.py wrote.

`python training/train.py OUT LABELS --minutes 150`

The learning rate falls to zero as the minutes run out, whatever the machine does meanwhile. OUT gets
`checkpoint.pt` every few minutes, `progress.jsonl` (the learning curve) and in the end `model.npz` and
`model.model`. Run the same command again to go on from the checkpoint; with `--minutes 0`, write its model.

One process for each core, each with one thread and steps of its own; every few steps they take the mean of their
parameters. On a machine that others use too, threads of one process, or gradients shared at each step, would
spend most of the time waiting for each other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing
from data import Labelled, read, split, systems
from student import Graph, Student, element_components, graph_of, join, save, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

R_MAX = 5.0  # Å
HUBER = 0.02  # eV, eV/Å, eV/Å³: where the loss turns from squares to absolute values
WEIGHTS = {"energy": 2.0, "atoms": 2.0, "forces": 1.0, "stress": 50.0}
LATE = 0.65  # of the time: from here on the energies' weights rise, to LATE_FACTOR times as much at the end
LATE_FACTOR = 8.0
WARM_UP = 0.02
EMA = 0.998
CLIP = 10.0
SHARE_EVERY = 10  # steps


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled structure as the student sees it.

    energies: (n,), eV above the free atoms; forces: (n, 3), eV/Å; stress: (3, 3), eV/Å³.
    """

    graph: Graph
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray

    @property
    def edges(self) -> int:
        """What it costs."""
        return len(self.graph.senders)


def sample(labelled: Labelled, teacher: dict[str, np.ndarray]) -> Sample:
    """Find the neighbours; take the free atoms' energies off."""
    graph = graph_of(labelled.atoms, teacher["numbers"], R_MAX)
    energies = labelled.atom_energies - teacher["e0"][graph.species]
    return Sample(graph, energies, labelled.forces, labelled.stress)


def batches(samples: Sequence[Sample], most: int, rng: np.random.Generator | None = None) -> Iterator[list[Sample]]:
    """All samples once, at most `most` edges together unless one has more; in random order with `rng`."""
    order = rng.permutation(len(samples)) if rng else range(len(samples))
    batch: list[Sample] = []
    room = most
    for i in order:
        if batch and samples[i].edges > room:
            yield batch
            batch, room = [], most
        batch.append(samples[i])
        room -= samples[i].edges
    if batch:
        yield batch


def targets(batch: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Energies per atom, those of the atoms, forces and stress to hit."""
    dtype = torch.get_default_dtype()
    return {
        "energy": torch.tensor([one.energies.mean() for one in batch], dtype=dtype),
        "atoms": torch.as_tensor(np.concatenate([one.energies for one in batch]), dtype=dtype),
        "forces": torch.as_tensor(np.concatenate([one.forces for one in batch]), dtype=dtype),
        "stress": torch.as_tensor(np.array([one.stress for one in batch]), dtype=dtype),
    }


def predict(student: Student, batch: Sequence[Sample], training: bool) -> dict[str, torch.Tensor]:
    """The same, as the student sees them."""
    out = student(join([one.graph for one in batch]), training)
    counts = torch.tensor([len(one.forces) for one in batch])
    return {"energy": out.energy / counts, "atoms": out.atom_energies, "forces": out.forces, "stress": out.stress}


def errors(student: Student, samples: Sequence[Sample], edges: int) -> dict[str, float]:
    """Mean absolute errors: energy per atom and of the atoms in meV, forces in meV/Å, stress in GPa."""
    found: dict[str, list[np.ndarray]] = {key: [] for key in WEIGHTS}
    for batch in batches(samples, edges):
        wanted, seen = targets(batch), predict(student, batch, training=False)
        for key, values in found.items():
            values.append((wanted[key] - seen[key]).detach().abs().numpy().ravel())
    units = {"energy": 1e3, "atoms": 1e3, "forces": 1e3, "stress": 160.21766}
    return {key: round(float(np.concatenate(v).mean() * units[key]), 3) for key, v in found.items() if v}


class Training:
    """The state of a run: what a checkpoint holds."""

    def __init__(self, student: Student, rate: float, seconds: float) -> None:
        self.student = student
        self.rate = rate
        self.seconds = seconds
        self.elapsed = 0.0
        self.since = time.monotonic()
        self.steps = 0
        self.parameters = student.trained()
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=rate, amsgrad=True, weight_decay=0.0)

    def step(self, batch: Sequence[Sample]) -> float:
        """One step of the optimiser; returns the loss, with the weights that hold at the start.

        A batch that gives no finite gradient is passed over.
        """
        progress = self.now() / self.seconds
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * schedule(progress)
        wanted, seen = targets(batch), predict(self.student, batch, training=True)
        huber = torch.nn.functional.huber_loss
        losses = {key: huber(seen[key], wanted[key], delta=HUBER) for key in WEIGHTS}
        loss = sum(weight * losses[key] for key, weight in weights(progress).items())
        self.optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)):
            self.optimizer.step()
        self.steps += 1
        decay = min(EMA, (1 + self.steps) / (10 + self.steps))
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        return sum(weight * losses[key].item() for key, weight in WEIGHTS.items())

    def now(self) -> float:
        """Seconds of training so far, waiting included."""
        return self.elapsed + time.monotonic() - self.since

    def share(self) -> None:
        """Set the clock; give all processes the mean of their parameters, and of their clocks."""
        self.elapsed, self.since = self.now(), time.monotonic()
        if not torch.distributed.is_initialized():
            return
        parameters = [parameter.detach() for parameter in self.parameters.values()]
        flat = torch.cat([*(one.flatten() for one in parameters), torch.tensor([self.elapsed])])
        torch.distributed.all_reduce(flat)
        flat /= torch.distributed.get_world_size()
        for one, mean in zip(parameters, flat.split([*(p.numel() for p in parameters), 1]), strict=False):
            one.copy_(mean.view_as(one))
        self.elapsed, self.since = float(flat[-1]), time.monotonic()

    def with_average(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns while the student has the running mean of its parameters."""
        kept = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._fill(self.average)
        try:
            return work()
        finally:
            self._fill(kept)

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        part = path.with_suffix(".part")
        state = {"elapsed": self.elapsed, "steps": self.steps, "optimizer": self.optimizer.state_dict()}
        now = {name: parameter.detach() for name, parameter in self.parameters.items()}
        torch.save(state | {"average": self.average, "parameters": now, "settings": self.student.settings}, part)
        part.replace(path)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.elapsed, self.steps, self.average = state["elapsed"], state["steps"], state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self._fill(state["parameters"])

    def start(self, state: dict[str, Any]) -> None:
        """Begin a run of its own with what another run ended with."""
        self.average = state["average"]
        self._fill(self.average)

    def _fill(self, values: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(values[name])


def schedule(progress: float) -> float:
    """The learning rate's factor: up in the first part, then half a cosine down to zero."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP) / (1 - WARM_UP), 1.0)))


def weights(progress: float) -> dict[str, float]:
    """The weight of each error in the loss. Late, with small steps, energies count more: they are what ranks."""
    late = 1 + (LATE_FACTOR - 1) * min(max((progress - LATE) / (1 - LATE), 0.0), 1.0)
    return {key: weight * (late if key in ("energy", "atoms") else 1) for key, weight in WEIGHTS.items()}


def run(training: Training, train: Sequence[Sample], test: Sequence[Sample], args: argparse.Namespace) -> None:
    """Train until the time is over, with every `processes`-th sample."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    if training.elapsed >= training.seconds:
        return
    training.since = time.monotonic()
    reported, losses = training.elapsed, []
    for batch in _for_ever(train, args, rank, training.steps):
        losses.append(training.step(batch))
        if training.steps % SHARE_EVERY:
            continue
        training.share()
        over = training.elapsed >= training.seconds
        if over or training.elapsed - reported > 60 * args.report:
            reported = training.elapsed
            if rank == 0:
                training.save(args.out / "checkpoint.pt")
                found = training.with_average(lambda: errors(training.student, test, args.edges))
                _report(args.out, training, {"loss": float(np.mean(losses))} | found)
            losses.clear()
        if over:
            return


def _for_ever(train: Sequence[Sample], args: argparse.Namespace, rank: int, seed: int) -> Iterator[list[Sample]]:
    rng = np.random.default_rng((seed, rank))
    while True:
        yield from batches(train[rank :: args.processes], args.edges, rng)


def start(args: argparse.Namespace) -> tuple[Training, list[Sample], list[Sample]]:
    """Read the labels and make the student, or take it from the checkpoint."""
    with np.load(args.labels / "teacher.npz") as file:
        teacher = dict(file)
    labels = split(list(read(args.labels)), systems(args.hold_out))
    train, test = ([sample(one, teacher) for one in part] for part in labels)
    print(f"{len(train)} structures to train on, {len(test)} of held-out systems to test on", flush=True)
    own = args.out / "checkpoint.pt"
    source = own if own.exists() else args.start
    state = torch.load(source, weights_only=True) if source else None
    settings = state["settings"] if state else fitted_settings(train, teacher, args.channels)
    training = Training(Student(settings, element_components(teacher["embedding"])), args.rate, 60 * args.minutes)
    if state and source == own:
        training.load(state)
    elif state:
        training.start(state)
    return training, train, test


def fitted_settings(train: Sequence[Sample], teacher: dict[str, np.ndarray], channels: int) -> dict[str, Any]:
    """Settings with the scale and the number of neighbours that the data have."""
    forces = np.concatenate([one.forces for one in train])
    lengths = np.concatenate([np.linalg.norm(one.graph.vectors, axis=1) for one in train])
    neighbours = (lengths < R_MAX).sum() / len(forces)
    scale = math.sqrt((forces**2).mean())
    return settings_for(teacher["numbers"], teacher["e0"], scale, neighbours, channels=channels, r_max=R_MAX)


def _report(out: Path, training: Training, figures: dict[str, float]) -> None:
    line = {"minutes": round(training.elapsed / 60, 2), "steps": training.steps} | figures
    print(json.dumps(line), flush=True)
    with (out / "progress.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    """Read the command line, train, write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--minutes", type=float, default=150)
    parser.add_argument("--rate", type=float, default=5e-3, help="1e-2 for less than an hour")
    parser.add_argument("--hold-out", type=Path, help="labels whose chemical systems are not trained on")
    parser.add_argument("--start", type=Path, help="checkpoint.pt of another run to begin with")
    parser.add_argument("--edges", type=int, default=3000, help="neighbour pairs in the batch of a process")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--report", type=float, default=3, help="minutes between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.meeting = os.getpid()  # gloo's processes find each other by a file that nobody used before
    args.out.mkdir(parents=True, exist_ok=True)
    if args.processes == 1:
        work(0, args)
    else:
        torch.multiprocessing.spawn(work, (args,), nprocs=args.processes)


def work(rank: int, args: argparse.Namespace) -> None:
    """What each process does; the first one reports and writes."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if args.processes > 1:
        meeting = f"file://{(args.out / f'meeting-{args.meeting}').absolute()}"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=args.processes)
    training, train, test = start(args)
    run(training, train, test, args)
    if rank == 0:
        settings = training.student.settings
        training.with_average(lambda: save(training.student.export(), settings, args.out / "model.npz"))


if __name__ == "__main__":
    main()
