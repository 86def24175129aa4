"""From a name, a file or an object to a runner that can be built on a worker.

`mace` (a module of mlmat.runner or an installed entry point of group `mlmat.runners`), `lab.my_runner`,
`lab.my_runner:Class`, `./my_runner.py`, `./my_runner.py:Class`. A file travels as its text, so that a worker on another
node needs no copy and an edit during the run changes nothing. An object of a class in `__main__` travels by value.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import linecache
import sys
import types
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from mlmat.errors import MlmatError, RunnerError, UsageError
from mlmat.runner._base import WrappedAtomsRunner

ENTRY_POINTS = "mlmat.runners"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a worker needs to build a runner."""

    reference: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    pickled: bytes | None = None
    key: str = ""

    def build(self) -> WrappedAtomsRunner:
        """The runner, with no files of its own."""
        if self.pickled is not None:
            import cloudpickle

            return cloudpickle.loads(self.pickled)  # type: ignore[no-any-return]
        return make(find(self.reference, self.source), self.settings)


def recipe_of(reference: str, settings: dict[str, Any]) -> Recipe:
    """The recipe of a runner given by name or file."""
    source = _file_of(reference)[0].read_text() if _is_file(reference) else None
    if _is_file(reference):
        path, name = _file_of(reference)
        reference = f"{path}:{name}" if name else str(path)
    digest = hashlib.sha256(json.dumps([reference, settings, source], default=str, sort_keys=True).encode())
    return Recipe(reference, settings, source, key=digest.hexdigest())


def recipe_of_object(runner: WrappedAtomsRunner) -> Recipe:
    """The recipe of a runner that a user has made; its files stay behind."""
    import cloudpickle

    light = runner.__class__.__new__(runner.__class__)
    light.__dict__.update({name: value for name, value in runner.__dict__.items() if name != "files"}, files=())
    try:
        pickled = cloudpickle.dumps(light)
    except Exception as error:
        raise RunnerError(
            f"{type(runner).__name__} cannot travel to a worker: {error}; make what cannot be pickled in setup()"
        ) from error
    return Recipe(pickled=pickled, key=hashlib.sha256(pickled).hexdigest())


def find(reference: str, source: str | None = None) -> type[WrappedAtomsRunner]:
    """The runner class of a reference. Raises UsageError for a name that is none, RunnerError for code that fails."""
    if source is not None or _is_file(reference):
        path, name = _file_of(reference)
        return _class_in(_module_of_file(path, source), name, reference)
    entry = next(iter(metadata.entry_points(group=ENTRY_POINTS, name=reference)), None)
    if entry is not None:
        found: Any = entry.load()
        return found if inspect.isclass(found) else _class_in(found, "", reference)  # type: ignore[return-value]
    module, _, name = reference.partition(":")
    dotted = module if "." in module else f"mlmat.runner.{module}"
    if module.startswith("_"):
        raise _unknown(reference)
    try:
        return _class_in(import_module(dotted), name, reference)
    except ModuleNotFoundError as error:
        if error.name and dotted.startswith(error.name):
            raise _unknown(reference) from error
        raise RunnerError(f"runner {reference} needs the package {error.name}, which is not installed") from error


def _unknown(reference: str) -> UsageError:
    names = ", ".join(name for name, _ in available())
    return UsageError(f"no runner {reference!r}; there are {names}, or give a file: --runner ./my_runner.py")


def available() -> list[tuple[str, str]]:
    """Name and first line of documentation of every runner that a name reaches."""
    import ast

    found = {}
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
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


def _module_of_file(path: Path, source: str | None) -> types.ModuleType:
    """Run a file as a module of its own; neighbours of the file can be imported from it."""
    if source is None:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such runner file")
        source = path.read_text()
    module = types.ModuleType(f"mlmat_runner_file_{path.stem}")
    module.__file__ = str(path)
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    if path.parent.is_dir() and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[module.__name__] = module  # dataclasses and pickle look a class's module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except MlmatError:
        raise
    except Exception as error:
        raise RunnerError(f"{path}: the runner file cannot be run: {type(error).__name__}: {error}") from error
    return module


def _class_in(module: types.ModuleType, name: str, reference: str) -> type[WrappedAtomsRunner]:
    """The class asked for, else `Runner`, else the only runner that the module defines."""
    own = {n: c for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, WrappedAtomsRunner)}
    own = {n: c for n, c in own.items() if c.__module__ == module.__name__ or n == "Runner"}
    wanted = name or ("Runner" if "Runner" in own else "")
    if wanted in own:
        return own[wanted]
    if not wanted and len(own) == 1:
        return next(iter(own.values()))
    choice = f"it has {', '.join(own)}; say which: {module.__name__}:Class" if own else "it defines none"
    raise UsageError(f"{reference}: no runner class {wanted or 'Runner'}; {choice}")


def make(cls: type[WrappedAtomsRunner], settings: dict[str, Any]) -> WrappedAtomsRunner:
    """A runner without files. Raises RunnerError when its `__init__` fails."""
    try:
        return cls(**settings) if "files" not in _required(cls) else cls([], **settings)
    except MlmatError:
        raise
    except Exception as error:
        raise RunnerError(f"{cls.__name__}(…) failed: {type(error).__name__}: {error}") from error


def parameters(cls: type[WrappedAtomsRunner]) -> dict[str, inspect.Parameter]:
    """The settings of a runner: the parameters of its `__init__` but the files."""
    found = dict(inspect.signature(cls).parameters)
    return {name: p for name, p in found.items() if name != "files" and p.kind is not p.VAR_POSITIONAL}


def _required(cls: type[WrappedAtomsRunner]) -> set[str]:
    found = inspect.signature(cls).parameters.values()
    return {p.name for p in found if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def settings_of(cls: type[WrappedAtomsRunner], given: dict[str, str]) -> dict[str, Any]:
    """Settings with the types that `__init__` wants, from text. Raises UsageError, naming what there is."""
    known = parameters(cls)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    names = [name for name, p in known.items() if p.kind is not p.VAR_KEYWORD]
    for name in given:
        if name not in names and not open_ended:
            raise UsageError(f"no setting {name!r}; this runner has: {', '.join(names) or 'none'}")
    missing = [name for name in names if known[name].default is inspect.Parameter.empty and name not in given]
    if missing:
        raise UsageError(f"this runner needs --set {missing[0]}=…")
    return {name: _typed(name, text, known.get(name)) for name, text in given.items()}


def _typed(name: str, text: str, parameter: inspect.Parameter | None) -> Any:
    """A setting's value: as its default or annotation says, else as it looks."""
    kind = _kind(parameter)
    if text.lower() in {"none", "null"} and kind is not str:
        return None
    try:
        return _CONVERTERS[kind](text)
    except ValueError:
        raise UsageError(f"--set {name}={text}: this setting wants {_WANTED[kind]}") from None


def _kind(parameter: inspect.Parameter | None) -> type:
    if parameter is None:
        return object
    if parameter.default is not parameter.empty and type(parameter.default) in _CONVERTERS:
        return type(parameter.default)
    named = {"int": int, "float": float, "bool": bool, "str": str}
    text = (
        parameter.annotation if isinstance(parameter.annotation, str) else getattr(parameter.annotation, "__name__", "")
    )
    return named.get(text.split("|")[0].strip(), object)


def _boolean(text: str) -> bool:
    known = {
        "true": True,
        "yes": True,
        "1": True,
        "on": True,
        "false": False,
        "no": False,
        "0": False,
        "off": False,
    }
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def _as_it_looks(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return text


_CONVERTERS: dict[type, Any] = {bool: _boolean, int: int, float: float, str: str, object: _as_it_looks}
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", object: "a value"}
