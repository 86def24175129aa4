"""From a name, a file or an object to a runner that can be built on a worker.

`mace` (a module of mlmat.runner or an installed entry point of group `mlmat.runners`), `lab.my_runner`,
`lab.my_runner:Class`, `./my_runner.py`, `./my_runner.py:Class`. A file travels as its text, so that a worker on another
node needs no copy and an edit during the run changes nothing. An object of a class in `__main__` travels by value.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import linecache
import sys
import threading
import tokenize
import types
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from mlmat.errors import MlmatError, RunnerError, UsageError
from mlmat.parsl_config import searched_last
from mlmat.runner import WrappedAtomsRunner

ENTRY_POINTS = "mlmat.runners"
#: Where the module of a runner file keeps its text.
SOURCE = "__mlmat_source__"
_importing = threading.RLock()


@dataclass(frozen=True, slots=True)
class RunnerSpec:
    """What a worker needs to build a runner: a reference (with the text of its file) and settings, or a pickle."""

    reference: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    # parsl calls repr() on what it sends, with every task.
    source: str | None = field(default=None, repr=False)
    pickled: bytes | None = field(default=None, repr=False)
    key: str = ""

    def build(self) -> WrappedAtomsRunner:
        """The runner, with no files of its own."""
        if self.pickled is not None:
            import cloudpickle

            return cloudpickle.loads(self.pickled)  # type: ignore[no-any-return]
        return make(find(self.reference, self.source), self.settings)


def spec_of(reference: str, settings: dict[str, Any], source: str | None = None) -> RunnerSpec:
    """The recipe of a runner given by name or file; source is the file's text, where it was read already."""
    if _is_file(reference):
        path, name = _file_of(reference)
        source = source_of(reference) if source is None else source
        reference = f"{path}:{name}" if name else str(path)
    digest = hashlib.sha256(json.dumps([reference, settings, source], default=str, sort_keys=True).encode())
    return RunnerSpec(reference, settings, source, key=digest.hexdigest())


def spec_of_object(runner: WrappedAtomsRunner) -> RunnerSpec:
    """The recipe of a runner that a user has made; its files stay behind. Raises RunnerError."""
    import cloudpickle

    try:
        light = copy.copy(runner)
        light.files = ()
        pickled = cloudpickle.dumps(light)
    except Exception as error:
        raise RunnerError(
            f"{type(runner).__name__} cannot travel to a worker: {_line(error)}; make what cannot be pickled in setup()"
        ) from error
    return RunnerSpec(pickled=pickled, key=hashlib.sha256(pickled).hexdigest())


def find(reference: str, source: str | None = None) -> type[WrappedAtomsRunner]:
    """The runner class of a reference. Raises UsageError for a name that is none, RunnerError for code that fails."""
    if _is_file(reference):
        path, name = _file_of(reference)
        text = source_of(reference) if source is None else source
        return _class_in(_module_of_file(path, text or ""), name, reference)
    entry = next(iter(metadata.entry_points(group=ENTRY_POINTS, name=reference)), None)
    if entry is not None:
        found = _loaded(reference, entry.load)
        return _class_in(found, "", reference) if isinstance(found, types.ModuleType) else _runner(found, reference)
    module, _, name = reference.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or module.startswith("_"):
        raise _unknown(reference)
    dotted = module if "." in module else f"mlmat.runner.{module}"
    return _class_in(_loaded(reference, lambda: import_module(dotted), dotted), name, reference)


def _loaded(reference: str, load: Any, dotted: str = "") -> Any:
    """What load returns; whatever a module raises while it is imported is one line."""
    try:
        return load()
    except MlmatError:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{dotted}.".startswith(f"{error.name}."):
            raise _unknown(reference) from error
        raise RunnerError(f"runner {reference} needs the package {error.name}, which is not installed") from error
    except (Exception, SystemExit) as error:
        raise RunnerError(f"runner {reference} cannot be imported: {_line(error)}") from error


def _unknown(reference: str) -> UsageError:
    names = ", ".join(name for name, _ in available())
    return UsageError(f"no runner {reference!r}; there are {names}, or give a file: --runner ./my_runner.py")


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def available() -> list[tuple[str, str]]:
    """Name and first line of documentation of every runner that a name reaches."""
    import ast

    found = {}
    for file in sorted((Path(__file__).parents[1] / "runner").glob("[a-z]*.py")):
        doc = ast.get_docstring(ast.parse(file.read_text())) or ""
        found[file.stem] = doc.partition("\n")[0]
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        found[entry.name] = f"installed: {entry.value}"
    example = import_module("mlmat.runner").EXAMPLE
    return [*found.items(), example]


def _is_file(reference: str) -> bool:
    return ".py" in reference and _file_of(reference)[0].suffix == ".py"


def _file_of(reference: str) -> tuple[Path, str]:
    head, _, tail = reference.rpartition(":")
    path, name = (head, tail) if head.endswith(".py") else (reference, "")
    return Path(path).expanduser().absolute(), name


def source_of(reference: str) -> str | None:
    """The text of a runner file; None for a reference that is no file. Raises UsageError, RunnerError."""
    if not _is_file(reference):
        return None
    path = _file_of(reference)[0]
    if not path.is_file():
        raise UsageError(f"{path}: there is no such runner file")
    try:
        with tokenize.open(path) as file:  # honours a coding line
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise RunnerError(f"{path}: the runner file cannot be read: {_line(error)}") from error


def _module_of_file(path: Path, source: str) -> types.ModuleType:
    """Run a file as a module of its own, once per text; neighbours of the file can be imported from it."""
    digest = hashlib.sha256(f"{path}\n{source}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    name = f"mlmat_runner_file_{path.stem}_{digest}"
    with _importing:
        if name not in sys.modules:
            _run_file(path, source, name)
        return sys.modules[name]


def _run_file(path: Path, source: str, name: str) -> None:
    module = types.ModuleType(name)
    module.__file__ = str(path)
    setattr(module, SOURCE, source)
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    # Last, not first: a runner file called mace.py must not hide the package mace from itself.
    if path.parent.is_dir() and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
        searched_last.add(str(path.parent))
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (MlmatError, KeyboardInterrupt)):
            raise
        raise RunnerError(f"{path}: the runner file cannot be run: {_line(error)}") from error


def _class_in(module: types.ModuleType, name: str, reference: str) -> type[WrappedAtomsRunner]:
    """The class asked for, else `Runner`, else the only runner that the module defines."""
    if name:
        return _runner(getattr(module, name, None), reference)
    found = {n: c for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, WrappedAtomsRunner)}
    if "Runner" in found:
        return found["Runner"]
    own = {c.__name__: c for c in found.values() if c.__module__ == module.__name__}
    if len(own) == 1:
        return next(iter(own.values()))
    choice = f"it has {', '.join(own)}; say which: {reference}:{next(iter(own))}" if own else "it defines none"
    raise UsageError(f"{reference}: no runner class Runner; {choice}")


def _runner(found: Any, reference: str) -> type[WrappedAtomsRunner]:
    if inspect.isclass(found) and issubclass(found, WrappedAtomsRunner):
        return found
    raise UsageError(f"{reference}: there is no class of this name that subclasses WrappedAtomsRunner")


def make(cls: type[WrappedAtomsRunner], settings: dict[str, Any]) -> WrappedAtomsRunner:
    """A runner without files. Raises RunnerError when its `__init__` fails."""
    try:
        return cls([], **settings) if "files" in _required(cls) else cls(**settings)
    except MlmatError:
        raise
    except Exception as error:
        raise RunnerError(f"{cls.__name__}(…) failed: {_line(error)}") from error


def parameters(cls: type[WrappedAtomsRunner]) -> dict[str, inspect.Parameter]:
    """The settings of a runner: the parameters of its `__init__` but the files."""
    found = dict(inspect.signature(cls).parameters)
    return {name: p for name, p in found.items() if name != "files" and p.kind is not p.VAR_POSITIONAL}


def _required(cls: type[WrappedAtomsRunner]) -> set[str]:
    found = inspect.signature(cls).parameters.values()
    return {p.name for p in found if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
