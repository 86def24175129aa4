"""Batches on a worker: outcomes, frames, scratch, and a runner that misbehaves in the midst of others."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mlmat import arrow_frames
from mlmat.materials.structure import structure_id, to_row
from mlmat.methods.load import RunnerSpec, spec_of_object
from mlmat.runner import WrappedAtomsRunner, attempt
from mlmat.worker import sent
from mlmat.worker.outcome import describe, outcomes_of
from mlmat.worker.packing import BatchContext, failure_frame, pack
from mlmat.worker.sent import _sending, wait_until_sent
from mlmat.worker.task import run_task

CRYSTALS = [bulk("Cu"), bulk("Al"), bulk("Au"), bulk("Ni")]
IDS = [structure_id(atoms) for atoms in CRYSTALS]


@pytest.fixture
def context(tmp_path):
    return BatchContext("run", "method", "mine", str(tmp_path / "scratch"), attempts=2)


class Runner(WrappedAtomsRunner):
    """Returns what `rows` holds for an element; raises it where it is an exception."""

    columns = {"energy": "DOUBLE -- eV", "gap": "DOUBLE -- eV"}  # noqa: RUF012

    def __init__(self, **rows):
        super().__init__()
        self.rows = rows

    def run(self, atoms):
        found = self.rows.get(str(atoms.symbols), {"energy": 1.0})
        if isinstance(found, BaseException):
            raise found
        return {"energy": None, "gap": None, **found} if type(found) is dict else found


class BatchRunner(Runner):
    def __init__(self, returns):
        super().__init__()
        self.returns = returns

    def run_batch(self, batch):
        (self.workdir / "log").write_text("x")
        return self.returns(batch) if callable(self.returns) else self.returns


def packed_batch(runner, context) -> bytes:
    return pack(context, runner.columns, IDS, outcomes_of(runner, CRYSTALS, Path(context.scratch)))


def outcomes(runner, context) -> tuple[dict, list[dict]]:
    packed = packed_batch(runner, context)
    tables = arrow_frames.unpack(packed)
    return tables, tables["result"].to_pylist()


def test_results_say_who_when_where(context):
    tables, results = outcomes(Runner(), context)
    assert [r["structure_id"] for r in results] == IDS
    first = results[0]
    assert (first["run_id"], first["method_id"], first["attempt"], first["status"]) == ("run", "method", 2, "ok")
    assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
    assert 0 <= first["seconds"] < 1
    assert first["finished_at"].tzinfo is not None
    assert first["energy"] == 1.0
    assert len({r["result_id"] for r in results}) == 4
    assert tables["values:mine"]["result_id"].to_pylist() == [r["result_id"] for r in results]
    assert not Path(context.scratch).exists()


class BrokenText(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


class Abandon(BaseException):
    pass


class Trap:
    def __getattr__(self, name):
        raise RuntimeError(f"hands off {name}")


RECURSIVE: list = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize(
    ("bad", "error_class", "message"),
    [
        (ValueError("two\nlines"), "ValueError", "two lines"),
        (ValueError(), "ValueError", "ValueError"),
        (UnicodeError("caf\udc80"), "UnicodeError", "caf\\udc80"),
        (BrokenText(), "BrokenText", "BrokenText"),
        (SystemExit(2), "SystemExit", "2"),
        (Abandon("enough"), "Abandon", "enough"),
        (ValueError("x" * 9_999), "ValueError", "x" * 500),
        ({"energy": float("nan")}, "BadRow", "column energy: must be a finite number in eV, not nan"),
        ({"energy": 10**400}, "BadRow", "column energy: this number is too large to be an energy in eV"),
        ({"gap": "wide"}, "BadRow", "column gap: "),
        ({"x": {1, 2}}, "BadRow", "column x: a set cannot be stored"),
        ({"x": Trap()}, "BadRow", "what run returned cannot be stored: hands off"),
        ({"x": RECURSIVE}, "BadRow", "what run returned cannot be stored: "),
        ({"x": Atoms()}, "BadRow", "column x: a structure without atoms"),
        ({"x": Atoms("H", [[np.nan, 0, 0]])}, "BadRow", "column x: the positions or the cell"),
        ({"x": Atoms("H", cell=np.ones((3, 3)), pbc=True)}, "BadRow", "what run returned cannot be stored: "),
        (None, "BadRow", "run must return a mapping"),
        (ValueError, "BadRow", "column value: a type cannot be stored"),
    ],
)
def test_one_bad_structure_harms_no_other(context, bad, error_class, message):
    tables, results = outcomes(Runner(Al=bad), context)
    assert [r["status"] for r in results] == ["ok", "failed", "ok", "ok"]
    assert results[1]["error_class"] == error_class
    assert results[1]["error_message"].startswith(message)
    assert results[1]["traceback"]
    assert results[1]["energy"] is None
    assert tables["values:mine"].num_rows == 3


def test_an_interrupt_is_not_the_structures_failure(context):
    with pytest.raises(KeyboardInterrupt):
        outcomes(Runner(Al=KeyboardInterrupt()), context)
    with pytest.raises(KeyboardInterrupt):
        outcomes(BatchRunner(lambda _: [attempt(Runner(Al=KeyboardInterrupt()), one) for one in CRYSTALS]), context)


def test_structures_in_a_row_are_rows_of_their_own(context):
    relaxed = bulk("Al", a=4.1)
    tables, results = outcomes(Runner(Al={"energy": 1.0, "relaxed": relaxed, "inner": {"cell": bulk("Pd")}}), context)
    assert tables["structure"].to_pylist()[0]["structure_id"] == to_row(relaxed)["structure_id"]
    links = {row["role"]: row for row in tables["produced"].to_pylist()}
    assert set(links) == {"relaxed", "inner_cell"}
    assert links["relaxed"]["parent_id"] == IDS[1]
    assert links["relaxed"]["structure_id"] == structure_id(relaxed)
    assert links["relaxed"]["result_id"] == results[1]["result_id"]
    assert structure_id(relaxed) in tables["values:mine"]["relaxed"].to_pylist()


def test_a_frame_counts_what_is_in_it(context):
    meta = arrow_frames.meta_of(packed_batch(Runner(Al=ValueError("x")), context))
    assert (meta["ok"], meta["failed"]) == (3, 1)
    assert meta["seconds"] >= 0


def test_a_batch_of_failures_has_no_values(context):
    tables, _ = outcomes(Runner(Cu=None, Al=None, Au=None, Ni=None), context)
    assert list(tables) == ["result"]


ROW = {"energy": 1.0, "gap": None}


@pytest.mark.parametrize(
    ("returns", "failures"),
    [
        ([ROW] * 4, [None] * 4),
        (lambda batch: (ROW for _ in batch), [None] * 4),
        ([ROW, ValueError("x"), None, SystemExit(1)], [None, "ValueError", "BadRow", "SystemExit"]),
        ([ROW] * 3, ["BadRow"] * 4),
        (iter([ROW] * 5), ["BadRow"] * 4),
        (None, ["TypeError"] * 4),
        (lambda batch: 1 / 0, ["ZeroDivisionError"] * 4),
        (lambda batch: (1 / 0 for _ in batch), ["ZeroDivisionError"] * 4),
        (lambda batch: (attempt(Runner(Au=OSError("disk")), one) for one in batch), [None, None, "OSError", None]),
    ],
)
def test_whatever_run_batch_returns(context, returns, failures):
    _, results = outcomes(BatchRunner(returns), context)
    assert [r["error_class"] for r in results] == failures
    for result in results:
        kept = result["workdir"]
        assert (kept is None) == (result["status"] == "ok")
        assert kept is None or (Path(kept) / "log").exists()
    assert Path(context.scratch).exists() == any(failures)


class Scratch(Runner):
    def run(self, atoms):
        (self.workdir / "input").write_text(str(atoms.symbols))
        return super().run(atoms)


def test_the_scratch_of_a_failure_is_kept(context):
    _, results = outcomes(Scratch(Al=ValueError("x"), Au={"gap": "wide"}), context)
    kept = [r["workdir"] for r in results]
    assert kept[0] is kept[3] is None
    assert (Path(kept[1]) / "input").read_text() == "Al"
    assert (Path(kept[2]) / "input").read_text() == "Au"
    assert len(list(Path(context.scratch).iterdir())) == 2


def test_scratch_without_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runner = Scratch()
    runner.run(CRYSTALS[0])
    assert runner.workdir == runner.workdir
    assert (runner.workdir / "input").exists()
    assert runner.end_scratch(keep=False) is None
    assert runner.end_scratch(keep=False) is None


class Setup(Runner):
    count = 0

    def setup(self):
        type(self).count += 1
        if self.rows.get("fails"):
            raise OSError("no model")


def geometry():
    import pyarrow as pa

    return arrow_frames.to_ipc(pa.Table.from_pylist([to_row(atoms) for atoms in CRYSTALS]))


def test_setup_once_for_many_batches(context):
    spec = spec_of_object(Setup())
    for _ in range(3):
        (packed,) = run_task(spec, context, geometry())
        assert arrow_frames.meta_of(packed)["ok"] == 4
    assert Setup.count == 1


@pytest.mark.parametrize(
    "spec",
    [spec_of_object(Setup(fails=True)), RunnerSpec("./gone.py", source="1/0", key="x"), RunnerSpec("none", key="y")],
)
def test_a_runner_that_cannot_start_is_a_note_and_no_failure(context, spec):
    (packed,) = run_task(spec, context, geometry())
    meta = arrow_frames.meta_of(packed)
    assert socket.gethostname() in meta["broken"]
    assert len(meta["broken"].splitlines()) == 1
    assert "Traceback" in meta["traceback"]
    assert arrow_frames.unpack(packed) == {}


def test_the_frame_of_a_lost_structure(context):
    (result,) = arrow_frames.unpack(failure_frame(context, IDS[0], "WorkerLost", "gone\udc80"))["result"].to_pylist()
    assert (result["status"], result["error_class"], result["attempt"]) == ("failed", "WorkerLost", 2)
    assert result["error_message"] == "gone\\udc80"


def test_describe():
    assert describe(KeyError("a")) == "'a'"
    assert describe(ValueError(" a \n\t b ")) == "a b"


def test_a_task_waits_until_the_result_before_it_is_sent(monkeypatch):
    """A worker that dies while its queue is being written to would leave the queue locked for all others."""
    monkeypatch.setattr(sent, "PATIENCE", 60)  # sent, and not given up
    results = multiprocessing.get_context("spawn").Queue()
    results.put(bytes(10_000_000))  # more than a pipe holds: the thread that feeds it is stuck until somebody reads
    assert _sending()
    threading.Timer(0.2, results.get).start()
    start = time.monotonic()
    wait_until_sent()
    assert time.monotonic() - start > 0.1
    assert not _sending()
    results.close()


class GoldIsBad(Runner):
    """A batch with gold in it fails as a whole, whatever else is in it."""

    def run_batch(self, batch):
        for atoms in batch:
            atoms.rattle(0.1)  # what it does to its atoms must not reach the second try
        if any(str(atoms.symbols) == "Au" for atoms in batch):
            raise ValueError("gold is bad")
        return [{**ROW, "energy": float(atoms.positions.sum())} for atoms in batch]


def test_one_structure_that_spoils_a_batch_fails_alone(context):
    packed = packed_batch(GoldIsBad(), context)
    results = arrow_frames.unpack(packed)["result"].to_pylist()
    assert [r["status"] for r in results] == ["ok", "ok", "failed", "ok"]
    assert results[2]["error_message"] == "gold is bad"
    # Every structure was handed in as it is in the store, so that its rattled sum is that of one rattle.
    assert results[0]["energy"] == pytest.approx(results[3]["energy"])
