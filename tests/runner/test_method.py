"""What makes a method: name, version, settings, weights."""

from __future__ import annotations

import sys

import pytest

from mlmat.errors import RunnerError, UsageError
from mlmat.methods.method import ResolvedMethod, method_row, name_of, version_of
from mlmat.runner import Prepared, WrappedAtomsRunner

HEAD = "from mlmat.runner import WrappedAtomsRunner\nfrom mlmat.example_runner import ExampleRunner\n"
MINE = HEAD + (
    "STEP = 1\n"
    "class Runner(WrappedAtomsRunner):\n"
    "    def __init__(self, files=(), *, fmax=0.05, steps=10):\n        super().__init__(files)\n"
    "    def run(self, atoms):\n        return {'n': STEP}\n"
)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))

    def planned(text: str, name: str = "my_runner.py", **given: str) -> ResolvedMethod:
        (tmp_path / name).write_text(text)
        return ResolvedMethod(str(tmp_path / name), given)

    return planned


def identity(plan: ResolvedMethod) -> str:
    return plan.method["method_id"]


def test_a_method_is_told_by_its_file(plan):
    found = plan(MINE, fmax="0.1")
    assert found.runner == "my_runner"
    assert found.method["settings"] == {"fmax": "0.1", "steps": "10"}
    version = found.method["runner_version"]
    assert version.startswith("sha256:")
    assert found.method["method"] == f"my_runner@{version[7:]} fmax=0.1 steps=10"
    assert found.spec.settings == {"fmax": 0.1, "steps": 10}
    assert found.spec.source == MINE


def test_the_same_is_the_same_and_anything_else_is_another(plan):
    same = [plan(MINE), plan(MINE), plan(MINE, fmax="0.05"), plan(MINE, fmax="5e-2", steps="10")]
    assert len({identity(p) for p in same}) == 1
    others = [plan(MINE, fmax="0.04"), plan(MINE.replace("STEP = 1", "STEP = 2")), plan(MINE, "other.py")]
    assert len({identity(p) for p in [same[0], *others]}) == 4


def test_a_default_that_changes_is_another_method_whatever_the_version(plan):
    text = MINE.replace("    def run", "    version = '1'\n    def run")
    assert identity(plan(text)) == identity(plan(text + "# a comment"))
    assert identity(plan(text)) != identity(plan(text.replace("fmax=0.05", "fmax=0.06")))


def test_a_default_that_cannot_be_written_is_left_to_the_class(plan):
    text = MINE.replace("steps=10", "steps=10, device=object(), top=float('inf'), sizes=(1, 2)")
    found = plan(text)
    assert found.spec.settings == {"fmax": 0.05, "steps": 10, "top": float("inf"), "sizes": (1, 2)}
    assert identity(found) == identity(plan(text))


def test_a_subclass_is_a_method_of_its_own(plan):
    child = "class Mine(ExampleRunner):\n    def run(self, atoms):\n        return {'energy': 0.0}\n"
    found, example = plan(HEAD + child), ResolvedMethod("mlmat.example_runner", {})
    assert found.runner == "Mine"
    assert found.method["runner_version"].startswith("sha256:")
    assert identity(found) != identity(example)
    assert identity(plan("from mlmat.example_runner import ExampleRunner as Runner\n")) == identity(example)
    named = plan(HEAD + child.replace("    def run", "    name = 'emt'\n    def run"))
    assert identity(named) != identity(example)


def test_a_parent_that_changes_is_another_version(plan, tmp_path, monkeypatch):
    text = "from parent_of_mine import Parent\nclass Runner(Parent):\n    pass\n"
    found = []
    for value in (1, 2):
        (tmp_path / "parent_of_mine.py").write_text(MINE.replace("Runner(W", "Parent(W").replace("= 1", f"= {value}"))
        monkeypatch.delitem(sys.modules, "parent_of_mine", raising=False)
        # One name, two texts within a second: the cached bytecode would hide the second.
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.setattr("linecache.cache", {})
        found.append(identity(plan(text + f"# {value}".replace("2", "1"))))
        sys.modules.pop(next(n for n in sys.modules if n.startswith("mlmat_runner_file_my_runner_")))
    assert found[0] != found[1]


def test_names():
    class Runner(WrappedAtomsRunner):
        pass

    class Named(WrappedAtomsRunner):
        name = "my name"

    class Child(Named):
        pass

    assert name_of(Runner, "./a/lab.py") == "lab"
    assert name_of(Runner, "./a/lab.py:Runner") == "lab"
    assert name_of(Runner, "lab.energies") == "energies"
    assert name_of(Named, "./lab.py") == "my name"
    assert name_of(Child, "./lab.py") == "Child"


def test_a_class_without_a_source_has_a_version():
    scope: dict = {"WrappedAtomsRunner": WrappedAtomsRunner, "__name__": "nowhere"}
    exec("class Mine(WrappedAtomsRunner):\n    pass", scope)
    assert version_of(scope["Mine"]).startswith("sha256:")


def test_weights_and_dtype_are_part_of_it():
    rows = [
        method_row("m", "1", Prepared({}, {}, model_name="small", model_sha256=sha, dtype=dtype))
        for sha in ("a", "b")
        for dtype in ("float32", "float64")
    ]
    assert len({row["method_id"] for row in rows}) == 4
    assert rows[0]["method"] == "m/small float32"


def test_the_path_of_the_weights_is_not():
    there, here = (method_row("m", "1", Prepared({"model": path}, {})) for path in ("/a/x", "/b/x"))
    assert there == here


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        ("    columns = {'n': 'NUMBER'}\n", UsageError, "column n: unknown type 'NUMBER'"),
        ("    columns = {'status': 'VARCHAR'}\n", UsageError, "column status: "),
        (
            "    @classmethod\n    def prepare(cls, settings):\n        raise OSError('no')\n",
            RunnerError,
            r"^Runner\.prepare failed: OSError: no$",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line(plan, body, error, says):
    with pytest.raises(error, match=says):
        plan(MINE + body)
