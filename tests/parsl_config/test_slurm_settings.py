"""The settings of `--config slurm`: a file that says what is wrong with it, and what jobs come of it."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsl.jobs.states import JobState, JobStatus
from parsl.launchers import SrunLauncher

from mlmat.errors import RunnerError, UsageError
from mlmat.parsl_config import make_config, slurm
from mlmat.scheduler import settings as slurm_settings
from mlmat.scheduler import settings_file
from mlmat.scheduler import slurm as slurm_commands
from mlmat.scheduler.provider import SlurmBlocks
from mlmat.scheduler.settings import Slurm, drain_of, seconds_of
from mlmat.scheduler.slurm import Job, Partition

printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
texts = st.lists(printable, max_size=3).map(tuple)
options = st.lists(st.from_regex(r"--mail-[a-z]{2,9}=[a-zA-Z@. ]*", fullmatch=True), max_size=3).map(tuple)
positive = st.integers(1, 1000)
any_settings = st.builds(
    Slurm,
    partition=printable, account=printable, constraint=printable, walltime=st.sampled_from(["5", "00:30:00", "2-12"]),
    nodes_per_block=positive, max_blocks=positive, cores_per_node=positive, gpus_per_node=st.integers(0, 8),
    cores_per_worker=positive, exclusive=st.booleans(), modules=texts, setup=texts, sbatch=options,
    batch_seconds=st.floats(0.5, 1e6), lost_after=st.floats(1, 1e4),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@given(any_settings)
def test_a_written_file_reads_as_it_was(tmp_path_factory, settings):
    file = tmp_path_factory.mktemp("settings") / "slurm.toml"
    file.write_text(settings_file.text_of(settings), encoding="utf-8")
    assert slurm_settings.read(file) == settings


def test_every_setting_is_explained():
    assert set(settings_file.MEANING) == {field.name for field in fields(Slurm)}


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_times_as_slurm_writes_them(days, hours, minutes, seconds):
    short = hours * 3600 + minutes * 60 + seconds
    assert seconds_of(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == days * 86400 + short
    assert seconds_of(f"{days}-{hours:02}:{minutes:02}") == days * 86400 + short - seconds
    assert seconds_of(f"{days}-{hours:02}") == days * 86400 + hours * 3600
    assert seconds_of(f"{hours}:{minutes:02}:{seconds:02}") == short
    assert seconds_of(f"{minutes}:{seconds:02}") == minutes * 60 + seconds
    assert seconds_of(f"{minutes}") == minutes * 60


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("partiton = 'a'", r"no setting 'partiton'; do you mean partition\?"),
        ("xyzzy = 1", "no setting 'xyzzy'$"),
        ("nodes_per_block = '2'", "nodes_per_block = '2': this has to be a whole number"),
        ("nodes_per_block = true", "has to be a whole number"),
        ("exclusive = 1", "has to be true or false"),
        ("modules = 'cuda'", "has to be a list of texts"),
        ("modules = [1]", "has to be a list of texts"),
        ("nodes_per_block = 0", "nodes_per_block has to be more than 0"),
        ("gpus_per_node = -1", "gpus_per_node cannot be less than 0"),
        ("walltime = 'soon'", "write HH:MM:SS"),
        ("walltime = '00:00:10'", "a block needs a minute"),
        ("walltime = '1:00'\ndrain_seconds = 90", "leaves nothing of the walltime"),
        ("partition = ", "this is not TOML"),
        ("ports = '50000'", "write the first and the last"),
        ("ports = '50100-50000'", "the lower one first"),
        ("ports = '60000-70000'", "they go from 1024 to 65535"),
        ("sbatch = ['--qos=high', '--array=1-4']", "sbatch has --array=1-4, which would hide"),
        ("sbatch = ['--qos=high --arr=1-4']", "sbatch has --arr=1-4, which"),
        ("sbatch = ['--comment=\"half']", "No closing quotation"),
        ("sbatch = ['-Jmine']", "sbatch has -Jmine, which"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path, text, says):
    (tmp_path / "slurm.toml").write_text(text)
    with pytest.raises(UsageError, match=says) as raised:
        slurm_settings.read(tmp_path / "slurm.toml")
    assert str(raised.value).startswith((str(tmp_path), "walltime"))


def test_the_file_here_goes_before_the_users_own(tmp_path):
    assert slurm_settings.find() is None
    slurm_settings.users().parent.mkdir(parents=True)
    slurm_settings.users().write_text("cores_per_node = 4")
    assert slurm.chosen("slurm") == (slurm_settings.users(), Slurm(cores_per_node=4))
    (tmp_path / "slurm.toml").write_text("cores_per_node = 8")
    assert slurm.chosen("slurm")[1].cores_per_node == 8
    (tmp_path / "other.toml").write_text("cores_per_node = 2")
    assert slurm.chosen("other.toml")[1].cores_per_node == 2
    with pytest.raises(UsageError, match="mlmat config init"):
        slurm.chosen("gone.toml")


def test_workers_share_the_cores_of_a_node():
    cpu = Slurm(cores_per_node=32, cores_per_worker=4)
    assert (cpu.workers_per_node, cpu.threads_per_worker) == (8, 4)
    gpu = replace(cpu, gpus_per_node=4)
    assert (gpu.workers_per_node, gpu.threads_per_worker) == (4, 8)
    assert "MLMAT_GPUS=given" in slurm.prologue(gpu)
    assert "MLMAT_GPUS" not in slurm.prologue(cpu)


@given(st.floats(60, 1e6), st.floats(1, 1e4))
def test_a_block_keeps_time_to_bring_its_batches_home(walltime, batch):
    drain = drain_of(walltime, batch)
    assert 0 < drain <= walltime / 4
    settings = Slurm(cores_per_node=1, walltime=f"{int(walltime // 60)}", batch_seconds=batch)
    assert settings.batch <= settings.drain / 2
    assert settings.batch <= batch


def test_the_job_of_a_block_asks_for_what_is_set():
    settings = Slurm(
        partition="gpu", account="lab", walltime="1-00:00:00", nodes_per_block=2, cores_per_node=16, gpus_per_node=2,
        memory_per_node=64, exclusive=True, modules=("cuda/12",), setup=("umask 002",), sbatch=("--mail-type=END",),
    )  # fmt: skip
    script = slurm.script(settings)
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE))
    assert asked == {
        "job-name": "mlmat", "nodes": "2", "time": "24:00:00", "ntasks-per-node": "1", "cpus-per-task": "16",
        "partition": "gpu", "account": "lab", "gpus-per-node": "2", "mem": "64g", "exclusive": "", "no-requeue": "",
        "no-kill": "", "propagate": "NONE", "mail-type": "END",
    }  # fmt: skip
    assert script.index("module load cuda/12") < script.index("umask 002") < script.index("export PATH=")


def partition(name: str, limit: str, cores: int, nodes: int = 1) -> Partition:
    return Partition(name, default=False, up=True, limit=limit, nodes=nodes, cores=cores, memory=1000, gres="")


def test_one_partition_of_a_list_has_to_take_a_block(monkeypatch):
    there = [
        partition("short", "30:00", 64),
        partition("long", "2-00:00:00", 16, 3),
        partition("long", "2-00:00:00", 8),
    ]
    monkeypatch.setattr(slurm_commands, "partitions", lambda: there)
    both = Slurm(partition="short,long", cores_per_node=16)
    slurm.check_limits(both, slurm.partitions_of(both))
    slurm.check_limits(replace(both, walltime="1-00", nodes_per_block=3), there)
    slurm.check_limits(replace(both, walltime="1-00", nodes_per_block=4, cores_per_node=8), there)
    wrong = {
        "walltime 3-00: partition short allows 30:00.*; .*long allows 2-00": replace(both, walltime="3-00"),
        "nodes_per_block = 4: partition long has 3 of such nodes": replace(both, nodes_per_block=4),
        "cores_per_node = 65: nodes of partition long have 16": replace(both, cores_per_node=65),
        # Each asks for what only the other one gives.
        "short allows 30:00.*; cores_per_node = 64": replace(both, walltime="1:00:00", cores_per_node=64),
    }
    for why, settings in wrong.items():
        with pytest.raises(RunnerError, match=why):
            slurm.check_limits(settings, there)
    with pytest.raises(UsageError, match="partition 'short,lang': there are short, long"):
        slurm.partitions_of(Slurm(partition="short,lang"))


def test_workers_may_be_kept_to_some_ports():
    assert Slurm(ports="50000-50004").port_range == (50000, 50005)  # parsl leaves out the last
    assert Slurm(ports="49152-65535").port_range == (49153, 65536)  # not any port


def test_what_a_user_has_for_every_sbatch_is_taken_where_the_file_says_nothing(tmp_path, monkeypatch):
    (tmp_path / "slurm.toml").write_text('account = "lab"\ncores_per_node = 4')
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    monkeypatch.setenv("SBATCH_QOS", "high")
    assert slurm.chosen("slurm")[1] == Slurm(account="lab", qos="high", cores_per_node=4)


def test_a_job_has_ended_when_two_answers_lack_it(monkeypatch):
    def state(*answer):
        monkeypatch.setattr(slurm_commands, "jobs", lambda: {job: Job(job, "mlmat", "RUNNING") for job in answer})
        blocks._status()
        return blocks.resources["7"]["status"].state.name

    blocks = SlurmBlocks("mlmat", 30, 60, launcher=SrunLauncher())
    blocks.resources["7"] = {"status": JobStatus(JobState.PENDING), "job_stdout_path": "", "job_stderr_path": ""}
    assert state() == "PENDING"
    assert state("7") == "RUNNING"
    assert state("8") == "RUNNING"
    assert state("7") == "RUNNING"
    assert state() == "RUNNING"
    assert state() == "COMPLETED"
    assert state("7") == "COMPLETED"


def test_where_there_is_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerError, match=r"sinfo is not on PATH.*mlmat doctor"):
        make_config("slurm", tmp_path / "logs")
    (tmp_path / "slurm.toml").write_text("cores_per_node = 4")
    with pytest.raises(RunnerError, match=r"sbatch is not on PATH.*mlmat doctor"):
        make_config("slurm", tmp_path / "logs")


def test_logs_go_to_a_disk_that_nodes_see(tmp_path, monkeypatch):
    monkeypatch.setenv("SHARED", str(tmp_path / "disk"))
    first = slurm.shared(Slurm(shared_folder="$SHARED/mlmat"), tmp_path / "a.duckdb.d" / "parsl")
    other = slurm.shared(Slurm(shared_folder="$SHARED/mlmat"), tmp_path / "b" / "a.duckdb.d" / "parsl")
    assert first.parent.parent == other.parent.parent == tmp_path / "disk" / "mlmat"
    assert first != other
    assert first.name == "parsl"
    assert slurm.shared(Slurm(), tmp_path / "parsl") == tmp_path / "parsl"
