"""Each worker has a GPU of its own, out of those that were given."""

from __future__ import annotations

import os

import pytest

from mlmat.parsl_config import cores, make_config, workers_of
from mlmat.processes import gpus as gpu_list


@pytest.mark.parametrize(
    ("given", "seen"), [("0,1", ["0", "1"]), ("2, 3", ["2", "3"]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"]),
                        ("", []), ("-1", []), ("NoDevFiles", [])],
)  # fmt: skip
def test_gpus_that_this_process_may_use(monkeypatch, given, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpu_list.visible() == seen


def test_workers_take_those_that_slurm_gave(monkeypatch):
    monkeypatch.setenv("MLMAT_GPUS", "given")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    taken = []
    for rank in range(2):
        monkeypatch.setenv("PARSL_WORKER_RANK", str(rank))
        taken.append(gpu_list.pinned())
    assert taken == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    monkeypatch.delenv("MLMAT_GPUS")
    assert gpu_list.pinned() == {}


def test_a_node_without_gpus_pins_nothing(monkeypatch):
    monkeypatch.setenv("MLMAT_GPUS", "given")
    monkeypatch.setenv("PARSL_WORKER_RANK", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_list.pinned() == {}


def test_local_workers_one_for_each_gpu_when_tasks_want_them(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    config = make_config("local", tmp_path, gpus=True)
    assert workers_of(config) == 3
    assert "MLMAT_GPUS=4,6,7" in config.executors[0].provider.worker_init
    assert workers_of(make_config("local", tmp_path)) == cores() == len(os.sched_getaffinity(0))
