"""Runners by name, file, module and entry point; on workers, too; and what is said when there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from mlmat.errors import RunnerError, UsageError
from mlmat.ingest import ingest
from mlmat.methods import load
from mlmat.methods.load import available, find, make, parameters, spec_of
from mlmat.methods.method import ResolvedMethod
from mlmat.methods.settings import settings_of
from mlmat.parsl_config._environment import searched
from mlmat.runner import WrappedAtomsRunner
from mlmat.store import open_store

HEAD = "from mlmat.runner import WrappedAtomsRunner\n"
ONE = HEAD + "class Mine(WrappedAtomsRunner):\n    def run(self, atoms):\n        return {'n': len(atoms)}\n"
TWO = ONE + "class Other(Mine):\n    pass\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write a runner file into the current directory; the reference to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def written(text: str, name: str = "my_runner.py") -> str:
        (tmp_path / name).write_text(text)
        return f"./{name}"

    return written


def test_by_name():
    assert find("mlmat.example_runner").__name__ == "ExampleRunner"
    assert find("mlmat.example_runner:ExampleRunner").__name__ == "ExampleRunner"
    assert find("mace").__module__ == "mlmat.runner.mace"


def test_every_listed_runner_is_found():
    names = [name for name, _ in available()]
    assert {"mace", "mlmat.example_runner"} <= set(names)
    assert all(issubclass(find(name), WrappedAtomsRunner) for name in names)


def test_by_file(file):
    assert find(file(ONE)).__name__ == "Mine"
    assert find(file(TWO) + ":Other").__name__ == "Other"
    assert find(file(TWO + "class Runner(Mine):\n    pass\n")).__name__ == "Runner"
    assert find(file(HEAD + "from mlmat.example_runner import ExampleRunner as Runner")).__name__ == "ExampleRunner"
    assert find(file("from mlmat.example_runner import *\n") + ":ExampleRunner").__name__ == "ExampleRunner"
    assert find(str(Path(file(ONE)).absolute())).__name__ == "Mine"


def test_a_file_is_run_once_per_text(file):
    reference = file(ONE)
    assert find(reference) is find(reference)
    assert find(reference, ONE) is find(file(ONE + "# edited"), ONE)
    assert find(reference) is not find(reference, ONE)


def test_a_file_may_have_the_name_of_a_package(file, tmp_path):
    cls = find(file("import spglib\n" + ONE, "spglib.py"))
    assert hasattr(sys.modules[cls.__module__].spglib, "get_symmetry_dataset")
    assert str(tmp_path) in sys.path
    assert str(tmp_path) not in searched()  # workers would search it before their packages


def test_files_of_one_name_do_not_mix(file, tmp_path):
    (tmp_path / "sub").mkdir()
    one, other = find(file(ONE)), find(file(TWO + "Runner = Other\n", "sub/my_runner.py"))
    assert (one.__name__, other.__name__) == ("Mine", "Other")
    assert sys.modules[one.__module__] is not sys.modules[other.__module__]


def test_a_file_is_python_as_it_is_written(file):
    text = HEAD + (
        "from dataclasses import dataclass\n"
        "import helper_beside\n"
        "@dataclass\nclass Note:\n    n: int = helper_beside.N\n"
        "class Mine(WrappedAtomsRunner):\n    kind = __annotations__ = {}\n    def run(self, atoms: int):\n"
        "        return Note()\n"
        "if __name__ == '__main__':\n    raise SystemExit('not as a script')\n"
    )
    file("N = 7\n", "helper_beside.py")
    cls = find(file(text))
    assert cls().run(None).n == 7
    assert cls.run.__annotations__ == {"atoms": int}  # no __future__ of ours


def test_a_coding_line_and_a_byte_order_mark(file, tmp_path):
    reference = file("")
    (tmp_path / "my_runner.py").write_bytes(b"# coding: latin-1\n" + (ONE + "NAME = '\xe9'\n").encode("latin-1"))
    assert sys.modules[find(reference).__module__].NAME == "é"
    (tmp_path / "my_runner.py").write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    assert find(reference).__name__ == "Mine"


def test_a_failing_line_of_a_file_can_be_read_in_its_traceback(file):
    cls = find(file(ONE.replace("return {'n': len(atoms)}", "raise ValueError('here')")))
    with pytest.raises(ValueError, match="here") as raised:
        cls().run(None)
    assert str(raised.traceback[-1].statement).strip() == "raise ValueError('here')"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("def broken(:\n", RunnerError, r"my_runner\.py: the runner file cannot be run: SyntaxError: .*line 1"),
        ("import no_such_package\n", RunnerError, "No module named 'no_such_package'"),
        ("1 / 0\n", RunnerError, "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", RunnerError, "SystemExit: 3"),
        ("raise ValueError('two\\nlines')\n", RunnerError, "two lines"),
        ("", UsageError, "no runner class Runner; it defines none"),
        (HEAD, UsageError, "it defines none"),
        (TWO, UsageError, r"it has Mine, Other; say which: \./my_runner\.py:Mine"),
    ],
)
def test_a_file_without_a_runner_is_one_line(file, text, error, says):
    reference = file(text)
    for _ in range(2):
        with pytest.raises(error, match=says) as raised:
            find(reference)
        assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("reference", "error", "says"),
    [
        ("./gone.py", UsageError, r"gone\.py: there is no such runner file"),
        ("./", UsageError, r"no runner '\./'; there are .*mace.*, or give a file"),
        ("./folder", UsageError, "no runner"),
        ("nonsense", UsageError, "no runner 'nonsense'"),
        ("", UsageError, "no runner ''"),
        ("a b", UsageError, "no runner"),
        (".mace", UsageError, "no runner"),
        ("_task", UsageError, "no runner"),
        ("lab.nowhere", UsageError, r"no runner 'lab\.nowhere'"),
        ("mlmat.example_runner:Nope", UsageError, "no class of this name"),
        ("mlmat.example_runner:annotations", UsageError, "no class of this name"),
        ("ase.build", UsageError, "it defines none"),
    ],
)
def test_what_is_no_runner_is_one_line(reference, error, says):
    with pytest.raises(error, match=says) as raised:
        find(reference)
    assert len(str(raised.value).splitlines()) == 1


def test_files_that_cannot_be_read(file, tmp_path):
    reference = file("")
    (tmp_path / "my_runner.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunnerError, match="the runner file cannot be read"):
        find(reference)


def test_a_dotted_module(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab_a").mkdir()
    (tmp_path / "lab_a" / "__init__.py").touch()
    file(TWO, "lab_a/mine.py")
    assert find("lab_a.mine:Other").__name__ == "Other"
    with pytest.raises(UsageError, match=r"say which: lab_a\.mine:Mine"):
        find("lab_a.mine")
    file("import no_such_package\n", "lab_a/needs.py")
    with pytest.raises(RunnerError, match=r"lab_a\.needs needs the package no_such_package, which is not installed"):
        find("lab_a.needs")
    file("def broken(:\n", "lab_a/syntax.py")
    with pytest.raises(RunnerError, match=r"runner lab_a\.syntax cannot be imported: SyntaxError"):
        find("lab_a.syntax")
    with pytest.raises(UsageError, match=r"no runner 'lab_a\.gone'"):
        find("lab_a.gone")


def installed(folder: Path, target: str) -> None:
    """A distribution that offers a runner called `groups`."""
    (folder / "lab_b-1.dist-info").mkdir(exist_ok=True)
    (folder / "lab_b-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-b\nVersion: 1\n")
    (folder / "lab_b-1.dist-info" / "entry_points.txt").write_text(f"[mlmat.runners]\ngroups = {target}\n")


def test_an_entry_point(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    file(TWO, "lab_b.py")
    for target, name in [("lab_b:Other", "Other"), ("lab_b:Mine", "Mine")]:
        installed(tmp_path, target)
        assert find("groups").__name__ == name
    assert ("groups", "installed: lab_b:Mine") in available()
    for target, error in [("lab_b", UsageError), ("lab_b:HEAD", RunnerError), ("gone_b:X", RunnerError)]:
        installed(tmp_path, target)
        with pytest.raises(error):
            find("groups")


# -- settings --------------------------------------------------------------------------------------


class Settings(WrappedAtomsRunner):
    def __init__(
        self, files=(), *, steps=3, fmax: float = 0.1, name: str = "x", on=False, top: float | None = None, any=None
    ):
        super().__init__(files)


class Needs(WrappedAtomsRunner):
    def __init__(self, files, model):
        super().__init__(files)
        self.model = model


class Open(WrappedAtomsRunner):
    def __init__(self, files=(), **more):
        super().__init__(files)


def test_settings_have_the_types_of_their_parameters():
    given = {"steps": "7", "fmax": "1", "name": "123", "on": "yes", "top": "none", "any": "2.5"}
    found = settings_of(Settings, given)
    assert found == {"steps": 7, "fmax": 1.0, "name": "123", "on": True, "top": None, "any": 2.5}
    assert {type(found[name]) for name in ("steps", "fmax", "on")} == {int, float, bool}
    defaults = {"steps": 3, "fmax": 0.1, "name": "x", "on": False, "top": None, "any": None}
    assert settings_of(Settings, {}) == defaults
    found = settings_of(Settings, {"any": "true", "top": "3", "name": "none"})
    assert found == defaults | {"any": True, "top": 3.0, "name": "none"}
    assert settings_of(Open, {"a": "1", "b": "x", "c": "False"}) == {"a": 1, "b": "x", "c": False}
    assert list(parameters(Needs)) == ["model"]
    assert make(Needs, {"model": "m"}).model == "m"


@pytest.mark.parametrize(
    ("cls", "given", "says"),
    [
        (Settings, {"step": "1"}, "no setting 'step'; this runner has: steps, fmax, name, on, top, any"),
        (Settings, {"files": "a.cif"}, "no setting 'files'"),
        (WrappedAtomsRunner, {"x": "1"}, "no setting 'x'; this runner has: none"),
        (Settings, {"steps": "2.5"}, "--set steps=2.5: this setting wants a whole number"),
        (Settings, {"fmax": "small"}, "--set fmax=small: this setting wants a number"),
        (Settings, {"on": "maybe"}, "--set on=maybe: this setting wants true or false"),
        (Needs, {}, "this runner needs --set model=…"),
    ],
)
def test_a_bad_setting_is_one_line(cls, given, says):
    with pytest.raises(UsageError) as raised:
        settings_of(cls, given)
    assert str(raised.value).startswith(says)


def test_an_init_that_fails_is_one_line(file):
    reference = file(ONE + "    def __init__(self, files):\n        raise OSError('no\\nlicence')\n")
    with pytest.raises(RunnerError, match=r"^Mine\(…\) failed: OSError: no licence$"):
        ResolvedMethod(reference, {})


def test_a_recipe_prints_short():
    spec = spec_of("mlmat.example_runner", {})
    assert len(repr(load.RunnerSpec(pickled=b"x" * 9_999, source="y" * 9_999))) < 200
    assert spec.key == spec_of("mlmat.example_runner", {}).key != spec_of("mace", {}).key


# -- on workers, by the command line ---------------------------------------------------------------

SYMBOLS = ("Cu", "Al", "Au", "Ni", "Pd", "Ag")
WORKER = HEAD + (
    "import helper_w\n"
    "class Runner(WrappedAtomsRunner):\n"
    "    def __init__(self, files=(), *, factor=2.0):\n"
    "        super().__init__(files)\n        self.factor = factor\n"
    "    def setup(self):\n"
    "        open('started', 'w').close()\n"
    "    def run(self, atoms):\n"
    "        import time; time.sleep(0.3)\n"
    "        return {'twice': self.factor * len(atoms), 'from_file': helper_w.NAME}\n"
)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ingested")
    for symbol in SYMBOLS:
        write(folder / f"{symbol}.cif", bulk(symbol))
    ingest(open_store(folder / "s.duckdb", create=True), [folder])
    return folder


@pytest.fixture
def store(ingested, tmp_path, monkeypatch):
    """A store of six crystals in the current directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ingested, tmp_path, dirs_exist_ok=True)
    return open_store("s.duckdb")


def mlmat(*arguments: str, **env: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mlmat", *arguments]
    return subprocess.Popen(command, env=os.environ | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def screened(*arguments: str, code: int = 0, **env: str) -> str:
    process = mlmat("screen", "--db", "s.duckdb", *arguments, **env)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return out + err


@pytest.mark.slow
def test_a_file_on_htex_which_is_edited_meanwhile(store, file):
    file("NAME = 'neighbour'\n", "helper_w.py")
    reference = file(WORKER)
    process = mlmat("screen", "--db", "s.duckdb", "--runner", reference, "--set", "factor=3", "--config", "local")
    deadline = time.monotonic() + 60
    while not Path("started").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    file("1 / 0\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    table = store.reduce("my_runner")
    assert table.twice.tolist() == [3.0] * 6
    assert set(table.from_file) == {"neighbour"}
    left = {path.name for path in Path().iterdir()} - {"__pycache__", "started", "helper_w.py", "my_runner.py"}
    assert left == {"s.duckdb", "s.duckdb.d", *(f"{symbol}.cif" for symbol in SYMBOLS)}
    assert sum(path.stat().st_size for path in Path("s.duckdb.d/parsl").rglob("*") if path.is_file()) < 200_000


@pytest.mark.slow
def test_an_entry_point_on_htex(store, file, tmp_path):
    (tmp_path / "site").mkdir()
    installed(tmp_path / "site", "lab_c:Other")
    file(TWO, "site/lab_c.py")
    screened("--runner", "groups", "--config", "local", PYTHONPATH=str(tmp_path / "site"))
    assert store.reduce("other").n.tolist() == [1] * 6


@pytest.mark.slow
def test_the_example_and_modules_on_threads(store, file):
    screened("--runner", "mlmat.example_runner", "--config", "threads")
    assert len(store.reduce("emt")) == 6
    file(TWO, "lab_d.py")
    Path("lab").mkdir()
    file(ONE, "lab/mine.py")
    screened("--runner", "lab.mine", "--config", "threads", PYTHONPATH=".")
    assert len(store.reduce("mine")) == 6


@pytest.mark.slow
def test_a_setup_that_fails_records_nothing(store, file):
    reference = file(ONE + "    def setup(self):\n        raise OSError('no model\\nhere')\n")
    said = screened("--runner", reference, "--config", "threads", code=1)
    assert "mlmat: the runner could not start on" in said
    assert "no model here" in said
    assert "Traceback" not in said
    assert store.sql("SELECT count(*) AS n FROM result").n[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--runner", "nonsense"], 2), (["--runner", "./gone.py"], 2), (["--runner", "./broken.py"], 1),
        (["--runner", "mlmat.example_runner", "--set", "x=1"], 2), (["--runner", "./columns.py"], 2),
        (["--runner", "mlmat.example_runner", "--config", "cluster"], 2),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(store, file, arguments, code):
    file("def broken(:\n", "broken.py")
    file(ONE + "    columns = {'n': 'NUMBER -- how many'}\n", "columns.py")
    said = screened(*arguments, code=code)
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("mlmat: ")
